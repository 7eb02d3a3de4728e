"""What a search over several fields is about: their combinations, and which of them what was measured leaves."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from comfy_runner.search.curves import Trial

Combination = tuple[int, ...]
"""A value of each field, as its place among the field's values, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """A field that is searched.

    Attributes:
        values: How many values it has.
        is_ordered: Whether they are numbers, ascending; else names, all of which are equally far apart.
        grows: Whether what exceeds a limit at one value does so at all larger ones.
    """

    values: int
    is_ordered: bool = True
    grows: bool = False


@dataclass(frozen=True, kw_only=True)
class Space:
    """All combinations of a search.

    Attributes:
        dimensions: The fields.
        numbers: The number of each combination that can be asked for; those that give the very same pictures have the same one.
        points: The combination of each number, from 0; also of those that cannot be asked for and were measured nevertheless.
        series: How many series there are.
        seed: What chance begins with, at least 0.
        shares: What is equal for places that share their first pass; nothing where that is not known.
    """

    dimensions: tuple[Dimension, ...]
    numbers: Mapping[Combination, int]
    points: Sequence[Combination]
    series: int = 1
    seed: int = 0
    shares: Mapping[Trial, Hashable] = field(default_factory=dict)

    @cached_property
    def _askable(self) -> tuple[int, ...]:
        return tuple(sorted({*self.numbers.values()}))

    def left(self, measured: Iterable[int], over: Iterable[int]) -> list[int]:
        """Return the numbers that can be asked for, and that may be allowed.

        Args:
            measured: Those of which something was measured.
            over: Those that exceed a limit.
        """
        lines = defaultdict(list)
        for number in over:
            line, place = self._parts(number)
            lines[line].append(place)
        seen = {*measured}
        return [number for number in self._askable if number not in seen and not self._is_over(number, lines)]

    def _is_over(self, number: int, lines: Mapping[Combination, Sequence[Combination]]) -> bool:
        line, place = self._parts(number)
        return any(all(here >= there for here, there in zip(place, other, strict=True)) for other in lines.get(line, ()))

    def _parts(self, number: int) -> tuple[Combination, Combination]:
        """Return a combination's values of the fields that do not grow, and of those that do."""
        pairs = [*zip(self.points[number], self.dimensions, strict=True)]
        return tuple(at for at, each in pairs if not each.grows), tuple(at for at, each in pairs if each.grows)

    def beside(self, number: int) -> list[int]:
        """Return the numbers that differ from one in one field: by one place, or by any other name."""
        at, found = self.points[number], []
        for index, each in enumerate(self.dimensions):
            places = (at[index] - 1, at[index] + 1) if each.is_ordered else range(each.values)
            found += [(*at[:index], place, *at[index + 1 :]) for place in places]
        return [self.numbers[other] for other in found if self.numbers.get(other, number) != number]

    def spread(self, count: int) -> Iterator[int]:
        """Yield numbers that lie evenly, without end, a few of them several times.

        They are those of Roberts 2018, *The Unreasonable Effectiveness of Quasirandom Sequences*: multiples of the powers of a
        generalized golden ratio. Where they hit nothing that can be asked for, chance decides.

        Args:
            count: Of how many they are the next.
        """
        ratio = 2.0
        for _ in range(40):
            ratio = (1 + ratio) ** (1 / (len(self.dimensions) + 1))
        draw = random.Random(self.seed + count)  # noqa: S311 - to be repeated, not to be secret
        while True:
            count += 1
            parts = ((0.5 + count * ratio ** -(index + 1)) % 1 for index in range(len(self.dimensions)))
            point = tuple(int(part * each.values) for part, each in zip(parts, self.dimensions, strict=True))
            yield self.numbers.get(point, draw.choice(self._askable))
