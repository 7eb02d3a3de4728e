"""What is finer than the original can show: real detail, noise that the original has not, and sharpening.

What there is in the flattest of the original's small patches is noise, and not detail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling
from scipy import ndimage

from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.planes import Plane, Planes, above_half, averages, colour_difference, product, resized


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """By what the contrast of the original's structures was multiplied, over that of its coarse ones; 1 where nothing was.

    Attributes:
        fine: Of structures of about three to eight pixels of the original.
        finest: Of its finest octave.
    """

    fine: float
    finest: float

    @property
    def overshoot(self) -> float:
        """The overshoot beside edges, as a share of their height."""
        return max(0.0, self.fine - 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """Energies (mean squares) by patch.

    Attributes:
        fine: Of `Planes.fine`.
        fine_original: Of `Planes.fine_original`.
        flat: The share of the flattest patches, as a mask.
        clipped: Share of noise energy that is left where black or white cuts it off: 1 elsewhere.
    """

    fine: Plane
    fine_original: Plane
    flat: NDArray[np.bool_]
    clipped: Plane

    def floor(self, by_patch: Plane, samples: float) -> float:
        """Return the energy of what is uniform: that of the flattest patches, or of the quietest, whichever is less.

        Args:
            by_patch: One of the energies.
            samples: How many independent pixels there are to a patch; of uniform noise the quietest patches have so much less.
        """
        whole = by_patch / self.clipped
        flattest = float(np.mean(whole[self.flat], dtype=np.float64))
        large = averages(whole, (max(1, whole.shape[0] // 2), max(1, whole.shape[1] // 2)))
        quietest = float(np.quantile(large, thresholds.QUIETEST)) / max(0.3, 1 - 1.28 * math.sqrt(2 / (4 * samples)))
        return min(flattest, quietest)


def cut(pair: Planes) -> Patches:
    """Return the patches of a pair."""
    height, width = pair.original.shape
    shape = (max(1, height // thresholds.PATCH), max(1, width // thresholds.PATCH))
    rough = pair.original - ndimage.gaussian_filter(pair.original, 2.0, truncate=2.0)
    busy = ndimage.maximum_filter(averages(rough * rough, shape), 3, mode="nearest")
    means = averages(pair.original, shape)
    rail = np.minimum(means, 1 - means) < 2 / 255
    candidates = busy[~rail] if (~rail).mean() > 0.1 else busy.ravel()
    limit = np.quantile(candidates, thresholds.FLATTEST)
    flat = busy <= limit
    if (flat & ~rail).sum() >= max(4, 0.2 * flat.sum()):
        flat &= ~rail
    return Patches(
        fine=averages(pair.fine * pair.fine, shape),
        fine_original=averages(pair.fine_original * pair.fine_original, shape),
        flat=flat,
        clipped=np.where(rail, np.float32(0.34), np.float32(1)),
    )


def gained_detail(pair: Planes, cells: Patches, gains: Gains) -> float:
    """Return the contrast that the plain upscale lacks, as a share of the contrast in the original's finest octave.

    Uniform noise is in the flattest patches as it is everywhere, so their energy is subtracted from the whole. What is the same
    all along a row or column is no detail either.
    """
    gained = _energy(pair.fine, cells.fine, cells, thresholds.PATCH**2 * pair.factor**2)
    had = _energy(pair.fine_original, cells.fine_original, cells, thresholds.PATCH**2) + thresholds.LEAST_CONTRAST**2
    return math.sqrt(gained / had) / math.pow(max(1.0, gains.finest), thresholds.SHARPENING_COSTS)


def added_noise(pair: Planes, cells: Patches, original: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the noise, of full scale: in luma or in colour, wherever there is more.

    White grain of a deviation g in the truth has g / factor in the original, so that much more is expected and is no noise. Colour
    is looked at because textures have little of it: there, noise is seen that luma hides.
    """
    in_luma = _excess(cells.fine, cells.fine_original, pair.factor, cells)
    large, small = colour_difference(upscaled), colour_difference(original)
    # Bicubic will do for noise, and takes two thirds of Lanczos' time.
    fine = large - resized(resized(large, small.shape, how=Resampling.BICUBIC), large.shape, how=Resampling.BICUBIC)
    shape = cells.fine.shape
    finest = above_half(small)
    in_colour = _excess(averages(fine * fine, shape), averages(finest * finest, shape), pair.factor, cells)
    return math.sqrt(max(in_luma, in_colour))


def gains(original: Plane, small: Plane, fine_original: Plane) -> Gains:
    """Return the gains of the upscaled picture at the original's size."""
    coarse = _coarse(original, small) if min(original.shape) >= 48 else 1.0
    fine = _gain(_between(original, 0.7, 1.6), _between(small, 0.7, 1.6))
    finest = _gain(fine_original, above_half(small))
    return Gains(fine=fine / coarse, finest=finest / coarse)


def _energy(plane: Plane, by_patch: Plane, cells: Patches, samples: float) -> float:
    everywhere = float(np.mean(plane * plane, dtype=np.float64))
    lines = float(np.var(plane.mean(axis=0), dtype=np.float64) + np.var(plane.mean(axis=1), dtype=np.float64))
    whole = max(0.0, everywhere - lines - thresholds.ROUNDING**2)
    floor = max(0.0, cells.floor(by_patch, samples) - thresholds.ROUNDING**2)
    # A texture that is the same all over looks like noise; a little of it counts, so that more of it is still more.
    return max(whole - thresholds.NOISE_COUNTS * floor * float(cells.clipped.mean()), thresholds.UNIFORM_COUNTS * whole)


def _excess(fine: Plane, fine_original: Plane, factor: float, cells: Patches) -> float:
    floor = cells.floor(fine, thresholds.PATCH**2 * factor**2) / (1 - 1 / factor**2)
    grain = cells.floor(fine_original, thresholds.PATCH**2) / 0.75
    return max(0.0, floor - thresholds.GRAIN_MAY_GROW * min(factor**2, thresholds.MOST_GROWTH) * grain)


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
