"""What is finer than the original can show: real detail, noise that the original has not, and sharpening.

What there is in the flattest of the original's small patches is noise, and not detail, unless it is grain that the original has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.filters import blurred, largest
from comfy_runner.report.metrics.planes import Plane, Planes, above_half, averages, colour_difference, mean_square, product, resized


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """By what the contrast of the original's structures was multiplied, over that of its coarse ones; 1 where nothing was.

    Attributes:
        fine: Of structures of about three to eight pixels of the original.
        finest: Of its finest octave, whatever it shows, so that what is bent or moved counts as sharpened as what is in place.
        restoring: How much of `finest` may be the contrast that a soft original has lost, rather than sharpening; 1 upwards.
    """

    fine: float
    finest: float
    restoring: float

    @property
    def overshoot(self) -> float:
        """The overshoot beside edges, as a share of their height."""
        return max(0.0, self.fine - 1)

    @property
    def sharpening(self) -> float:
        """What detail is divided by; 1 upwards."""
        gain = max(1.0, self.finest)
        restored = min(gain, self.restoring)
        return math.pow(restored, thresholds.RESTORING_COSTS) * math.pow(gain / restored, thresholds.SHARPENING_COSTS)

    @property
    def blur(self) -> float:
        """The share of the original's finest contrast that is lost; 0 to 1."""
        return max(0.0, 1 - self.finest / thresholds.LEAST_KEPT)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """Energies (mean squares) by patch.

    Attributes:
        fine: Of `Planes.fine`.
        fine_original: Of `OfOriginal.finest`.
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
    flat, clipped, fine_original = pair.known.once("patches", lambda: _known_patches(pair))
    return Patches(fine=averages(pair.fine * pair.fine, pair.patches), fine_original=fine_original, flat=flat, clipped=clipped)


def _known_patches(pair: Planes) -> tuple[NDArray[np.bool_], Plane, Plane]:
    """Return what is known of the patches of the original: `Patches.flat`, `Patches.clipped`, `Patches.fine_original`."""
    rough = pair.original - blurred(pair.original, 2.0, reach=2.0)
    busy = largest(averages(rough * rough, pair.patches), 3)
    means = averages(pair.original, pair.patches)
    rail = np.minimum(means, 1 - means) < 2 / 255
    candidates = busy[~rail] if (~rail).mean() > 0.1 else busy.ravel()
    limit = np.quantile(candidates, thresholds.FLATTEST)
    flat = busy <= limit
    if (flat & ~rail).sum() >= max(4, 0.2 * flat.sum()):
        flat &= ~rail
    clipped = np.where(rail, np.float32(0.34), np.float32(1))
    return flat, clipped, averages(pair.known.finest * pair.known.finest, pair.patches)


def gained_detail(pair: Planes, cells: Patches, gains: Gains, left: Plane, counted: float) -> float:
    """Return the contrast that the plain upscale lacks, as a share of the contrast in the original's finest octave.

    Uniform noise is in the flattest patches as it is everywhere, so their energy is subtracted from the whole. What is the same
    all along a row or column is no detail either. A picture that has lost what the original shows has less than none.

    Args:
        pair: The planes.
        cells: Their patches.
        gains: What the picture has made of the original's contrast.
        left: What the original does not explain of the picture at its size (`consistency.unexplained`).
        counted: Share of the fine structures that count, 0 to 1.
    """
    whole, had = _energy(pair.fine), _energy(pair.known.finest) + thresholds.LEAST_CONTRAST**2
    noise = thresholds.NOISE_COUNTS * _noise(pair, cells, left) * float(cells.clipped.mean())
    # A texture that is the same all over looks like noise; a little of it counts, so that more of it is still more.
    gained = max(whole - noise, thresholds.UNIFORM_COUNTS * whole)
    in_place = 1 - thresholds.MOVING_COSTS * min(math.hypot(*pair.shift), thresholds.FARTHEST_SHIFT)
    bare = min(1.0, max(0.0, gains.finest - 1 - thresholds.DETAIL_MAY_SHARPEN * math.sqrt(whole / had)))
    return counted * in_place * math.sqrt(gained / had) / gains.sharpening - thresholds.BLUR_COSTS * (gains.blur + bare)


def added_noise(pair: Planes, cells: Patches, original: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the noise, of full scale: in luma or in colour, wherever there is more.

    White grain of a deviation g in the truth has g / factor in the original, so that much more is expected and is no noise. Colour
    is looked at because textures have little of it: there, noise is seen that luma hides.
    """
    in_luma = _excess(cells.fine, cells.fine_original, pair.factor, cells)
    large = colour_difference(upscaled)
    shape = original.shape[0], original.shape[1]
    # Bicubic will do for noise, and takes two thirds of Lanczos' time.
    fine = large - resized(resized(large, shape, how=Resampling.BICUBIC), large.shape, how=Resampling.BICUBIC)
    finest = pair.known.once("colour", lambda: _colour(original, pair.patches))
    in_colour = _excess(averages(fine * fine, pair.patches), finest, pair.factor, cells)
    return math.sqrt(max(in_luma, in_colour))


def _colour(original: NDArray[np.uint8], patches: tuple[int, int]) -> Plane:
    """Return the energy of the finest octave of an original's colour by patch."""
    finest = above_half(colour_difference(original))
    return averages(finest * finest, patches)


def gains(original: Plane, small: Plane, finest: Plane, finest_small: Plane) -> Gains:
    """Return the gains of the upscaled picture at the original's size.

    Args:
        original: The original, aligned.
        small: The upscaled picture at its size.
        finest: The finest octave of the former.
        finest_small: That of the latter.
    """
    coarse = _coarse(original, small) if min(original.shape) >= 48 else 1.0
    fine = _gain(_between(original, 0.7, 1.6), _between(small, 0.7, 1.6))
    least = thresholds.LEAST_SEEN**2
    had = mean_square(finest) + 4 * least
    # Of a picture that was made small without becoming soft, the finest octave has nearly the contrast of the next.
    height, width = original.shape
    coarser = above_half(resized(original, (max(1, height // 2), max(1, width // 2))))
    softness = thresholds.USUAL_OCTAVE * math.sqrt((mean_square(coarser) + 4 * least) / had)
    return Gains(
        fine=fine / coarse,
        finest=math.sqrt((mean_square(finest_small) + 4 * least) / had) / coarse,
        restoring=min(math.pow(max(1.0, softness), thresholds.SOFT_POWER), thresholds.MOST_RESTORED),
    )


def _energy(plane: Plane) -> float:
    """Return the mean square of a plane without what is the same all along a row or column, and without what rounding leaves."""
    lines = float(np.var(plane.mean(axis=0), dtype=np.float64) + np.var(plane.mean(axis=1), dtype=np.float64))
    return max(0.0, mean_square(plane) - lines - thresholds.ROUNDING**2)


def _noise(pair: Planes, cells: Patches, left: Plane) -> float:
    """Return the energy in fine structures that is noise: what is uniform, unless it is grain that the original has as well.

    White noise would be seen at the original's size, too, where the truth's grain is the original's.
    """
    uniform = max(0.0, cells.floor(cells.fine, thresholds.PATCH**2 * pair.factor**2) - thresholds.ROUNDING**2)
    grain = max(0.0, cells.floor(cells.fine_original, thresholds.PATCH**2) - thresholds.ROUNDING**2)
    at_small = cells.floor(averages(left * left, pair.patches), thresholds.PATCH**2) / 0.75
    white = max(0.0, at_small - thresholds.ROUNDING**2) * (pair.factor**2 - 1)
    return min(uniform, max(thresholds.WHITE_MAY_BE * white, uniform - thresholds.GRAIN_COUNTS * grain))


def _excess(fine: Plane, fine_original: Plane, factor: float, cells: Patches) -> float:
    floor = cells.floor(fine, thresholds.PATCH**2 * factor**2) / (1 - 1 / factor**2)
    grain = cells.floor(fine_original, thresholds.PATCH**2) / 0.75
    return max(0.0, floor - thresholds.GRAIN_MAY_GROW * min(factor**2, thresholds.MOST_GROWTH) * grain)


def _coarse(original: Plane, small: Plane) -> float:
    """Return the gain of structures of some twenty pixels, looked at in pictures of a quarter of each side."""
    shape = original.shape[0] // 4, original.shape[1] // 4
    return min(max(_gain(*(_between(averages(plane, shape), 1, 2.5) for plane in (original, small))), 0.5), 2.0)


def _between(plane: Plane, small: float, large: float) -> Plane:
    return blurred(plane, small, reach=3) - blurred(plane, large, reach=2.5)


def _gain(band: Plane, other: Plane) -> float:
    """Return the slope of a regression, which noise and other contents do not raise."""
    energy = product(band, band)
    if energy < band.size * (0.5 / 255) ** 2:
        return 1.0
    return product(band, other) / energy
