"""What is straight all along columns or rows: blocks on a regular grid, seams between tiles.

All of it is looked for in profiles: what a picture has at each of its columns (or rows), in several strips across them.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.filters import blurred_along, largest, means, medians
from comfy_runner.report.metrics.planes import Plane, Planes, luma, resized

_Profile = NDArray[np.float64]
"""One value per column (or row); in strips: shape (strips, columns)."""


class _Steps(NamedTuple):
    """What is known of the steps from each column of a plane to the next.

    Attributes:
        steepness: See `_steepness`.
        highest: The highest of all rows.
    """

    steepness: _Profile
    highest: Plane


_STRIPS = 8
_THIN_STRIPS = 40  # thin enough for windows of a facade not to be in all of them
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
    heights = [
        *(_steps(difference, plane) for difference, plane in ((low, original), (low.T, original.T))),
        *(_lines(pair, turned=turned) for turned in (False, True)),
    ]
    return 255 * max(heights)


def _blocks_along(pair: Planes, *, turned: bool) -> float:
    upscaled = pair.upscaled.T if turned else pair.upscaled
    if min(upscaled.shape) < 32:
        return 0.0
    factor = upscaled.shape[1] / pair.original.shape[0 if turned else 1]
    steps, plain_steps = _step_sizes(upscaled), pair.known.once(("steps", turned), lambda: _plain_steps(pair, turned=turned))
    mine, others = _steepness(steps), [plain_steps.steepness]
    found = max(
        _repeated(mine, others, factor, range(thresholds.SMALLEST_GRID, thresholds.LARGEST_PERIOD + 1)),
        _lined(_thin_lines(pair.fine, turned=turned), _own_lines(pair, turned=turned), factor),
        # Mosaics need have no period: their squares may be of three pixels here and of four there.
        _frozen(steps.max(axis=0), plain_steps.highest),
    )
    small = range(2, thresholds.SMALLEST_GRID)
    if not (_repeated(mine, others, factor, small) or _stretched(mine, others, factor)):
        return found
    # What other filters than Lanczos leave at every pixel of the original is weak, and no blocks; nor is what rounding leaves.
    smooth = [resized(pair.original, pair.plain.shape, how=how) for how in (Resampling.BICUBIC, Resampling.BILINEAR)]
    rounded = Image.fromarray(pair.known.picture).resize(pair.plain.shape[::-1], Resampling.LANCZOS)
    smooth.append(luma(np.asarray(rounded)))
    others += [_steepness(_step_sizes(each.T if turned else each)) for each in smooth]
    return max(found, _repeated(mine, others, factor, small), _stretched(mine, others, factor))


def _step_sizes(plane: Plane) -> Plane:
    """Return the height of each step from a column to the next."""
    sizes: Plane = np.abs(np.diff(plane, axis=1))
    return sizes


def _frozen(highest: Plane, plain: Plane) -> float:
    """Return how many more columns than drawings have are the same as the next, though those of the plain upscale are not."""
    share = float(np.mean((highest < thresholds.SAME_COLUMN) & (plain > thresholds.OTHER_COLUMN)))
    return max(0.0, share - thresholds.DRAWN_COLUMNS)


def _plain_steps(pair: Planes, *, turned: bool) -> _Steps:
    sizes = _step_sizes(pair.plain.T if turned else pair.plain)
    return _Steps(_steepness(sizes), sizes.max(axis=0))


def _steepness(sizes: Plane) -> _Profile:
    """Return the logarithm of the mean step at each border between columns, as most strips have it, less its surroundings."""
    steps = np.median(np.log(_strips(sizes) + _DIM), axis=0)
    found: _Profile = steps - means(steps, 65)
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


def _lined(lines: _Profile, own: _Profile, factor: float) -> float:
    noise = max(float(np.std(lines)), 0.05 / 255)
    reach = math.ceil(factor)
    best = 0.0
    periods = range(4, thresholds.LARGEST_PERIOD + 1)
    for (_period, sums, counts), (_same, regular, _counts), (_also, signs, _each) in zip(
        _folds(lines, periods), _folds(own, periods), _folds(np.sign(lines), periods), strict=True
    ):
        excess = np.abs(sums - np.median(sums)) - 1.5 * thresholds.REGULAR_MAY_GROW * max(1, factor / 1.5) * _around(
            np.abs(regular), reach
        )
        # One line of a picture is no grid: most of a grid's lines have to be there.
        excess = np.where(np.abs(signs) > thresholds.MOST_OF_A_GRID, excess, 0)
        best = max(best, float(np.where(excess * np.sqrt(counts) > thresholds.GRID_SCORE * noise, excess, 0).max()))
    return best / thresholds.LINE_UNIT


def _around(values: _Profile, reach: int) -> _Profile:
    return largest(values, min(2 * reach + 1, values.size), border="wrap")


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


def _lines(pair: Planes, *, turned: bool) -> float:
    if min(pair.fine.shape) < 32:
        return 0.0
    reach = math.ceil(pair.factor)
    found = np.abs(_thin_lines(pair.fine, turned=turned))[2:-2]
    # Straight edges of the original become sharper, and rows of text too small to be read become rows of letters.
    edges = pair.known.once(
        ("edges", turned), lambda: _common(np.gradient(_strips(pair.plain, _THIN_STRIPS, turned=turned), axis=1))
    )
    own = _widest(_own_lines(pair, turned=turned), 2 * reach)[2:-2]
    allowed = thresholds.EDGE_MAY_LINE * reach * _widest(edges, 2 * reach)[2:-2] + thresholds.OWN_MAY_LINE * own
    return _standing_out(found, allowed, thresholds.LINE_SCORE)


def _thin_lines(fine: Plane, *, turned: bool) -> _Profile:
    """Return the height of lines: what nearly all strips have, less some of what they differ in."""
    strips = _strips(fine, _THIN_STRIPS, turned=turned)
    found = _common(strips)
    low, high = np.quantile(strips, (thresholds.FEW_STRIPS, 1 - thresholds.FEW_STRIPS), axis=0)
    height: _Profile = np.sign(found) * np.maximum(0, np.abs(found) - thresholds.UNEVEN_COSTS * (high - low))
    return height


def _own_lines(pair: Planes, *, turned: bool) -> _Profile:
    """Return by how much columns of the plain upscale are lighter than their surroundings, in nearly all strips."""

    def find() -> _Profile:
        strips = _strips(pair.plain, _THIN_STRIPS, turned=turned)
        return _common(strips - blurred_along(strips, 2 * math.ceil(pair.factor), axis=1))

    return pair.known.once(("lines", turned), find)


def _standing_out(found: _Profile, allowed: _Profile, score: float) -> float:
    """Return the largest value by which a profile is above what is allowed and usual there."""
    usual = medians(found, min(65, found.size))
    excess = found - allowed - usual
    least = score * max(_spread(found), 0.1 / 255)
    return float(max(0.0, np.where(excess > least, excess, 0.0).max()))


def _strips(plane: Plane, many: int = _STRIPS, *, turned: bool = False) -> _Profile:
    """Return the mean of each column in each strip of rows, or of each row in each strip of columns."""
    rows = plane.T if turned else plane
    edges = np.linspace(0, rows.shape[0], min(many, rows.shape[0]) + 1).astype(int)
    return np.stack([rows[top:bottom].mean(axis=0, dtype=np.float64) for top, bottom in pairwise(edges)])


def _common(profile: _Profile) -> _Profile:
    """Return the signed value that nearly all strips reach, of the one sign or the other; 0 where they do not agree."""
    low, high = np.quantile(profile, (thresholds.FEW_STRIPS, 1 - thresholds.FEW_STRIPS), axis=0)
    found: _Profile = np.where(low > 0, low, np.where(high < 0, high, 0.0))
    return found


def _nearly_everywhere(profile: _Profile) -> _Profile:
    """Return the absolute value that nearly all strips reach, whatever their sign."""
    found: _Profile = np.quantile(np.abs(profile), 0.25, axis=0)
    return found


def _spread(profile: _Profile) -> float:
    """Return a robust standard deviation."""
    return float(1.4826 * np.median(np.abs(profile - np.median(profile))))


def _widest(profile: _Profile, reach: int) -> _Profile:
    """Return the largest absolute value within a reach."""
    return largest(np.abs(profile), 2 * reach + 1)
