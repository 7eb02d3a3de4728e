"""Which combinations of several fields a search renders next: the most promising one, and one that Optuna proposes.

A Gaussian process through what was measured tells where the limits are likely to be kept and how much detail is expected there
(Gardner et al. 2014, *Bayesian Optimization with Inequality Constraints*). Optuna's TPE, which does not take the surface to be
smooth, has the other place of each batch. Never asked for is a combination if one that differs in nothing but a smaller denoise
exceeds a limit.

Of a combination the series is measured first that comes nearest to the limits, as far as is known; the others follow only if it
keeps them and is ahead of the best so far. But for the first one, they follow late in the search: until then, each place
tells more where nothing was measured yet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import log
from statistics import fmean
from typing import Final

from comfy_runner.search.curves import Seen, Trial, Trials
from comfy_runner.search.one_field import AT_ONCE, settled
from comfy_runner.search.proposals import proposals
from comfy_runner.search.space import Space
from comfy_runner.search.surface import Surface, below, improvement

_STARTS: Final = 4  # combinations before anything is expected of others
_LOOKED_AT: Final = 1000  # combinations of which something is expected at a time
_KNOWN: Final = 100  # combinations that a surface goes through
_PROPOSALS: Final = 24
_SHARING: Final = 4  # proposals among which one that shares a first pass goes first
_AHEAD: Final = 0.01  # of the best detail: by so much a combination is ahead
_WORTH: Final = 0.001  # of the best detail: where less is expected, a search is at its end
_RULED_OUT: Final = 10.0  # scores of what is ruled out are below all others
_VARIES, _LEAST_DETAIL = 0.2, 0.01  # of the most detail, and of a logarithm of what is reached: so much either varies
_LEAST, _MOST, _VETOED = -4.0, 1.5, 0.4  # logarithms of what is reached of the limits

_Row = Mapping[int, Seen]


def next_places(known: Trials, is_late: bool, *, space: Space, at_once: int = AT_ONCE) -> list[Trial]:
    """Return what is measured next; nothing where the search is at its end.

    Args:
        known: What was measured, in the order in which it was asked for.
        is_late: Whether two thirds of the places were asked for (`search.path.follow`).
        space: What is searched.
        at_once: How many places are asked for at a time, at least 1.
    """
    rows: dict[int, dict[int, Seen]] = {}
    for (number, which), seen in known.items():
        rows.setdefault(number, {})[which] = seen
    found = _Measured(rows, space)
    asked = found.unconfirmed()[:at_once] if is_late or not found.has_best else []
    for number in islice(found.promising(), at_once - len(asked)) if len(asked) < at_once else ():
        asked.append((number, found.hardest[0]))
    return asked or found.unconfirmed()[:at_once]


class _Measured:
    """What was measured of combinations.

    Attributes:
        hardest: The series, those first that come nearest to the limits.
    """

    def __init__(self, rows: Mapping[int, _Row], space: Space) -> None:
        self._rows, self._space = rows, space
        self._reach, self._detail = _offsets(rows, space.series, _reach), _offsets(rows, space.series, lambda seen: seen.worth)
        self.hardest = sorted(range(space.series), key=lambda which: -self._reach[which])
        self._allowed = [number for number, row in rows.items() if not any(seen.is_out for seen in row.values())]
        self._open = {number for number in self._allowed if not _is_enough(rows[number], space.series)}
        self._best = max((self.detail(number) for number in self._allowed if number not in self._open), default=None)

    @property
    def has_best(self) -> bool:
        """Whether a combination is known to suit all series."""
        return self._best is not None

    def reach(self, number: int) -> float:
        """Return what a combination reaches of the limits in the worst of all series, as a logarithm."""
        row = self._rows[number]
        mean = fmean(_reach(seen) - self._reach[which] for which, seen in row.items())
        return max(_reach(row[which]) if which in row else mean + self._reach[which] for which in range(self._space.series))

    def detail(self, number: int) -> float:
        """Return the mean detail of a combination over all series."""
        return fmean(seen.worth - self._detail[which] for which, seen in self._rows[number].items())

    def unconfirmed(self) -> list[Trial]:
        """Return the places that tell whether what is ahead of the best suits the other series, too."""
        ahead = [
            n
            for n in self._open
            if self.reach(n) <= 0 and (self._best is None or self.detail(n) > self._best + _AHEAD * abs(self._best))
        ]
        if not ahead:
            return []
        first = max(ahead, key=lambda number: (self.detail(number), -number))
        return [(first, which) for which in self.hardest if which not in self._rows[first]]

    def promising(self) -> Iterator[int]:
        """Yield combinations that are worth to be measured, each once."""
        rows, space = self._rows, self._space
        over = [number for number, row in rows.items() if any(seen.is_over for seen in row.values())]
        left = dict.fromkeys(space.left(rows, over))
        if len(rows) < _STARTS:
            chance = (number for number in islice(space.spread(len(rows)), len(left) + 10 * _STARTS) if number in left)
            yield from dict.fromkeys((*chance, *left))
            return
        if not left:
            return
        worth = self._worth(over)
        draw = random.Random(space.seed + len(rows))  # noqa: S311 - to be repeated, not to be secret
        sample = draw.sample([*left], min(_LOOKED_AT, len(left)))
        near = space.beside(max(self._allowed, key=self.detail)) if self._allowed else []
        looked_at = {number: worth(number) for number in dict.fromkeys((*sample, *(number for number in near if number in left)))}
        ranked = sorted(looked_at, key=lambda number: (-looked_at[number], number))
        is_begun = len(rows) >= _STARTS + 2 * len(space.dimensions)
        if is_begun and self._best is not None and looked_at[ranked[0]] < _WORTH * abs(self._best):
            return
        yield ranked[0]
        yield from dict.fromkeys(number for number in (*self._proposed(left, ranked[0]), *ranked) if number != ranked[0])

    def _worth(self, over: Sequence[int]) -> Callable[[int], float]:
        """Return what says by how much a combination is expected to be better than the best one."""
        points, dimensions = self._space.points, self._space.dimensions
        # What is over a limit is another picture, whose detail is none of the original's.
        kept = self._some([number for number in self._rows if number not in over] or [*self._rows])
        numbers = [self.detail(number) for number in kept]
        least = max(_VARIES * max(map(abs, numbers)), _LEAST_DETAIL)
        detail = Surface([points[number] for number in kept], numbers, dimensions, least=least)
        known = self._some([*self._rows])
        reach = Surface([points[number] for number in known], [self.reach(number) for number in known], dimensions, least=_VARIES)
        best = self._best

        def worth(number: int) -> float:
            mean, deviation = reach.at(points[number])
            # As long as nothing is known that is allowed, that is what is wanted.
            gain = 1.0 if best is None else improvement(*detail.at(points[number]), best)
            return gain * below(-mean / deviation)

        return worth

    def _some(self, numbers: list[int]) -> list[int]:
        """Return as many combinations as a surface goes through quickly: half of them near the best, the others anywhere."""
        if len(numbers) <= _KNOWN:
            return numbers
        points, dimensions = self._space.points, self._space.dimensions
        best = points[max(self._allowed or numbers, key=self.detail)]

        def distance(number: int) -> float:
            steps = zip(points[number], best, dimensions, strict=True)
            return sum(abs(here - there) / each.values if each.is_ordered else here != there for here, there, each in steps)

        near = sorted(numbers, key=lambda number: (distance(number), number))
        draw = random.Random(self._space.seed + len(self._rows))  # noqa: S311 - to be repeated, not to be secret
        return near[: _KNOWN // 2] + draw.sample(near[_KNOWN // 2 :], _KNOWN // 2)

    def _proposed(self, left: Mapping[int, None], first: int) -> list[int]:
        """Return what Optuna proposes of what is left; first what shares a first pass with what is measured before it."""
        space, which = self._space, self.hardest[0]
        scores = {
            space.points[number]: self.detail(number) if number in self._allowed else -_RULED_OUT - self.reach(number)
            for number in self._rows
        }
        drawn = islice(proposals(scores, space.dimensions, seed=(space.seed + len(self._rows)) % 2**32), _PROPOSALS)
        numbers = (space.numbers.get(combination) for combination in drawn)
        found = [*islice((number for number in numbers if number is not None and number in left), _SHARING)]
        shared = space.shares.get((first, which))
        return sorted(found, key=lambda number: space.shares.get((number, which)) != shared)


def _reach(seen: Seen) -> float:
    reached = min(max(log(max(seen.reach, 1e-9)), _LEAST), _MOST)
    return max(reached, _VETOED) if seen.vetoed else reached


def _is_enough(row: _Row, series: int) -> bool:
    return bool(settled({(0, which): seen for which, seen in row.items()}, 1, series)[0])


def _offsets(rows: Mapping[int, _Row], series: int, number: Callable[[Seen], float]) -> list[float]:
    """Return by how much the numbers of each series lie above the mean of all, by combinations of which several are known."""
    found = [0.0] * series
    several = [row for row in rows.values() if len(row) > 1]
    for which in range(series):
        apart = [number(row[which]) - fmean(number(seen) for seen in row.values()) for row in several if which in row]
        # As one more that tells of no difference: a single combination does not tell much.
        found[which] = sum(apart) / (len(apart) + 1) if apart else 0.0
    return found
