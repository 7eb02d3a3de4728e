"""The way of a search from what was known at its beginning: what it asks for, what it has been given, what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Final

from comfy_runner.search.curves import Seen, Trial, Trials
from comfy_runner.search.one_field import AT_ONCE, agreement, choose, next_places, settled

USUAL_JOBS: Final = 24
"""The most jobs that a search renders, where nothing else is asked for."""

_FEW: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How far a search has come.

    Attributes:
        known: What it goes by.
        steps: The places that it has asked for and been given, in order.
        waits: Those that it asks for now; nothing at its end.
        is_cut: Whether it would ask for more, had it not asked for as much as it may.
        choice: The value; None where none is allowed, or nothing is known.
        agreement: How likely a sweep of all values would choose it, or one next to it, or find as much detail there, from 0 to 1;
            None before the end, and of several fields.
    """

    known: Trials
    steps: tuple[Trial, ...]
    waits: tuple[Trial, ...]
    is_cut: bool
    choice: int | None
    agreement: float | None


def follow(
    had: Trials,
    measured: Mapping[Trial, Seen],
    *,
    values: int,
    series: int,
    most: int,
    at_once: int = AT_ONCE,
    ask: Callable[[Trials, bool], Sequence[Trial]] | None = None,
) -> Way:
    """Return the way that a search takes, a function of what is measured alone.

    It looks at results in the order in which it asks for them. So one that is interrupted goes on as it would have gone, whatever
    was done by then.

    Args:
        had: What was measured before the search began.
        measured: All that is measured now.
        values: How many values there are, in ascending order.
        series: How many series there are.
        most: How many places it may ask for, at least 1.
        at_once: How many it asks for at a time, as for `next_places`.
        ask: What it asks for, given what is known and whether it is late: two thirds of its places, or of the usual number, are
            known. None for a search over one field.
    """
    known, steps = dict(had), list[Trial]()
    while True:
        left = most - len(steps)
        wanted = (
            next_places(known, values, series, left=left, at_once=at_once)
            if ask is None
            else ask(known, 3 * len(steps) >= 2 * min(most, USUAL_JOBS))
        )
        asked = wanted[:left]
        if not asked or any(place not in measured for place in asked):
            choice = choose(settled(known, values, series))
            waits = tuple(place for place in asked if place not in measured)
            likely = None if waits or ask is not None else agreement(known, values, series, choice)
            return Way(
                known=known, steps=tuple(steps), waits=waits, is_cut=bool(wanted) and not asked, choice=choice, agreement=likely
            )
        steps += asked
        known.update((place, measured[place]) for place in asked)


def most_jobs(values: int, series: int, *, jobs: int | None = None) -> int:
    """Return how many places a search may ask for.

    Args:
        values: How many values there are.
        series: How many series there are.
        jobs: What the user allows; it is never more than half of all, unless there are very few. None for the usual, which is
            `USUAL_JOBS` at most: of each series half of up to 16 values, so 4 of 9; 8 of up to 40; of more, twice what bisection
            takes, less two or three.
    """
    half = max(min(values, 3), values // 2)
    if jobs is None:
        return min(min(half, max(_FEW, round(2 * log2(values) - 2.5))) * series, USUAL_JOBS)
    return min(half * series, jobs)
