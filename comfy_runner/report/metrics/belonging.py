"""Whether fine structures belong to the picture: whether they lie where it has structures at all, and run along them.

What networks invent when they are lost, another photograph's detail or a pattern lies anywhere and runs anywhere. How much each of
the two says is known of the original: its own finest octave has run along its coarser structures, or has not, as in clouds.
"""

from __future__ import annotations

import numpy as np

from comfy_runner.report.metrics import thresholds
from comfy_runner.report.metrics.planes import Plane, Planes, above_half, averages

_Direction = tuple[Plane, Plane]
"""Of each patch, the steps across less those down, and the slanting ones: a vector at the doubled angle, so that both sides of an
edge are alike (the structure tensor of Bigun and Granlund, *Optimal orientation detection of linear symmetry*, ICCV 1987)."""


def belonging(pair: Planes, finest_small: Plane, fine_by_patch: Plane) -> tuple[float, float]:
    """Return the share of the fine structures that belong to the picture, 0 to 1, and how far they run along the original's edges.

    Args:
        pair: The planes.
        finest_small: The finest octave of the upscaled picture at the original's size.
        fine_by_patch: The energy of `Planes.fine` in each patch.
    """
    directions = _directions(pair.fine, pair.patches)
    plain = pair.known.once("directions", lambda: _directions(pair.plain, pair.patches))
    alignment = _agreement(directions, plain)
    evidence = alignment + _likeness(fine_by_patch, _energy(pair, pair.known.finest))
    # What is painted anew, as by a second pass, belongs to what else is painted anew.
    own = _directions(pair.upscaled - pair.fine, pair.patches)
    anew = _agreement(directions, own) + _likeness(fine_by_patch, _energy(pair, finest_small))
    shares = (
        _between(evidence, thresholds.LEAST_EVIDENCE, thresholds.FULL_EVIDENCE),
        _between(anew, thresholds.LEAST_OWN, thresholds.FULLY_OWN),
        1 - pair.known.once("expected", lambda: _expected(pair)) / thresholds.SAYING,
    )
    return min(1.0, max(0.0, *shares)), alignment


def _expected(pair: Planes) -> float:
    """Return the evidence that the original's own finest octave has, against what is coarser in it; 0 upwards."""
    finest, original = pair.known.finest, pair.original
    alignment = _agreement(_directions(finest, pair.patches), _directions(original - finest, pair.patches))
    half = above_half(averages(original, (max(1, original.shape[0] // 2), max(1, original.shape[1] // 2))))
    return max(0.0, alignment) + max(0.0, _likeness(_energy(pair, finest), _energy(pair, half)))


def _energy(pair: Planes, plane: Plane) -> Plane:
    return averages(plane * plane, pair.patches)


def _likeness(energy: Plane, other: Plane) -> float:
    """Return how far two planes have their energy in the same patches: the correlation of the logarithms of their contrasts."""
    one, two = (np.log(np.sqrt(np.maximum(each, 0)) + thresholds.LEAST_SEEN).ravel() for each in (energy, other))
    one, two = one - one.mean(), two - two.mean()
    size = float(np.sqrt(np.sum(one * one) * np.sum(two * two)))
    return float(np.sum(one * two)) / size if size > 0 else 0.0


def _agreement(fine: _Direction, edges: _Direction) -> float:
    """Return how far directions agree: 1 everywhere, 0 by chance, -1 nowhere.

    Each patch counts by the square root of how directed both are.
    """
    weight = np.sqrt(np.hypot(*fine) * np.hypot(*edges))
    total = float(np.sum(weight, dtype=np.float64))
    if total <= 0:
        return 0.0
    alike = fine[0] * edges[0] + fine[1] * edges[1]
    return float(np.sum(alike / np.maximum(weight, np.finfo(np.float32).tiny), dtype=np.float64)) / total


def _directions(plane: Plane, shape: tuple[int, int]) -> _Direction:
    # Between four pixels each, so that the finest steps count.
    right, down = np.diff(plane, axis=1), np.diff(plane, axis=0)
    right, down = right[1:] + right[:-1], down[:, 1:] + down[:, :-1]
    return averages(right * right - down * down, shape), averages(2 * right * down, shape)


def _between(value: float, least: float, full: float) -> float:
    return (value - least) / (full - least)
