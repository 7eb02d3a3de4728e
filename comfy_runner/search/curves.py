"""What there may be at values that were not measured: a hundred sweeps that agree with all that was.

The logarithm of what is reached of the limits, and detail, are taken to be smooth curves over the values, and each series (such as
a seed) to lie a little above or below them all along. That is Bayesian linear regression (Bishop 2006, *Pattern Recognition and
Machine Learning*, §3.3.1) on a straight line, cosines, and a constant for each series; a possible sweep is one draw of what it
leaves open. The draws are the same every time, so that all is a function of what was measured.

Values and series are meant by their places, from 0. Nothing here knows of recipes, pictures or files.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from math import cos, inf, log, pi, sqrt
from operator import mul
from statistics import NormalDist, fmean
from typing import Final

from comfy_runner.search.choice import unseen
from comfy_runner.search.linear_equations import cholesky, forward

Trial = tuple[int, int]
"""A value and a series."""


SWEEPS: Final = 100
"""How many sweeps are imagined."""

_LEAST: Final = 0.05  # of a limit: below, differences say nothing, and logarithms would exaggerate them
_NOISE: Final = 0.01  # of each number, as a share: what neighboring values of a real sweep are off a smooth curve (docs/find.md)
_BEYOND: Final = 0.3  # what noise detail has besides, times the square of how far the picture is over a limit: it is another one
_SPOILT: Final = 0.3  # of each number likewise, where something has spoilt the picture
_SPREAD: Final = 0.07  # between series
_GROWTH: Final = 2.0  # how far the logarithm grows or falls from the smallest value to the largest
_COSINES: Final = 7
_BEND: Final = 0.2  # what the cosines add to a curve; the higher they are the less
_SUDDEN: Final = 0.15  # of all sweeps, in which a limit is exceeded all of a sudden, anywhere
_ENDS: Final = 0.5  # likewise, in which not all values are vetoed that are larger than the largest one that was measured and is


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was measured at a place.

    Attributes:
        reach: The largest share that a measure has of its limit; above 1 the picture is ruled out, and larger values of the field
            are taken to be, too.
        drift: How far the composition has moved.
        detail: Real detail, which is to be had as much of as possible.
        cost: What the drift takes off it, where the user has said so.
        vetoed: Whether something else rules the picture out.
    """

    reach: float
    drift: float
    detail: float
    cost: float = 0.0
    vetoed: bool = False

    @property
    def worth(self) -> float:
        """What pictures that are allowed are compared by."""
        return self.detail - self.cost

    @property
    def is_over(self) -> bool:
        """Whether a limit is exceeded."""
        return self.reach > 1

    @property
    def is_out(self) -> bool:
        """Whether the picture is ruled out, by a limit or by something else."""
        return self.is_over or self.vetoed


Trials = Mapping[Trial, Seen]
"""All that was measured."""


@dataclass(frozen=True)
class PossibleSweep:
    """What a sweep of all values would have measured.

    Attributes:
        out: Of each value, whether it is ruled out in any series.
        detail: Of each value, the mean detail of all series.
    """

    out: Sequence[bool]
    detail: Sequence[float]

    @cached_property
    def choice(self) -> int | None:
        """The smallest value that has as much detail as can be seen, of those that are not ruled out; None where all are."""
        return next((value for value in range(len(self.out)) if self.is_good(value)), None)

    def agrees(self, choice: int | None) -> bool:
        """Return whether this is, but for what cannot be told apart, what it would choose: a value, one next to it, or as good."""
        if choice is None or self.choice is None:
            return choice is self.choice
        return not self.out[choice] and (abs(choice - self.choice) <= 1 or self.is_good(choice))

    def is_good(self, value: int) -> bool:
        """Return whether a value is allowed, and has as much detail as can be seen."""
        return not self.out[value] and self.detail[value] >= self._least

    @cached_property
    def _least(self) -> float:
        most = max((detail for detail, is_out in zip(self.detail, self.out, strict=True) if not is_out), default=0.0)
        return most - unseen(most)


def possible_sweeps(known: Trials, values: int, series: int) -> list[PossibleSweep]:
    """Return sweeps that agree with what was measured.

    Args:
        known: What was measured, at one place at least.
        values: How many values there are.
        series: How many series there are.
    """
    most = max(abs(seen.worth) for seen in known.values()) or 1.0
    reach = _Curves(
        {place: (log(max(seen.reach, _LEAST)), _NOISE + _SPOILT * seen.vetoed) for place, seen in known.items()},
        values,
        series,
        height=1.0,
        growth=_GROWTH,
    )
    detail = _Curves(
        {
            place: (seen.worth, most * (_NOISE + _SPOILT * seen.vetoed + _BEYOND * max(0.0, seen.reach - 1) ** 2))
            for place, seen in known.items()
        },
        values,
        series,
        height=most,
        growth=most,
    )
    at = [{which: known[value, which] for which in range(series) if (value, which) in known} for value in range(values)]
    under = max((value for value, row in enumerate(at) if row and not any(seen.is_over for seen in row.values())), default=-1)
    over = min((value for value, row in enumerate(at) if value > under and row), default=values)
    return [_sweep(draw, at, reach, detail, _NOISE * most, (under, over)) for draw in _chances(values, _Curves.LINES + series)]


def _sweep(
    draw: _Chance, at: Sequence[Mapping[int, Seen]], reach: _Curves, detail: _Curves, noise: float, limit: tuple[int, int]
) -> PossibleSweep:
    """Return one of the sweeps.

    Args:
        draw: What is by chance in it.
        at: What was measured at each value, by series.
        reach: What is known of the logarithm of what is reached of the limits.
        detail: What is known of detail.
        noise: Of detail.
        limit: The largest value that is known to keep the limits, and the next larger one that was measured.
    """
    reaches, reach_offsets = reach.draw(draw.reach)
    details, detail_offsets = detail.draw(draw.detail)
    worst, mean, series = max(reach_offsets), fmean(detail_offsets), len(reach_offsets)
    under, over = limit
    if draw.sudden < _SUDDEN:
        step = under + 1 + int((over - under) * draw.sudden / _SUDDEN)
        reaches = [-inf if value < step else inf for value in range(len(at))]
    elif over < len(at):
        reaches[over:] = [inf] * (len(at) - over)
    vetoed = _vetoed(at, series, draw)
    out, level = [], []
    for value, row in enumerate(at):
        if not row:
            out.append(vetoed[value] or reaches[value] + worst + _NOISE * draw.noise[value] > 0)
            level.append(details[value] + mean + noise * draw.other_noise[value] / sqrt(series))
            continue
        missing = [which for which in range(series) if which not in row]
        is_vetoed = vetoed[value] if missing else any(seen.vetoed for seen in row.values())
        more = max((reach_offsets[which] for which in missing), default=-inf)
        out.append(is_vetoed or any(seen.is_out for seen in row.values()) or reaches[value] + more > 0)
        total = sum(seen.worth for seen in row.values()) + sum(details[value] + detail_offsets[which] for which in missing)
        level.append(total / series)
    return PossibleSweep(out, level)


def _vetoed(at: Sequence[Mapping[int, Seen]], series: int, chance: _Chance) -> list[bool]:
    """Return which values have a veto: between one that has and one that has none it begins or ends anywhere."""
    known = [(value, any(seen.vetoed for seen in row.values())) for value, row in enumerate(at) if row]
    if not any(has for _, has in known):
        return [False] * len(at)
    last = known[-1][1] and not chance.ends
    found = list[bool]()
    for (left, before), (right, after) in pairwise([(-1, False), *known, (len(at), last)]):
        border = left + 1 + int((right - left) * chance.veto)
        found += [before if value < border else after for value in range(left + 1, right)]
        found.append(after)
    # Of other series it begins a little sooner, or ends a little later.
    off = int(chance.off * _SPREAD * len(at)) if series > 1 else 0
    return [any(found[max(0, value - off) : value + off + 1]) for value in range(len(at))]


class _Curves:
    """All smooth curves through some numbers, as likely as they are."""

    LINES: Final = 2 + _COSINES
    """How many functions a curve is the sum of."""

    def __init__(
        self, points: Mapping[Trial, tuple[float, float]], values: int, series: int, *, height: float, growth: float
    ) -> None:
        """Find what is known of them.

        Args:
            points: The numbers, each with its standard deviation.
            values: How many values there are.
            series: How many series there are.
            height: How high curves lie, in the units of the numbers.
            growth: How far they grow or fall.
        """
        bends = [height * _BEND / (1 + number**2 / 4) for number in range(1, _COSINES + 1)]
        named = sorted({which for _, which in points})
        deviations = [height, growth, *bends, *([_SPREAD * height] * len(named))]
        basis = _basis(values)

        def row(value: int | None, which: int | None) -> list[float]:
            return [*(basis[value] if value is not None else [0.0] * self.LINES), *(float(which == other) for other in named)]

        matrix = [[float(one == other) / deviation**2 for other in range(one + 1)] for one, deviation in enumerate(deviations)]
        right = [0.0, 1 / growth, *([0.0] * (len(deviations) - 2))]  # as far as they usually grow
        for (value, which), (number, deviation) in points.items():
            functions = row(value, which)
            for one, factor in enumerate(functions):
                weighted = factor / deviation**2
                right[one] += weighted * number
                line = matrix[one]
                for other in range(one + 1):
                    line[other] += weighted * functions[other]
        self._lower = cholesky(matrix)
        middle = forward(self._lower, right)
        # Each number is the mean that it has, and a row of factors for the numbers that are drawn by chance.
        self._at = [
            (sum(map(mul, factors, middle)), factors)
            for factors in (forward(self._lower, row(value, None)) for value in range(values))
        ]
        self._offsets = {
            which: (sum(map(mul, factors, middle)), factors)
            for which, factors in ((which, forward(self._lower, row(None, which))) for which in named)
        }
        self._series, self._spread = series, _SPREAD * height

    def draw(self, chance: Sequence[float]) -> tuple[list[float], list[float]]:
        """Return one curve, and how far each series is off it; from normal deviates, as many as there are functions and series."""
        curve = [mean + sum(map(mul, factors, chance)) for mean, factors in self._at]
        offsets = []
        for which in range(self._series):
            if which in self._offsets:
                mean, factors = self._offsets[which]
                offsets.append(mean + sum(map(mul, factors, chance)))
            else:
                offsets.append(self._spread * chance[-1 - which])
        return curve, offsets


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chance:
    """What is by chance in a sweep: numbers with mean 0 and standard deviation 1, and some between 0 and 1."""

    reach: Sequence[float]
    detail: Sequence[float]
    noise: Sequence[float]
    other_noise: Sequence[float]
    sudden: float
    veto: float
    off: float
    ends: bool


@lru_cache(maxsize=8)
def _chances(values: int, functions: int) -> Sequence[_Chance]:
    draw, normal = random.Random(0), NormalDist().inv_cdf  # noqa: S311 - to be the same each time, not to be secret

    def normals(count: int) -> list[float]:
        return [normal((draw.getrandbits(32) + 0.5) / 2**32) for _ in range(count)]

    return [
        _Chance(
            reach=normals(functions),
            detail=normals(functions),
            noise=normals(values),
            other_noise=normals(values),
            sudden=draw.random(),
            veto=draw.random(),
            off=abs(normals(1)[0]),
            ends=draw.random() < _ENDS,
        )
        for _ in range(SWEEPS)
    ]


@lru_cache(maxsize=8)
def _basis(values: int) -> Sequence[Sequence[float]]:
    """Return what each function is at each value: a constant, a line, and cosines, which have no slope a little beyond the ends."""
    at = [value / max(1, values - 1) for value in range(values)]
    return [[1.0, part - 0.5, *(cos(number * pi * (part + 0.15) / 1.3) for number in range(1, _COSINES + 1))] for part in at]
