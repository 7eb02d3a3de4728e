"""What a sweep would measure, made up: drift that grows with the value, detail that goes with it in one of many ways, vetoes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from math import exp
from statistics import fmean
from typing import Final

from comfy_runner.search.choice import unseen
from comfy_runner.search.curves import Seen, Trial
from comfy_runner.search.one_field import choose

LIMIT: Final = 0.3
SHAPES: Final = ("straight", "levelling", "peaked", "at the limit", "plateaus", "blurred first")
"""How detail goes with the value: it grows; it levels off; it has a peak anywhere; one where drift crosses the limit; it has two
plateaus; it begins below that of the plain upscale."""

VETOES: Final = ("", "large", "some")
"""Which values have a veto: none; the largest ones, whatever their drift; a few in the middle of the range."""


def grid(
    draw: random.Random, *, values: int, series: int, shape: str, spread: float = 0.0, noise: float = 0.0, veto: str = ""
) -> dict[Trial, Seen]:
    """Return what is measured at every place.

    Args:
        draw: Where the curves come from.
        values: How many values there are.
        series: How many series.
        shape: How detail goes with the value, one of `SHAPES`.
        spread: The standard deviation between series, as a share.
        noise: That of each number that is measured, likewise.
        veto: Which values have one, of `VETOES`.
    """
    power, crossing, levels = draw.uniform(1, 4), draw.uniform(0.2, 1.1), draw.random() < 0.5
    most, width, peak = draw.uniform(0.3, 0.8), draw.uniform(0.4, 1.0), draw.uniform(0.1, 1.3)
    first, second, between = draw.uniform(0.1, 0.4), draw.uniform(0.5, 0.9), draw.uniform(0.3, 0.7)
    begins = draw.uniform(0.4, 1.0)
    ends = begins + draw.uniform(0.1, 0.25) if veto == "some" else 9.0
    found = {}
    for which in range(series):
        more, sharper, aside = 1 + draw.gauss(0, spread), 1 + draw.gauss(0, spread), draw.gauss(0, spread)
        for value in range(values):
            at = value / (values - 1)
            grown = ((0.3 + at) / (0.3 + crossing)) ** power
            drift = LIMIT * more * (2 * grown / (1 + grown) if levels else grown)
            detail = {
                "straight": most * (at + 0.15),
                "levelling": most * (1 - exp(-2.5 * (at + 0.1) / width)),
                "peaked": most * max(0.0, 1 - ((at - peak) / width) ** 2),
                "at the limit": most * exp(-(((at - crossing - aside) / (width / 2)) ** 2)),
                "plateaus": most * (0.1 + between * _rise(at, first) + (1 - between) * _rise(at, second)),
                "blurred first": most * (1.3 * (1 - exp(-3 * at / width)) - 0.3),
            }[shape]
            found[value, which] = Seen(
                reach=drift / LIMIT * (off := 1 + draw.gauss(0, noise)),
                drift=drift * off,
                detail=detail * sharper * (1 + draw.gauss(0, noise)),
                vetoed=bool(veto) and begins + aside <= at < ends + aside,
            )
    return found


def _rise(at: float, middle: float) -> float:
    return 1 / (1 + exp(-(at - middle) / 0.05))


def rows(everything: Mapping[Trial, Seen], values: int, series: int) -> list[dict[int, Seen]]:
    """Return what each series has at each value."""
    return [{which: everything[value, which] for which in range(series)} for value in range(values)]


def chosen(everything: Mapping[Trial, Seen], *, values: int, series: int) -> int | None:
    """Return what a sweep of all values chooses."""
    return choose(rows(everything, values, series))


def is_as_good(table: Sequence[Mapping[int, Seen]], found: int | None, wanted: int | None) -> bool:
    """Return whether a value is next to the one of the whole sweep, or is allowed and has as much detail as can be seen."""
    if found is None or wanted is None:
        return found is wanted
    if abs(found - wanted) <= 1:
        return True
    allowed = [row for row in table if not any(seen.is_over or seen.vetoed for seen in row.values())]
    most = max(fmean(seen.detail for seen in row.values()) for row in allowed)
    return table[found] in allowed and fmean(seen.detail for seen in table[found].values()) >= most - unseen(most)
