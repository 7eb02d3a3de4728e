"""Seams: steps and lines straight through the picture, such as the borders of tiles leave."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from comfy_runner.report.metrics.planes import Plane, Planes
from comfy_runner.report.metrics.profiles import Profile, everywhere, nearly_everywhere, spread, strips, widest
from comfy_runner.report.metrics.thresholds import EDGE_MAY_LINE, EDGE_MAY_STEP, LINE_SCORE, STEP_REACH, STEP_SCORE


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


def _steps(low: Plane, original: Plane) -> float:
    if min(low.shape) < 4 * STEP_REACH:
        return 0.0
    found = nearly_everywhere(_step(strips(low)))
    # An edge of the original may have become a little stronger or weaker.
    allowed = EDGE_MAY_STEP * widest(nearly_everywhere(_step(strips(original))), STEP_REACH)
    return _standing_out(found, allowed, STEP_SCORE)


def _step(profile: Profile) -> Profile:
    """Return by how much the pixels right of each border are lighter than those left of it."""
    sums = np.cumsum(np.pad(profile, ((0, 0), (1, 0))), axis=1)
    means = (sums[:, STEP_REACH:] - sums[:, :-STEP_REACH]) / STEP_REACH
    step: Profile = means[:, STEP_REACH:] - means[:, :-STEP_REACH]
    return step


def _lines(fine: Plane, plain: Plane, reach: int) -> float:
    if min(fine.shape) < 32:
        return 0.0
    found = np.abs(everywhere(strips(fine)))[2:-2]
    edges = np.gradient(everywhere(strips(plain)))
    allowed = EDGE_MAY_LINE * reach * widest(edges, 2 * reach)[2:-2]
    return _standing_out(found, allowed, LINE_SCORE)


def _standing_out(found: Profile, allowed: Profile, score: float) -> float:
    """Return the largest value by which a profile is above what is allowed and usual there."""
    usual = ndimage.median_filter(found, min(65, found.size), mode="nearest")
    excess = found - allowed - usual
    least = score * max(spread(found), 0.1 / 255)
    return float(max(0.0, np.where(excess > least, excess, 0.0).max()))
