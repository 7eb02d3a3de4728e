"""What measuring more values would tell: how well the choice of the whole sweep would be known then.

That is a mean over sweeps as they are possible now. A set of them is a whole number with a bit for each, so that what they have in
common is one ``&``, and two measurements ahead can be looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Final

from comfy_runner.search.curves import PossibleSweep

# What an answer counts: the very choice of a sweep 1; a value with as much detail, or one next to the choice, less.
_VERY, _AS_GOOD, _BESIDE = 1.0, 0.6, 0.4
_QUARTERS: Final = (1, 2, 3)

Nameable = int | None
"""What can be named: a value, or None for that nothing is allowed."""


class Prospect:
    """What is to be expected of values that are not measured yet.

    Args:
        sweeps: Possible ones, at least one.
    """

    def __init__(self, sweeps: Sequence[PossibleSweep]) -> None:
        self._sweeps = sweeps
        self._told: dict[int, tuple[int, ...]] = {}
        self._right: dict[Nameable, tuple[int, int, int]] = {}

    @cached_property
    def votes(self) -> Counter[Nameable]:
        """How many sweeps choose each value."""
        return Counter(sweep.choice for sweep in self._sweeps)

    def after(self, values: Iterable[int], answers: Collection[Nameable]) -> float:
        """Return how good the best of some answers will be, in the mean, once some values are measured."""
        groups = [self._everything]
        for value in values:
            groups = self._parts(groups, value)
        return sum(self._best(group, answers) for group in groups)

    def after_two(self, value: int, others: Iterable[int], answers: Collection[Nameable]) -> float:
        """Return the same for a value, and for whichever of others is best to be measured next, given what the first one tells.

        Both can be named then, too.
        """
        mine = {*answers, value}
        return sum(
            max(
                [
                    self._best(group, mine),
                    *(
                        sum(self._best(part, {*mine, other}) for part in self._parts([group], other))
                        for other in others
                        if other != value
                    ),
                ]
            )
            for group in self._parts([self._everything], value)
        )

    @cached_property
    def _everything(self) -> int:
        return (1 << len(self._sweeps)) - 1

    def _parts(self, groups: Iterable[int], value: int) -> list[int]:
        """Return groups of sweeps, split by what measuring a value tells: it is ruled out, or in which quarter its detail is."""
        if value not in self._told:
            inside = sorted(sweep.detail[value] for sweep in self._sweeps if not sweep.out[value])
            cuts = [inside[len(inside) * part // 4] for part in _QUARTERS] if inside else []
            self._told[value] = self._sets(
                -1 if sweep.out[value] else bisect_right(cuts, sweep.detail[value]) for sweep in self._sweeps
            )
        return [part for group in groups for told in self._told[value] if (part := group & told)]

    def _best(self, group: int, answers: Iterable[Nameable]) -> float:
        return max(self._worth(group, answer) for answer in answers)

    def _worth(self, group: int, answer: Nameable) -> float:
        if answer not in self._right:
            self._right[answer] = self._agreeing(answer)
        very, as_good, beside = ((group & each).bit_count() for each in self._right[answer])
        return (_VERY - _AS_GOOD) * very + (_AS_GOOD - _BESIDE) * as_good + _BESIDE * beside

    def _agreeing(self, answer: Nameable) -> tuple[int, int, int]:
        """Return the sweeps that choose an answer; also those in which it is as good; also those that choose the next value."""
        very = sum(1 << at for at, sweep in enumerate(self._sweeps) if sweep.choice == answer)
        as_good = very | sum(1 << at for at, sweep in enumerate(self._sweeps) if answer is not None and sweep.is_good(answer))
        return very, as_good, as_good | sum(1 << at for at, sweep in enumerate(self._sweeps) if sweep.agrees(answer))

    @staticmethod
    def _sets(told: Iterable[int]) -> tuple[int, ...]:
        found: dict[int, int] = {}
        for at, what in enumerate(told):
            found[what] = found.get(what, 0) | 1 << at
        return tuple(found.values())
