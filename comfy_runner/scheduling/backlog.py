"""The jobs that nobody has begun: in groups worth keeping on one server, on shelves by what they need and who may get them.

Who takes what is decided in `offers`; groups are found by `planning.order`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Costs(Protocol):
    """What making the results of nodes costs, by the numbers of a plan's catalogue."""

    def cost(self, step: int, /) -> float:
        """Return the cost, in sampler steps at 1024x576 pixels (weighted steps); never negative."""
        ...

    def kind(self, step: int, /) -> str:
        """Return ``load`` (of a checkpoint or diffusion model), ``first`` (sampler pass), or anything else."""
        ...


class Kind(NamedTuple):
    """What decides who may get a job; jobs of one kind are together, so that nobody has to look through all for one that fits.

    Attributes:
        unable: The servers that cannot do it.
        avoided: The servers that are to get it only where no other one can do it.
        refused: The servers that do not get it again, even where it has to wait for another one.
    """

    unable: frozenset[str] = frozenset()
    avoided: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()


_PLAIN = Kind()


class Abilities:
    """The servers that get work, and which jobs each of them may be given."""

    def __init__(self) -> None:
        self._kinds: dict[int, Kind] = {}
        self._one_of_each: dict[Kind, Kind] = {}
        self._unable: dict[str, frozenset[int]] = {}
        self._present: frozenset[str] = frozenset()
        self._may: dict[Kind, frozenset[str]] = {}
        self.version = 0
        """Another number whenever kinds have changed for other reasons than `avoid` and `refuse`."""

    def know(self, name: str, unable: Collection[int]) -> None:
        """Note which jobs a server cannot do."""
        before, now = self._unable.get(name, frozenset()), frozenset(unable)
        self._unable[name] = now
        for job in before ^ now:
            self._note(job, self.kind(job)._replace(unable=self.kind(job).unable ^ {name}))
        self.version += before != now

    def count_on(self, names: Iterable[str]) -> None:
        """Note which servers get work."""
        self._present = frozenset(names)
        self._may.clear()

    def avoid(self, job: int, name: str) -> None:
        """Note that a server is to get a job only where no other one can do it."""
        self._note(job, self.kind(job)._replace(avoided=self.kind(job).avoided | {name}))

    def refuse(self, job: int, name: str) -> None:
        """Note that a server is not to get a job again, although it seemed to be able to do it."""
        self._note(job, self.kind(job)._replace(refused=self.kind(job).refused | {name}))

    def kind(self, job: int) -> Kind:
        """Return of which kind a job is."""
        return self._kinds.get(job, _PLAIN)

    def can(self, name: str, job: int) -> bool:
        """Return whether a server can do a job."""
        return name not in self.kind(job).unable | self.kind(job).refused

    def may(self, kind: Kind) -> frozenset[str]:
        """Return the servers that may get jobs of a kind."""
        found = self._may.get(kind)
        if found is None:
            able = self._present - kind.unable - kind.refused
            found = self._may[kind] = able - kind.avoided or able
        return found

    def _note(self, job: int, kind: Kind) -> None:
        self._kinds[job] = self._one_of_each.setdefault(kind, kind)


@dataclass(slots=True, eq=False)
class Portion:
    """Jobs of one group, in order.

    Attributes:
        group: The group's number.
        pool: The number of the models that it needs.
        jobs: The jobs, at least one where it waits.
        left: What they cost, each after the one before it, without loading models; weighted steps.
        last: Whether it comes after all others of its pool.
        shelf: Where it waits; None where it does not.
    """

    group: int
    pool: int
    jobs: deque[int]
    left: float
    last: bool = False
    shelf: Shelf | None = None


@dataclass(slots=True, eq=False)
class Shelf:
    """What waits of a pool, the groups that load the same models, as far as the same servers may get it.

    Attributes:
        pool: The pool's number.
        kind: Of which kind all jobs are.
        portions: What waits, first things first, by whether it comes last and the group.
        left: What all of it costs, weighted steps, without loading models.
        least: No portion was ever less than this, weighted steps.
    """

    pool: int
    kind: Kind
    portions: OrderedDict[tuple[bool, int], Portion] = field(default_factory=OrderedDict)
    left: float = 0.0
    least: float = float("inf")


class Backlog:
    """The jobs of one run.

    Args:
        groups: The jobs, as numbers from 0, in groups of neighbours that share model loads and first passes; in order.
        steps: The node results of each job.
        costs: What these cost.
        waiting: How many of the groups wait; the jobs of those after them do not, but may be put back. None for all.

    Attributes:
        group_of: The group of each job.
        after: What each job costs after its neighbour, without loading models; weighted steps.
        abilities: Which servers may get which jobs.
        left: What all that waits costs, weighted steps, without loading models.
        left_of: The same by kind.
        sizes: The least and the most that any job of each pool costs after its neighbour, weighted steps.
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
        self.abilities = Abilities()
        self.left = 0.0
        self.left_of: dict[Kind, float] = {}
        self._groups = groups
        self._pool_of: list[int] = []
        self._rank = [0] * len(steps)
        self._begun: set[int] = set()
        self._pools: dict[int, dict[Kind, Shelf]] = {}
        self._where: dict[int, list[Shelf]] = {}
        self._version = self.abilities.version
        self._loads: list[frozenset[int]] = []
        self.sizes: list[tuple[float, float]] = []
        numbers: dict[frozenset[int], int] = {}
        rank = 0
        for number, group in enumerate(groups):
            loads = frozenset(step for step in steps[group[0]] if costs.kind(step) == "load")
            self._pool_of.append(numbers.setdefault(loads, len(numbers)))
            if len(numbers) > len(self._loads):
                self._loads.append(loads)
                self.sizes.append((float("inf"), 0.0))
            before = set(loads)
            for job in group:
                self.group_of[job], self._rank[job] = number, rank
                self.after[job] = self.cost(job, before)
                before = set(steps[job])
                rank += 1
            found, (least, most) = [self.after[job] for job in group], self.sizes[self._pool_of[number]]
            self.sizes[self._pool_of[number]] = min(least, *found), max(most, *found)
            if waiting is None or number < waiting:
                self._file(number, group)

    def cost(self, job: int, cached: Collection[int]) -> float:
        """Return what a job costs where these results are there already, weighted steps; loads of models included."""
        cost = self.costs.cost
        return sum([cost(step) for step in self.steps[job] if step not in cached])

    def loading(self, pool: int, cached: Collection[int]) -> float:
        """Return what loading the models of a pool costs where these results are there already, weighted steps."""
        return sum([self.costs.cost(step) for step in self._loads[pool] if step not in cached])

    def results(self, jobs: Iterable[int]) -> frozenset[int]:
        """Return all node results that these jobs need."""
        return frozenset(step for job in jobs for step in self.steps[job])

    def pool_of(self, job: int) -> int:
        """Return the number of the models that a job needs."""
        return self._pool_of[self.group_of[job]]

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._pools)

    def __iter__(self) -> Iterator[Portion]:
        """Yield what waits."""
        for shelf in self.shelves():
            yield from shelf.portions.values()

    def shelves(self, pool: int | None = None) -> Iterator[Shelf]:
        """Yield the shelves on which something waits, all or those of one pool; nothing may be taken meanwhile."""
        if self._version != self.abilities.version:
            self._file_anew()
        for kinds in self._pools.values() if pool is None else (self._pools.get(pool, {}),):
            yield from kinds.values()

    def waiting_of(self, group: int, name: str) -> Portion | None:
        """Return what waits of a group and a server may get; what comes last only if nothing else of its pool does."""
        return next(iter(self._waiting_of(group, name)), None)

    def has_begun(self, group: int) -> bool:
        """Return whether anybody has taken anything of a group before."""
        return group in self._begun

    def is_whole(self, portion: Portion) -> bool:
        """Return whether all jobs of a group are in one portion."""
        return len(portion.jobs) == len(self._groups[portion.group])

    def take(self, portion: Portion, name: str) -> Portion:
        """Take a portion that waits, with all that waits of its group and the same server may get."""
        found = [other for other in self._waiting_of(portion.group, name) if other is portion or other.last == portion.last]
        for each in found:
            self._unfile(each, each.jobs)
        return self.held(portion.group, (job for each in found for job in each.jobs))

    def take_off(self, portion: Portion, count: int) -> Portion:
        """Take so many jobs off the end of a portion that waits."""
        jobs = list(portion.jobs)[len(portion.jobs) - count :]
        self._unfile(portion, jobs)
        return self.held(portion.group, jobs)

    def held(self, group: int, jobs: Iterable[int]) -> Portion:
        """Return jobs of one group as somebody's portion, who is to begin with them at once."""
        self._begun.add(group)
        found = sorted(jobs, key=self._rank.__getitem__)
        return Portion(group, self._pool_of[group], deque(found), sum([self.after[job] for job in found]))

    def put_back(self, jobs: Iterable[int], *, last: bool = False) -> None:
        """Have jobs wait again, those of one group together: before all others of their pool, or after them."""
        by_group: dict[int, list[int]] = {}
        for job in jobs:
            by_group.setdefault(self.group_of[job], []).append(job)
        for number, found in reversed(by_group.items()):
            self._begun.add(number)
            self._file(number, found, last=last, first=not last)

    def remove(self, job: int) -> Portion | None:
        """Take a job out; return where it waited, None if it did not."""
        for shelf in self._where.get(self.group_of[job], ()):
            for last in (False, True):
                portion = shelf.portions.get((last, self.group_of[job]))
                if portion is not None and job in portion.jobs:
                    self._unfile(portion, [job])
                    return portion
        return None

    def _waiting_of(self, group: int, name: str) -> list[Portion]:
        if self._version != self.abilities.version:
            self._file_anew()
        shelves = [shelf for shelf in self._where.get(group, ()) if name in self.abilities.may(shelf.kind)]
        found = [shelf.portions.get((last, group)) for last in (False, True) for shelf in shelves]
        return [portion for portion in found if portion is not None]

    def _file(self, group: int, jobs: Iterable[int], *, last: bool = False, first: bool = False) -> None:
        by_kind: dict[Kind, list[int]] = {}
        for job in jobs:
            by_kind.setdefault(self.abilities.kind(job), []).append(job)
        shelves = self._pools.setdefault(self._pool_of[group], {})
        for kind, found in by_kind.items():
            shelf = shelves.get(kind)
            if shelf is None:
                shelf = shelves[kind] = Shelf(self._pool_of[group], kind)
            portion = shelf.portions.get((last, group))
            if portion is None:
                portion = shelf.portions[last, group] = Portion(group, shelf.pool, deque(), 0.0, last, shelf)
                places = self._where.setdefault(group, [])
                if shelf not in places:
                    places.append(shelf)
            portion.jobs = deque(sorted({*portion.jobs, *found}, key=self._rank.__getitem__))
            before, portion.left = portion.left, sum([self.after[job] for job in portion.jobs])
            shelf.least = min(shelf.least, portion.left)
            self._count(shelf, portion.left - before)
            if first:
                shelf.portions.move_to_end((last, group), last=False)

    def _unfile(self, portion: Portion, jobs: Collection[int]) -> None:
        shelf, cost = portion.shelf, portion.left
        if shelf is None:
            raise ValueError("it is not waiting")
        if len(jobs) == len(portion.jobs):
            del shelf.portions[portion.last, portion.group]
            if (not portion.last, portion.group) not in shelf.portions:
                self._where[portion.group].remove(shelf)
        else:
            cost = self.cut(portion, jobs)
            shelf.least = min(shelf.least, portion.left)
        self._count(shelf, -cost)
        if not shelf.portions:
            self._count(shelf, -shelf.left)
            del self._pools[portion.pool][shelf.kind]
            if not self._pools[portion.pool]:
                del self._pools[portion.pool]
        if not self._pools:
            self.left = 0.0
            self.left_of.clear()

    def cut(self, portion: Portion, jobs: Iterable[int]) -> float:
        """Take jobs out of a portion, of which some remain or which nobody has need of; return what they cost, weighted steps."""
        gone = set(jobs)
        cost = sum([self.after[job] for job in gone])
        portion.jobs = deque(job for job in portion.jobs if job not in gone)
        portion.left -= cost
        return cost

    def _count(self, shelf: Shelf, cost: float) -> None:
        shelf.left += cost
        self.left += cost
        self.left_of[shelf.kind] = self.left_of.get(shelf.kind, 0.0) + cost

    def _file_anew(self) -> None:
        """Sort everything onto the shelves as kinds are now."""
        self._version = self.abilities.version
        kind_of = self.abilities.kind
        for shelf in [shelf for kinds in self._pools.values() for shelf in kinds.values()]:
            for portion in list(shelf.portions.values()):
                kinds = {kind_of(job) for job in portion.jobs}
                if kinds != {shelf.kind}:
                    self._unfile(portion, portion.jobs)
                    self._file(portion.group, portion.jobs, last=portion.last)
