"""Sharpening: how much more contrast fine structures of the original have in the upscaled picture than coarse ones."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import ndimage

from comfy_runner.report.metrics.planes import Plane, above_half, averages, product


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """By what the contrast of the original's structures was multiplied, over that of its coarse ones; 1 where nothing was.

    Attributes:
        fine: Of structures of about three to eight pixels of the original.
        finest: Of its finest octave.
    """

    fine: float
    finest: float


def gains(original: Plane, small: Plane, fine_original: Plane) -> Gains:
    """Return the gains of the upscaled picture at the original's size."""
    coarse = _coarse(original, small) if min(original.shape) >= 48 else 1.0
    fine = _gain(_between(original, 0.7, 1.6), _between(small, 0.7, 1.6))
    finest = _gain(fine_original, above_half(small))
    return Gains(fine=fine / coarse, finest=finest / coarse)


def overshoot(found: Gains) -> float:
    """Return the overshoot beside edges, as a share of their height."""
    return max(0.0, found.fine - 1)


def _coarse(original: Plane, small: Plane) -> float:
    """Return the gain of structures of some twenty pixels, looked at in pictures of a quarter of each side."""
    shape = original.shape[0] // 4, original.shape[1] // 4
    return min(max(_gain(*(_between(averages(plane, shape), 1, 2.5) for plane in (original, small))), 0.5), 2.0)


def _between(plane: Plane, small: float, large: float) -> Plane:
    band: Plane = ndimage.gaussian_filter(plane, small, truncate=3) - ndimage.gaussian_filter(plane, large, truncate=2.5)
    return band


def _gain(band: Plane, other: Plane) -> float:
    """Return the slope of a regression, which noise and other contents do not raise."""
    energy = product(band, band)
    if energy < band.size * (0.5 / 255) ** 2:
        return 1.0
    return product(band, other) / energy
