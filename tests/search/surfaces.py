"""What a sweep over several fields would measure, made up: drift that grows with the first field, and that the others shift."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product
from math import exp, prod
from statistics import fmean

from comfy_runner.search.curves import Seen, Trial
from comfy_runner.search.one_field import choose
from comfy_runner.search.space import Combination, Dimension, Space
from tests.search.support import LIMIT

SHAPES = ("straight", "levelling", "peaked")
"""How detail goes with the first field."""

_NEXT_TO_NONE = 0.05

Kind = str
"""How a field changes detail and drift: ``levelling``, as steps do, ``peaked``, as cfg does, or ``names``."""


def space_of(counts: Sequence[int], kinds: Sequence[Kind], *, series: int = 1, seed: int = 0) -> Space:
    """Return all combinations of a field like denoise with others."""
    points = [*product(*map(range, counts))]
    return Space(
        dimensions=tuple(
            Dimension(values=count, is_ordered=kind != "names", grows=index == 0)
            for index, (count, kind) in enumerate(zip(counts, ["grows", *kinds], strict=True))
        ),
        numbers={point: number for number, point in enumerate(points)},
        points=points,
        series=series,
        seed=seed,
    )


def surface(
    draw: random.Random, counts: Sequence[int], kinds: Sequence[Kind], *, shape: str, series: int = 1, spread: float = 0.0
) -> dict[Trial, Seen]:
    """Return what is measured at every place.

    Args:
        draw: Where the surface comes from.
        counts: How many values each field has.
        kinds: How each but the first changes the others.
        shape: How detail goes with the first, one of `SHAPES`.
        series: How many series there are.
        spread: The standard deviation between series, as a share.
    """
    power, crossing = draw.uniform(1, 4), draw.uniform(0.2, 1.1)
    most, width, peak = draw.uniform(0.3, 0.8), draw.uniform(0.4, 1.0), draw.uniform(0.1, 1.3)
    others = [_changes(draw, count, kind) for count, kind in zip(counts[1:], kinds, strict=True)]
    factors = [(1 + draw.gauss(0, spread), 1 + draw.gauss(0, spread)) for _ in range(series)]
    found = {}
    for number, point in enumerate(product(*map(range, counts))):
        at = point[0] / (counts[0] - 1)
        parts = [changes[place] for changes, place in zip(others, point[1:], strict=True)]
        better, shifted = max(0.1, 1 + sum(part for part, _ in parts)), max(0.2, 1 + sum(part for _, part in parts))
        detail = (
            better
            * {
                "straight": most * (at + 0.15),
                "levelling": most * (1 - exp(-2.5 * (at + 0.1) / width)),
                "peaked": most * max(0.0, 1 - ((at - peak) / width) ** 2),
            }[shape]
        )
        for which, (more, sharper) in enumerate(factors):
            drift = LIMIT * more * shifted * ((0.3 + at) / (0.3 + crossing)) ** power
            found[number, which] = Seen(reach=drift / LIMIT, drift=drift, detail=detail * sharper + draw.gauss(0, 0.005))
    return found


def _changes(draw: random.Random, count: int, kind: Kind) -> list[tuple[float, float]]:
    """Return by which share each value of a field changes detail, and drift."""
    if kind == "names":
        return [(draw.uniform(-0.15, 0.15), draw.uniform(-0.3, 0.3)) for _ in range(count)]
    places = [place / (count - 1) for place in range(count)]
    if kind == "levelling":
        speed, more = draw.uniform(1, 6), draw.uniform(-0.2, 0.2)
        return [(-0.5 * exp(-speed * at), more * at) for at in places]
    peak, width, more = draw.uniform(0, 1), draw.uniform(0.5, 1.2), draw.uniform(-0.4, 0.4)
    return [(-0.6 * ((at - peak) / width) ** 2, more * (at - 0.5)) for at in places]


def quality(everything: Mapping[Trial, Seen], space: Space, chosen: int | None) -> float | None:
    """Return the detail of what was chosen, as a share of what the whole sweep chooses; 0 where it exceeds a limit.

    None where the sweep chooses nothing, or what has next to no detail, so that shares of it say nothing.
    """
    series = range(space.series)
    best = choose([{which: everything[number, which] for which in series} for number in range(len(space.points))])
    if best is None or fmean(everything[best, which].detail for which in series) < _NEXT_TO_NONE:
        return None
    if chosen is None or any(everything[chosen, which].is_over for which in series):
        return 0.0
    there, wanted = (fmean(everything[number, which].detail for which in series) for number in (chosen, best))
    return there / wanted


SPACES: Mapping[str, tuple[Combination, tuple[Kind, ...]]] = {
    "denoise x method": ((26, 5), ("names",)),
    "denoise x steps": ((11, 6), ("levelling",)),
    "denoise x steps x cfg": ((11, 6, 5), ("levelling", "peaked")),
    "denoise x steps x method": ((26, 6, 4), ("levelling", "names")),
}
"""Fields as people sweep them, with how many values each has."""


def cases(name: str, count: int, *, series: int = 1, spread: float = 0.0) -> list[tuple[dict[Trial, Seen], Space, int]]:
    """Return surfaces of all shapes with their spaces, and a fifth of what the whole sweep takes.

    Args:
        name: One of `SPACES`.
        count: How many surfaces of each shape.
        series: How many series there are.
        spread: The standard deviation between series, as a share.
    """
    counts, kinds = SPACES[name]
    found = []
    for shape in SHAPES:
        for number in range(count):
            draw = random.Random(f"{name} {shape} {number} {series}")  # noqa: S311 - to be repeated, not to be secret
            everything = surface(draw, counts, kinds, shape=shape, series=series, spread=spread)
            found.append((everything, space_of(counts, kinds, series=series, seed=number), prod(counts) * series // 5))
    return found
