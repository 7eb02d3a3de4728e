"""Which of several values is chosen, once they are measured: one rule for a search and for what `suggest` names after a sweep.

Of what is allowed, the one with the most detail; where others have as much, within what the series (for instance the seeds) differ,
the one of them that drifts least. That is the one-standard-error rule of Breiman et al. 1984, *Classification and Regression
Trees*, §3.4.3, with drift for complexity. Where drift is said to cost something, that is taken off the detail first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import stdev
from typing import Final

UNSEEN_DETAIL: Final = 0.02
"""Difference in detail that nobody sees, however little detail there is."""

SERIES_TO_KNOW: Final = 4
"""In how many series a value has to be known at least, where there are as many, to be chosen."""

_AS_MUCH: Final = 0.03  # of the best detail: less is not seen either


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedValue:
    """A value that can be chosen: all its pictures are allowed.

    Attributes:
        value: Its place among all values.
        detail: Mean detail of its pictures.
        drift: Their mean drift.
        worth: What it is compared by: the detail, less what the drift costs.
        worths: The same of single series, by what tells one from another.
    """

    value: int
    detail: float
    drift: float
    worth: float
    worths: Mapping[int | str, float]


def unseen(most: float) -> float:
    """Return how much less than the most detail is not seen."""
    return max(_AS_MUCH * abs(most), UNSEEN_DETAIL)


def choice(candidates: Sequence[AllowedValue]) -> AllowedValue | None:
    """Return the one that is chosen of all that are allowed, the first of those that are alike; None where there are none."""
    if not candidates:
        return None
    best = most_detailed(candidates)
    return min((each for each in candidates if each is best or _is_as_good(each, best)), key=lambda each: each.drift)


def most_detailed(candidates: Sequence[AllowedValue]) -> AllowedValue:
    """Return the one that is worth most, whatever its drift is; there has to be one."""
    return max(candidates, key=lambda each: each.worth)


def _is_as_good(one: AllowedValue, best: AllowedValue) -> bool:
    """Return whether one is worth as much as the best, as far as can be seen and as far as the series that both have can tell."""
    differences = [best.worths[which] - worth for which, worth in one.worths.items() if which in best.worths]
    error = stdev(differences) / sqrt(len(differences)) if len(differences) > 1 else 0.0
    return best.worth - one.worth <= max(unseen(best.detail), error)
