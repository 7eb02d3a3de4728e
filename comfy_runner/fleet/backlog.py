"""The jobs that nobody has begun: in groups that are worth keeping on one server, and those in pools that load the same models.

Not here: who takes what (`placement`), and how groups are found (the plan's order).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Costs(Protocol):
    """What making the results of nodes costs, by the numbers of a plan's catalogue."""

    def cost(self, step: int, /) -> float:
        """Return the cost, in sampler steps at 1024x576 pixels (weighted steps); never negative."""
        ...

    def kind(self, step: int, /) -> str:
        """Return ``load`` (of a checkpoint or diffusion model), ``first`` (sampler pass), or anything else."""
        ...


@dataclass(slots=True)
class Portion:
    """Jobs of one group, in order, that one server is to do.

    Attributes:
        group: The group's number.
        pool: The pool's number.
        jobs: The jobs that are left.
        left: What they cost, each after the one before it, without loading models; weighted steps.
    """

    group: int
    pool: int
    jobs: deque[int]
    left: float


@dataclass(slots=True)
class Pool:
    """What waits of the groups that load the same models.

    Attributes:
        number: Its number.
        loads: What loading these models costs, weighted steps.
        waiting: The portions that nobody has taken, in order.
        left: What they cost, weighted steps, without loading models.
    """

    number: int
    loads: float
    waiting: deque[Portion] = field(default_factory=deque)
    left: float = 0.0


class Backlog:
    """The jobs of one run.

    Args:
        groups: The jobs, as numbers from 0, in groups of neighbours that share model loads and first passes; in order.
        steps: The node results of each job.
        costs: What these cost.
        waiting: How many of the groups wait; the jobs of those after them do not, but may be put back. None for all.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[int]],
        steps: Sequence[tuple[int, ...]],
        costs: Costs,
        *,
        waiting: int | None = None,
    ) -> None:
        self.steps, self.costs = steps, costs
        self.group_of = [0] * len(steps)
        self.after = [0.0] * len(steps)
        """What each job costs after its neighbour, without loading models."""
        self.pools: list[Pool] = []
        self._pool_of: list[int] = []
        self._open: set[int] = set()
        numbers: dict[frozenset[int], int] = {}
        for number, group in enumerate(groups):
            loads = frozenset(step for step in steps[group[0]] if costs.kind(step) == "load")
            pool = numbers.setdefault(loads, len(self.pools))
            if pool == len(self.pools):
                self.pools.append(Pool(pool, sum(map(costs.cost, loads))))
            self._pool_of.append(pool)
            before = set(loads)
            for job in group:
                self.group_of[job] = number
                self.after[job] = self.cost(job, before)
                before = set(steps[job])
            if waiting is None or number < waiting:
                self._append(self._portion(number, group))

    def cost(self, job: int, cached: Iterable[int] | set[int] | frozenset[int]) -> float:
        """Return what a job costs where these results are there already, weighted steps; loads of models included."""
        cost = self.costs.cost
        return sum(cost(step) for step in self.steps[job] if step not in cached)

    def results(self, jobs: Iterable[int]) -> frozenset[int]:
        """Return all node results that these jobs need."""
        return frozenset(step for job in jobs for step in self.steps[job])

    def pools_in(self, jobs: Collection[int]) -> frozenset[int]:
        """Return the pools of which all jobs are among these."""
        if not jobs:
            return frozenset()
        return frozenset(range(len(self.pools))) - {self.pool_of(job) for job in range(len(self.steps)) if job not in jobs}

    def pool_of(self, job: int) -> int:
        """Return the pool that a job belongs to."""
        return self._pool_of[self.group_of[job]]

    @property
    def left(self) -> float:
        """Return what all that nobody has taken costs, weighted steps."""
        return sum(pool.left for pool in self.pools)

    def __bool__(self) -> bool:
        """Return whether anything waits that nobody has taken."""
        return any(pool.waiting for pool in self.pools)

    def __iter__(self) -> Iterator[Portion]:
        """Yield what nobody has taken."""
        for pool in self.pools:
            yield from pool.waiting

    def first_of(self, pools: Iterable[Pool]) -> Pool | None:
        """Return the pool with what comes first: what was put back, then the groups in their order."""
        found = [pool for pool in pools if pool.waiting]
        return min(found, key=lambda pool: (pool.waiting[0].group not in self._open, pool.waiting[0].group), default=None)

    def was_open(self, group: int) -> bool:
        """Return whether anybody has taken anything of a group before."""
        return group in self._open

    def take(self, pool: Pool, index: int, fits: Callable[[int], bool] | None = None) -> Portion:
        """Take a portion that waits, or those of its jobs that fit; at least one has to.

        Args:
            pool: Where it waits.
            index: Which of the pool's.
            fits: Tells of a job whether it is taken; None for all.
        """
        portion = pool.waiting[index]
        self._open.add(portion.group)
        chosen = list(portion.jobs) if fits is None else [job for job in portion.jobs if fits(job)]
        if len(chosen) == len(portion.jobs):
            del pool.waiting[index]
            taken = portion
        else:
            taken = self.split(portion, chosen)
        pool.left -= taken.left
        return taken

    def split(self, portion: Portion, jobs: Iterable[int]) -> Portion:
        """Take jobs out of a portion that somebody has taken."""
        taken = self._portion(portion.group, jobs)
        gone = set(taken.jobs)
        portion.jobs = deque(job for job in portion.jobs if job not in gone)
        portion.left -= taken.left
        return taken

    def put_back(self, jobs: Iterable[int], *, last: bool = False) -> None:
        """Have jobs wait again, those of one group together: before all others of their pool, or after them."""
        by_group: dict[int, list[int]] = {}
        for job in jobs:
            by_group.setdefault(self.group_of[job], []).append(job)
        for number, found in reversed(by_group.items()):
            self._open.add(number)
            self._append(self._portion(number, found), first=not last)

    def remove(self, job: int) -> bool:
        """Take a job out; return whether it waited."""
        pool = self.pools[self.pool_of(job)]
        for index, portion in enumerate(pool.waiting):
            if portion.group == self.group_of[job] and job in portion.jobs:
                self.take(pool, index, lambda other: other == job)
                return True
        return False

    def _portion(self, group: int, jobs: Iterable[int]) -> Portion:
        found = deque(jobs)
        return Portion(group, self._pool_of[group], found, sum(self.after[job] for job in found))

    def _append(self, portion: Portion, *, first: bool = False) -> None:
        pool = self.pools[portion.pool]
        (pool.waiting.appendleft if first else pool.waiting.append)(portion)
        pool.left += portion.left
