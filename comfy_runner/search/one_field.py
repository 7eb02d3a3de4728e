"""Which value of one field a search renders next: the one that a sweep of all would most likely choose, and what tells most.

What a sweep would measure is imagined a hundred times, in agreement with what was measured so far (`search.curves`). Where nearly
all of these sweeps choose the value that is known to be the best, the search is at its end. Until then it asks for the value that
most of them choose, and for those that tell best which of them is right (`search.prospect`): limits are bisected so, and peaks of
detail enclosed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Final

from comfy_runner.search.choice import SERIES_TO_KNOW, AllowedValue, choice
from comfy_runner.search.curves import Seen, Trial, Trials, possible_sweeps
from comfy_runner.search.prospect import Nameable, Prospect

AT_ONCE: Final = 2
"""How many places are asked for at a time at least: one is rendered, and one waits behind it. Of a fleet, each server has one."""

_ENOUGH: Final = 0.95  # of all possible sweeps
_ONE_BY_ONE: Final = 2  # of a single series, so many are asked for one after the other at the end
_LOOKED_AT: Final = 40  # values
_SPREADS: Final = 3.0


def choose(table: Sequence[Mapping[int, Seen]]) -> int | None:
    """Return the value that is chosen (`search.choice`); None where none is allowed.

    Args:
        table: For each value, what the series have there; a value without any cannot be chosen.
    """
    candidates = [
        AllowedValue(
            value=value,
            detail=fmean(seen.detail for seen in row.values()),
            drift=fmean(seen.drift for seen in row.values()),
            worth=fmean(seen.worth for seen in row.values()),
            worths={which: seen.worth for which, seen in row.items()},
        )
        for value, row in enumerate(table)
        if row and not any(seen.is_out for seen in row.values())
    ]
    found = choice(candidates)
    return found.value if found else None


def next_places(known: Trials, values: int, series: int, *, left: int, at_once: int = AT_ONCE) -> list[Trial]:
    """Return what is measured next; nothing where the search is at its end.

    Args:
        known: What was measured.
        values: How many values there are, in ascending order.
        series: How many series there are.
        left: How many places may be asked for still, at least 1.
        at_once: How many places are asked for at a time, at least 1. The last two of a single series are asked for one after the
            other: where so few are left, each has to be chosen by what all others have told.
    """
    if not known:
        return [(value, 0) for value in _first_values(values, min(at_once, max(AT_ONCE, left // 2)))]
    rows = settled(known, values, series)
    named = choose(rows)
    sweeps = possible_sweeps(known, values, series)
    prospect = Prospect(sweeps)
    votes = prospect.votes
    if votes[named] >= _ENOUGH * len(sweeps) and (named is not None or rows[0]):
        return []
    missing = {
        value: [which for which in range(series) if (value, which) not in known] for value, row in enumerate(rows) if not row
    }
    if not missing:
        return []
    looked_at = _looked_at(missing, votes)
    if series == 1 and left <= _ONE_BY_ONE:
        return [(_last_value(looked_at, prospect, named, left=left), 0)]
    if series > 1 and left - at_once < series:
        # What cannot be measured in enough series any more cannot be named.
        in_time = [value for value in looked_at if _needed(missing[value], series) <= left]
        ranked = sorted(in_time, key=lambda value: (-prospect.after([value], {named, value}), -votes[value], value))
        return [(value, which) for value in ranked[:1] for which in missing[value][:at_once]]
    wanted = list[Trial]()
    leader = max(looked_at, key=lambda value: (votes[value], -value))
    if votes[leader] == max(votes.values()):
        others = missing[leader]
        wanted += [(leader, which) for which in others[: 1 if len(others) == series else at_once]]
    more = min(at_once, left - _ONE_BY_ONE if series == 1 else left) - len(wanted)
    telling = _most_telling(looked_at, prospect, [leader] if wanted else [], more)
    return wanted + [(value, missing[value][0]) for value in telling]


def agreement(known: Trials, values: int, series: int, choice: int | None) -> float:
    """Return how likely it is that a sweep of all values would choose a value, or one next to it, or find as much detail there.

    Args:
        known: What was measured; with nothing, it is 0.
        values: How many values there are.
        series: How many series there are.
        choice: The value; None for that none is allowed.
    """
    sweeps = possible_sweeps(known, values, series) if known else []
    return sum(sweep.agrees(choice) for sweep in sweeps) / max(1, len(sweeps))


def _first_values(values: int, count: int) -> list[int]:
    """Return where a search begins: so many values, evenly within the range."""
    inner = [((number + 1) * values) // (count + 1) for number in range(count)]
    return list(dict.fromkeys(value for value in (*inner, values - 1) if value < values))[:count]


def _last_value(looked_at: Sequence[int], prospect: Prospect, named: Nameable, *, left: int) -> int:
    """Return the value after which, and after another one where two are left, the best of what is measured is known best."""

    def known_by(value: int) -> float:
        return prospect.after_two(value, looked_at, {named}) if left > 1 else prospect.after([value], {named, value})

    # Of those that tell as much, the one nearest to the best: curves may be wrong.
    return max(looked_at, key=lambda value: (known_by(value), prospect.votes[value], -abs(value - (named or 0))))


def _most_telling(looked_at: Sequence[int], prospect: Prospect, asked: list[int], count: int) -> list[int]:
    """Return so many values that tell best, together with what is asked for already, which value the whole sweep chooses."""
    found = list[int]()
    for _ in range(min(count, len(looked_at) - len(asked))):
        with_others = {value: prospect.after([*asked, *found, value], prospect.votes) for value in looked_at}
        left = [value for value in looked_at if value not in asked and value not in found]
        found.append(max(left, key=lambda value: (with_others[value], prospect.votes[value], -value)))
    return found


def _looked_at(missing: Iterable[int], votes: Mapping[Nameable, int]) -> list[int]:
    """Return the values that may be asked for; of very many, those with the most votes and some that lie evenly."""
    found = [*missing]
    if len(found) <= _LOOKED_AT:
        return found
    first = sorted(found, key=lambda value: (-votes.get(value, 0), value))[: _LOOKED_AT // 2]
    return sorted({*first, *found[:: 2 * len(found) // _LOOKED_AT]})


def _needed(others: Sequence[int], series: int) -> int:
    """Return how many more series of a value have to be measured at least before it can be named."""
    return min(len(others), max(1, SERIES_TO_KNOW - (series - len(others))))


def settled(known: Trials, values: int, series: int) -> list[dict[int, Seen]]:
    """Return what was measured at each value of which enough is known to choose it, or to rule it out; nothing at others."""
    rows = [{which: known[value, which] for which in range(series) if (value, which) in known} for value in range(values)]
    return [row if any(seen.is_out for seen in row.values()) or _is_enough([*row.values()], series) else {} for row in rows]


def _is_enough(row: Sequence[Seen], series: int) -> bool:
    """Return whether enough series were measured: all, or so many that by their spread no other one will exceed a limit."""
    if len(row) == series:
        return True
    if len(row) < SERIES_TO_KNOW:
        return False
    reaches = [seen.reach for seen in row]
    return fmean(reaches) + _SPREADS * stdev(reaches) * sqrt(1 + 1 / len(row)) < 1
