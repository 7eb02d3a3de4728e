"""What is straight all along columns or rows: blocks on a regular grid, seams between tiles.

All of it is looked for in profiles: what a picture has at each of its columns (or rows), in several strips across them.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling
from scipy import ndimage

from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.planes import Plane, Planes, resized

_Profile = NDArray[np.float64]
"""One value per column (or row); in strips: shape (strips, columns)."""

_STRIPS = 8
_DIM = 1 / 255
"""Added to gradients before their logarithm: one step of 8 bits, so that the contours of a smooth sky are no steps."""


def blockiness(pair: Planes) -> float:
    """Return how much stronger steps are on a regular grid than elsewhere; 0 where there is none.

    Nearest-neighbour upscaling, JPEG and tiling leave such steps, and lines.
    """
    return max(_blocks_along(pair, turned=turned) for turned in (False, True))


def highest_seam(pair: Planes, original: Plane, small: Plane) -> float:
    """Return the height of the highest straight line or step, in 255ths; 0 where there is none that stands out.

    Args:
        pair: The planes.
        original: The original, aligned.
        small: The upscaled picture at its size, aligned.
    """
    low = small - original
    reach = math.ceil(pair.factor)
    heights = [
        *(_steps(difference, plane) for difference, plane in ((low, original), (low.T, original.T))),
        *(_lines(fine, plain, reach) for fine, plain in ((pair.fine, pair.plain), (pair.fine.T, pair.plain.T))),
    ]
    return 255 * max(heights)


def _blocks_along(pair: Planes, *, turned: bool) -> float:
    upscaled, plain, fine = (plane.T if turned else plane for plane in (pair.upscaled, pair.plain, pair.fine))
    if min(upscaled.shape) < 32:
        return 0.0
    factor = upscaled.shape[1] / pair.original.shape[0 if turned else 1]
    mine, others = _steepness(upscaled), [_steepness(plain)]
    wide, lined = (
        _repeated(mine, others, factor, range(thresholds.SMALLEST_GRID, thresholds.LARGEST_PERIOD + 1)),
        _lined(fine, plain, factor),
    )
    small = range(2, thresholds.SMALLEST_GRID)
    if not (_repeated(mine, others, factor, small) or _stretched(mine, others, factor)):
        return max(wide, lined)
    # What other filters than Lanczos leave at every pixel of the original is weak, and no blocks.
    for how in (Resampling.BICUBIC, Resampling.BILINEAR):
        smooth = resized(pair.original, pair.plain.shape, how=how)
        others.append(_steepness(smooth.T if turned else smooth))
    return max(wide, lined, _repeated(mine, others, factor, small), _stretched(mine, others, factor))


def _steepness(plane: Plane) -> _Profile:
    """Return the logarithm of the mean step at each border between columns, as most strips have it, less its surroundings."""
    steps = np.median(np.log(_strips(np.abs(np.diff(plane, axis=1))) + _DIM), axis=0)
    found: _Profile = steps - ndimage.uniform_filter1d(steps, 65, mode="reflect")
    return found


def _folds(profile: _Profile, periods: range) -> list[tuple[int, _Profile, _Profile]]:
    """Return, for each period, the mean at each phase and how many values it is of."""
    found = []
    for period in periods[: max(0, profile.size // 4 + 1 - periods.start)]:
        phase = np.arange(profile.size) % period
        count = np.bincount(phase, minlength=period)
        found.append((period, np.bincount(phase, weights=profile, minlength=period) / count, count.astype(np.float64)))
    return found


def _repeated(mine: _Profile, others: list[_Profile], factor: float, periods: range) -> float:
    noise = max(float(np.std(mine)), 0.02)
    # What the folds of a picture without any regularity have by chance is no regularity.
    chances = [1.5 * max(_spread(other), 0.02) for other in others]
    reach = math.ceil(factor)
    best = 0.0
    for (period, sums, counts), *references in zip(
        _folds(mine, periods), *(_folds(other, periods) for other in others), strict=True
    ):
        # On a wide grid one phase is above all others; what the factor alone repeats is in many of them.
        rest = np.quantile(sums, 0.8) if period >= thresholds.SMALLEST_GRID else (sums.sum() - sums) / (period - 1)
        stronger = sums - rest
        stronger = np.where(stronger * np.sqrt(counts) > thresholds.GRID_SCORE * noise, stronger, 0)
        if not stronger.any():
            continue
        usual = np.zeros(period)
        for (_period, other, _counts), chance in zip(references, chances, strict=True):
            regular = _around(np.maximum(other - other.min() - chance / np.sqrt(counts.mean()), 0), reach)
            usual = np.maximum(usual, regular)
        best = max(best, float((stronger - thresholds.REGULAR_MAY_GROW * usual).max()))
    return math.expm1(min(best, 3.0))


def _stretched(mine: _Profile, others: list[_Profile], factor: float) -> float:
    """Return how much stronger steps are where nearest-neighbour upscaling, by whatever factor, has them."""
    # Where the middle of a pixel lies on a border, programs round to the one side or the other.
    return max(_at(np.floor((np.arange(mine.size + 1) + 0.5) / factor + aside), mine, others) for aside in (-1e-3, 1e-3))


def _at(source: _Profile, mine: _Profile, others: list[_Profile]) -> float:
    edge = np.diff(source) > 0
    if edge.all() or not edge.any():
        return 0.0
    excess, *usual = (float(each[edge].mean() - each[~edge].mean()) for each in (mine, *others))
    noise = max(float(np.std(mine)), 0.02) * math.sqrt(1 / edge.sum() + 1 / (~edge).sum())
    left = excess - max(map(abs, usual))
    return math.expm1(min(left, 3.0)) if excess > thresholds.GRID_SCORE * noise and left > 0 else 0.0


def _lined(fine: Plane, plain: Plane, factor: float) -> float:
    mine = fine.mean(axis=0, dtype=np.float64)
    others = plain.mean(axis=0, dtype=np.float64)
    others = others - ndimage.gaussian_filter1d(others, 2 * factor)
    noise = max(float(np.std(mine)), 0.05 / 255)
    reach = math.ceil(factor)
    best = 0.0
    periods = range(4, thresholds.LARGEST_PERIOD + 1)
    for (_period, sums, counts), (_same, regular, _counts) in zip(_folds(mine, periods), _folds(others, periods), strict=True):
        excess = np.abs(sums - np.median(sums)) - 1.5 * thresholds.REGULAR_MAY_GROW * max(1, factor / 1.5) * _around(
            np.abs(regular), reach
        )
        best = max(best, float(np.where(excess * np.sqrt(counts) > thresholds.GRID_SCORE * noise, excess, 0).max()))
    return best / thresholds.LINE_UNIT


def _around(values: _Profile, reach: int) -> _Profile:
    found: _Profile = ndimage.maximum_filter1d(values, min(2 * reach + 1, values.size), mode="wrap")
    return found


def _steps(low: Plane, original: Plane) -> float:
    if min(low.shape) < 4 * thresholds.STEP_REACH:
        return 0.0
    found = _nearly_everywhere(_step(_strips(low)))
    # An edge of the original may have become a little stronger or weaker.
    allowed = thresholds.EDGE_MAY_STEP * _widest(_nearly_everywhere(_step(_strips(original))), thresholds.STEP_REACH)
    return _standing_out(found, allowed, thresholds.STEP_SCORE)


def _step(profile: _Profile) -> _Profile:
    """Return by how much the pixels right of each border are lighter than those left of it."""
    sums = np.cumsum(np.pad(profile, ((0, 0), (1, 0))), axis=1)
    means = (sums[:, thresholds.STEP_REACH :] - sums[:, : -thresholds.STEP_REACH]) / thresholds.STEP_REACH
    step: _Profile = means[:, thresholds.STEP_REACH :] - means[:, : -thresholds.STEP_REACH]
    return step


def _lines(fine: Plane, plain: Plane, reach: int) -> float:
    if min(fine.shape) < 32:
        return 0.0
    found = np.abs(_everywhere(_strips(fine)))[2:-2]
    edges = np.gradient(_everywhere(_strips(plain)))
    allowed = thresholds.EDGE_MAY_LINE * reach * _widest(edges, 2 * reach)[2:-2]
    return _standing_out(found, allowed, thresholds.LINE_SCORE)


def _standing_out(found: _Profile, allowed: _Profile, score: float) -> float:
    """Return the largest value by which a profile is above what is allowed and usual there."""
    usual = ndimage.median_filter(found, min(65, found.size), mode="nearest")
    excess = found - allowed - usual
    least = score * max(_spread(found), 0.1 / 255)
    return float(max(0.0, np.where(excess > least, excess, 0.0).max()))


def _strips(plane: Plane) -> _Profile:
    """Return the mean of each column in each strip of rows."""
    many = min(_STRIPS, plane.shape[0])
    edges = np.linspace(0, plane.shape[0], many + 1).astype(int)
    return np.stack([plane[top:bottom].mean(axis=0, dtype=np.float64) for top, bottom in pairwise(edges)])


def _everywhere(profile: _Profile) -> _Profile:
    """Return the signed value that nearly all strips reach, of the one sign or the other; 0 where they do not agree."""
    low, middle, high = np.quantile(profile, (0.25, 0.5, 0.75), axis=0)
    return np.where((low > 0) | (high < 0), middle, 0.0)


def _nearly_everywhere(profile: _Profile) -> _Profile:
    """Return the absolute value that nearly all strips reach, whatever their sign."""
    found: _Profile = np.quantile(np.abs(profile), 0.25, axis=0)
    return found


def _spread(profile: _Profile) -> float:
    """Return a robust standard deviation."""
    return float(1.4826 * np.median(np.abs(profile - np.median(profile))))


def _widest(profile: _Profile, reach: int) -> _Profile:
    """Return the largest absolute value within a reach."""
    found: _Profile = ndimage.maximum_filter1d(np.abs(profile), 2 * reach + 1, mode="nearest")
    return found
