"""Blocks: steps and lines on a regular grid, such as nearest-neighbour upscaling, JPEG and tiling leave."""

from __future__ import annotations

import math

import numpy as np
from PIL.Image import Resampling
from scipy import ndimage

from comfy_runner.report.metrics.planes import Plane, Planes, resized
from comfy_runner.report.metrics.profiles import Profile, spread, strips
from comfy_runner.report.metrics.thresholds import GRID_SCORE, LARGEST_PERIOD, LINE_UNIT, REGULAR_MAY_GROW, SMALLEST_GRID

_DIM = 1 / 255
"""Added to gradients before their logarithm: one step of 8 bits, so that the contours of a smooth sky are no steps."""


def blockiness(pair: Planes) -> float:
    """Return how much stronger steps are on a regular grid than elsewhere; 0 where there is none."""
    return max(_along(pair, turned=turned) for turned in (False, True))


def _along(pair: Planes, *, turned: bool) -> float:
    upscaled, plain, fine = (plane.T if turned else plane for plane in (pair.upscaled, pair.plain, pair.fine))
    if min(upscaled.shape) < 32:
        return 0.0
    factor = upscaled.shape[1] / pair.original.shape[0 if turned else 1]
    mine, others = _steepness(upscaled), [_steepness(plain)]
    wide, lined = _repeated(mine, others, factor, range(SMALLEST_GRID, LARGEST_PERIOD + 1)), _lined(fine, plain, factor)
    small = range(2, SMALLEST_GRID)
    if not (_repeated(mine, others, factor, small) or _stretched(mine, others, factor)):
        return max(wide, lined)
    # What other filters than Lanczos leave at every pixel of the original is weak, and no blocks.
    for how in (Resampling.BICUBIC, Resampling.BILINEAR):
        smooth = resized(pair.original, pair.plain.shape, how=how)
        others.append(_steepness(smooth.T if turned else smooth))
    return max(wide, lined, _repeated(mine, others, factor, small), _stretched(mine, others, factor))


def _steepness(plane: Plane) -> Profile:
    """Return the logarithm of the mean step at each border between columns, as most strips have it, less its surroundings."""
    steps = np.median(np.log(strips(np.abs(np.diff(plane, axis=1))) + _DIM), axis=0)
    found: Profile = steps - ndimage.uniform_filter1d(steps, 65, mode="reflect")
    return found


def _folds(profile: Profile, periods: range) -> list[tuple[int, Profile, Profile]]:
    """Return, for each period, the mean at each phase and how many values it is of."""
    found = []
    for period in periods[: max(0, profile.size // 4 + 1 - periods.start)]:
        phase = np.arange(profile.size) % period
        count = np.bincount(phase, minlength=period)
        found.append((period, np.bincount(phase, weights=profile, minlength=period) / count, count.astype(np.float64)))
    return found


def _repeated(mine: Profile, others: list[Profile], factor: float, periods: range) -> float:
    noise = max(float(np.std(mine)), 0.02)
    # What the folds of a picture without any regularity have by chance is no regularity.
    chances = [1.5 * max(spread(other), 0.02) for other in others]
    reach = math.ceil(factor)
    best = 0.0
    for (period, sums, counts), *references in zip(
        _folds(mine, periods), *(_folds(other, periods) for other in others), strict=True
    ):
        # On a wide grid one phase is above all others; what the factor alone repeats is in many of them.
        rest = np.quantile(sums, 0.8) if period >= SMALLEST_GRID else (sums.sum() - sums) / (period - 1)
        stronger = sums - rest
        stronger = np.where(stronger * np.sqrt(counts) > GRID_SCORE * noise, stronger, 0)
        if not stronger.any():
            continue
        usual = np.zeros(period)
        for (_period, other, _counts), chance in zip(references, chances, strict=True):
            regular = _around(np.maximum(other - other.min() - chance / np.sqrt(counts.mean()), 0), reach)
            usual = np.maximum(usual, regular)
        best = max(best, float((stronger - REGULAR_MAY_GROW * usual).max()))
    return math.expm1(min(best, 3.0))


def _stretched(mine: Profile, others: list[Profile], factor: float) -> float:
    """Return how much stronger steps are where nearest-neighbour upscaling, by whatever factor, has them."""
    # Where the middle of a pixel lies on a border, programs round to the one side or the other.
    return max(_at(np.floor((np.arange(mine.size + 1) + 0.5) / factor + aside), mine, others) for aside in (-1e-3, 1e-3))


def _at(source: Profile, mine: Profile, others: list[Profile]) -> float:
    edge = np.diff(source) > 0
    if edge.all() or not edge.any():
        return 0.0
    excess, *usual = (float(each[edge].mean() - each[~edge].mean()) for each in (mine, *others))
    noise = max(float(np.std(mine)), 0.02) * math.sqrt(1 / edge.sum() + 1 / (~edge).sum())
    left = excess - max(map(abs, usual))
    return math.expm1(min(left, 3.0)) if excess > GRID_SCORE * noise and left > 0 else 0.0


def _lined(fine: Plane, plain: Plane, factor: float) -> float:
    mine = fine.mean(axis=0, dtype=np.float64)
    others = plain.mean(axis=0, dtype=np.float64)
    others = others - ndimage.gaussian_filter1d(others, 2 * factor)
    noise = max(float(np.std(mine)), 0.05 / 255)
    reach = math.ceil(factor)
    best = 0.0
    periods = range(4, LARGEST_PERIOD + 1)
    for (_period, sums, counts), (_same, regular, _counts) in zip(_folds(mine, periods), _folds(others, periods), strict=True):
        excess = np.abs(sums - np.median(sums)) - 1.5 * REGULAR_MAY_GROW * max(1, factor / 1.5) * _around(np.abs(regular), reach)
        best = max(best, float(np.where(excess * np.sqrt(counts) > GRID_SCORE * noise, excess, 0).max()))
    return best / LINE_UNIT


def _around(values: Profile, reach: int) -> Profile:
    found: Profile = ndimage.maximum_filter1d(values, min(2 * reach + 1, values.size), mode="wrap")
    return found
