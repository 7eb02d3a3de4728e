"""The order of jobs in which neighbours share the most work, and the groups that share a first pass.

ComfyUI's classic cache remembers exactly the previous prompt. So what an order saves is the cost of what each job shares with
the one before it. Nothing here knows axes of a sweep: jobs are tuples of node results, and only which of them are equal counts.

The jobs are sorted by columns of results, as a table is: all jobs with one checkpoint together, in there all jobs with one
first pass, and so on. Which columns come first is worked out from how many values they have and what these cost.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from comfy_runner.planning.passes import Catalogue, passes

_ABSENT = -1
_MOST_SETS = 1024
_MOST_CELLS = 3_000_000  # about a second


@dataclass(slots=True)
class _Column:
    """One way in which the jobs fall into classes.

    Attributes:
        labels: The class of each job, numbered by first appearance.
        worth: What a job of each class costs here; nothing where it has no such result.
    """

    labels: Sequence[int]
    worth: list[float]


def order(jobs: Sequence[tuple[int, ...]], steps: Catalogue) -> list[int]:
    """Return the indices of the jobs in the order that costs a server with the classic cache least, as far as is found.

    Where the jobs form a tree, as those of most sweeps do, everything runs once: for any two results, the jobs that need one all
    need the other, or the other way round, or no job needs both. Elsewhere an order may exist that is some percent better. The
    order that is given is kept where it is as good, and inside of what needs no other one.

    Args:
        jobs: The distinct node results of each job.
        steps: What is known of the results.
    """
    given = list(range(len(jobs)))
    found = list(_sorted_by(_best_sequence(_columns(jobs, steps), len(jobs)), len(jobs)))
    if found == given:
        return given
    cost, cost_as_given = (passes((jobs[index] for index in way), steps).weighted for way in (found, given))
    return found if cost < cost_as_given and not math.isclose(cost, cost_as_given) else given


def groups(jobs: Sequence[tuple[int, ...]], steps: Catalogue) -> list[range]:
    """Return the runs of neighbours that share all model loads and first passes, as ranges of positions.

    These are worth sending to one server, and as one graph to a server without a cache. A job with neither is a group of its own.

    Args:
        jobs: The jobs, in their order.
        steps: What is known of their results.
    """
    shared = {step for job in jobs for step in job if steps.kind(step) in ("load", "first")}
    starts: list[int] = []
    previous: set[int] = set()
    for position, job in enumerate(jobs):
        current = shared.intersection(job)
        if not current or current != previous:
            starts.append(position)
        previous = current
    return [range(start, end) for start, end in itertools.pairwise([*starts, len(jobs)])]


def split(group: range, *, most: int) -> list[range]:
    """Return a group as parts of at most so many jobs (at least 1), as equal as can be."""
    parts = math.ceil(len(group) / most)
    return [group[len(group) * part // parts : len(group) * (part + 1) // parts] for part in range(parts)]


def _columns(jobs: Sequence[tuple[int, ...]], steps: Catalogue) -> list[_Column]:
    """Return the columns that cost something and tell jobs apart; those that tell the same ones apart as one."""
    cells: defaultdict[int, array[int]] = defaultdict(lambda: array("q", [_ABSENT]) * len(jobs))
    column = steps.column
    for index, job in enumerate(jobs):
        for step in job:
            cells[column(step)][index] = step
    found: dict[bytes, _Column] = {}
    while cells:
        values = cells.pop(next(iter(cells)))
        numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
        labels = array("q", map(numbers.__getitem__, values))
        worth = [0.0 if value == _ABSENT else steps.cost(value) for value in numbers]
        if len(worth) > 1 and any(worth):
            same = found.setdefault(labels.tobytes(), _Column(labels, [0.0] * len(worth)))
            same.worth = [a + b for a, b in zip(same.worth, worth, strict=True)]
    return list(found.values())


def _sorted_by(columns: Sequence[_Column], count: int) -> Iterator[int]:
    """Yield the indices sorted by the columns; classes by first appearance, but first the one that is still in memory."""
    last = -1
    waiting: list[tuple[Sequence[int], int]] = [(range(count), 0)]
    while waiting:
        indices, level = waiting.pop()
        if level == len(columns) or len(indices) == 1:
            yield from indices
            last = indices[-1] if indices else last
            continue
        column = columns[level]
        labels = column.labels
        classes: dict[int, list[int]] = {}
        for index in indices:
            classes.setdefault(labels[index], []).append(index)
        children = list(classes.values())
        if last >= 0 and column.worth[labels[last]] and labels[last] in classes:
            children = _led_by(classes[labels[last]], children)
        waiting.extend((child, level + 1) for child in reversed(children))


def _led_by(first: list[int], children: list[list[int]]) -> list[list[int]]:
    if children[-1] is first:
        return children[::-1]  # the way back through a sweep's axis, as a person would go
    return [first, *(child for child in children if child is not first)]


def _best_sequence(columns: Sequence[_Column], count: int) -> list[_Column]:
    """Return the columns in the order by which to sort, outermost first.

    A column that tells apart all that the others do costs the same wherever it stands, and so can stand last.
    """
    left, cells = list(columns), [column.labels for column in columns]
    last: list[_Column] = []
    while left:
        finest = next((index for index, column in enumerate(left) if len(column.worth) == count), None)
        if finest is not None:
            last.insert(0, left.pop(finest))
            cells.pop(finest)
            continue
        rows = dict.fromkeys(zip(*cells, strict=True))
        if len(rows) == count:
            table = _Table(cells, [column.worth for column in left])
            return [*(left[index] for index in table.best_sequence()), *last]
        count = len(rows)
        cells = [array("q", (row[index] for row in rows)) for index in range(len(left))]
    return last


class _Table:
    """The distinct rows of the columns whose sequence is not obvious.

    Sorted by a sequence of columns, a column's results are made anew for each distinct combination of it with those before it.
    A column that is finer than another one stands after it: nothing is lost by that.
    """

    def __init__(self, cells: Sequence[Sequence[int]], worths: Sequence[Sequence[float]]) -> None:
        self._cells = cells
        self._worths = worths
        self._rows = len(cells[0])
        self._coarser = [0] * len(cells)
        by_fineness = sorted(range(len(cells)), key=lambda column: len(worths[column]))
        for position, column in enumerate(by_fineness):
            for other in reversed(by_fineness[:position]):
                if not self._coarser[column] >> other & 1 and self._is_finer(column, other):
                    self._coarser[column] |= 1 << other | self._coarser[other]

    def best_sequence(self) -> list[int]:
        """Return the sequence of columns that costs least: by a sample of very many rows; of very many columns, a good one."""
        sets = self._sets()
        return self._exact(sets) if len(sets) <= _MOST_SETS else self._dearest_first()

    def _is_finer(self, column: int, other: int) -> bool:
        pairs = set(zip(self._cells[column], self._cells[other], strict=True))
        return len(pairs) == len(self._worths[column])

    def _next(self, placed: int) -> Iterator[int]:
        """Yield the columns that may follow a set of columns."""
        for column, coarser in enumerate(self._coarser):
            if not placed >> column & 1 and coarser & ~placed == 0:
                yield column

    def _sets(self) -> list[int]:
        """Return the sets of columns that a sequence can begin with, smaller ones first; not many more than are allowed."""
        found, layer = [0], [0]
        while layer and len(found) <= _MOST_SETS:
            layer = list(dict.fromkeys(placed | 1 << column for placed in layer for column in self._next(placed)))
            found += layer
        return found

    def _exact(self, sets: Sequence[int]) -> list[int]:
        best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
        size = {0: 1}
        # Steps of a golden section are in tune with no axis of a sweep.
        most = _MOST_CELLS // len(sets)
        chosen = range(self._rows) if self._rows <= most else [int(i * 0.6180339887498949 % 1 * self._rows) for i in range(most)]
        cells = [[column[index] for index in chosen] for column in self._cells]
        for placed in sets:
            if placed:
                ways = []
                rows, finest = self._rows_of(placed, cells)
                size[placed] = len(rows)
                for position, column in enumerate(finest):
                    before = placed ^ 1 << column
                    worth = self._worths[column]
                    cost = math.fsum(worth[row[position]] for row in rows)
                    # Where it is independent of all before it, each group begins with the value that the last one ended with.
                    kept = size[before] - 1 if len(rows) == size[before] * len(worth) else 0
                    ways.append((best[before][0] + cost * (1 - kept / len(rows)), (*best[before][1], column)))
                best[placed] = min(ways)
        return list(best[(1 << len(self._cells)) - 1][1])

    def _rows_of(self, placed: int, cells: Sequence[Sequence[int]]) -> tuple[Collection[tuple[int, ...]], list[int]]:
        """Return the distinct combinations of a set of columns, and the columns in them: those than which none is finer."""
        members = [column for column in range(len(self._cells)) if placed >> column & 1]
        finest = [column for column in members if not any(self._coarser[other] >> column & 1 for other in members)]
        if len(finest) == 1:
            return [(label,) for label in range(len(self._worths[finest[0]]))], finest
        return set(zip(*(cells[column] for column in finest), strict=True)), finest

    def _dearest_first(self) -> list[int]:
        """Return a sequence that is the best one for columns that are independent of each other.

        For these, the next one is always that of the largest cost * growth / (growth - 1), where growth is the factor by
        which it multiplies the number of combinations.
        """
        dear = [
            math.fsum(map(worth.__getitem__, column)) * len(worth) / (len(worth) - 1)
            for column, worth in zip(self._cells, self._worths, strict=True)
        ]
        sequence: list[int] = []
        placed = 0
        while len(sequence) < len(dear):
            sequence.append(max(self._next(placed), key=dear.__getitem__))
            placed |= 1 << sequence[-1]
        return sequence
