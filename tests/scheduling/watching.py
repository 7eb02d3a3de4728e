"""What must hold at every decision of the policy, by estimates that are made here, and not by the policy."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.scheduling.simulation import Machine, Watcher, World

_OVERDUE = 0.25
_SLACK = 1e-6


@dataclass(slots=True)
class _Belief:
    """What the policy can know of a server.

    Attributes:
        in_flight: What its submissions cost it, by their keys.
        since: When it began with the oldest one.
        cached: The results in its cache after all of them.
        pool: The models of its last submission.
        last: The group of its last submission.
    """

    in_flight: dict[str, float] = field(default_factory=dict)
    since: float = 0.0
    cached: frozenset[int] = frozenset()
    pool: frozenset[int] | None = None
    last: int = -1


class Inspector(Watcher):
    """Looks at everything that is decided."""

    def __init__(self) -> None:
        self._beliefs: dict[str, _Belief] = {}
        self._after: dict[int, float] = {}
        self._pool: dict[int, frozenset[int]] = {}
        self.broken = 0
        self.divided = 0
        self._held: dict[int, str] = {}
        self.refusals = 0

    def _learn(self, world: World) -> None:
        for group in world.work.groups:
            loads = frozenset(step for step in world.results[group[0]] if world.steps.kind(step) == "load")
            before = loads
            for job in group:
                self._after[job], self._pool[job] = world.cost(job, before), loads
                before = world.results[job]

    # What happens

    def joined(self, world: World, machine: Machine) -> None:
        if not self._after:
            self._learn(world)
        known = self._beliefs.get(machine.name)
        self._beliefs[machine.name] = _Belief(known.in_flight if known else {}, known.since if known else 0.0)

    def landed(self, world: World, machine: Machine, key: str) -> None:
        belief = self._beliefs[machine.name]
        del belief.in_flight[key]
        belief.since = world.now

    def broke(self, count: int) -> None:
        self.broken += count

    def asks(self, world: World, machine: Machine) -> None:
        names = [other.name for other in world.machines.values() if other is not machine]
        self._held = {job: name for name in names for job in world.placement.ahead(name)}

    def posts(self, world: World, machine: Machine, key: str, jobs: tuple[int, ...], parts: int) -> None:
        if not machine.takes_part:
            world.fail(f"{machine.name} gets something")
        if len(machine.queue) >= machine.places:
            world.fail(f"{machine.name} gets more than it has places")
        if len(jobs) > machine.maker.most or len({world.group_of[job] for job in jobs}) > 1:
            world.fail(f"{machine.name} gets {jobs} as one submission")
        for job in jobs:
            if job not in world.waiting:
                world.fail(f"{machine.name} gets {job}, which does not wait")
            if job in machine.unable:
                world.fail(f"{machine.name} gets {job}, which it cannot do")
            if not world.may(machine, job):
                world.fail(f"{machine.name} gets {job}, for which it is to be avoided")
        if parts:
            self._check_split(world, machine, jobs)
        belief = self._beliefs[machine.name]
        results = frozenset[int]().union(*(world.results[job] for job in jobs))
        if not belief.in_flight:
            belief.since = world.now
        belief.in_flight[key] = sum(map(world.steps.cost, results - belief.cached))
        belief.cached = results if machine.maker.most == 1 else frozenset()
        belief.pool, belief.last = self._pool[jobs[-1]], world.group_of[jobs[-1]]

    def refuses(self, world: World, machine: Machine) -> None:
        """Nothing that it can do would be done sooner by it, be it all of a group that waits, or the last job of one."""
        if machine.queue:
            return
        portions: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        view = _View(self, world)
        for job in sorted(world.waiting):
            if world.may(machine, job):
                portions[world.group_of[job], view.holder(job)].append(job)
        self.refusals += bool(portions)
        for first, *rest in portions.values():
            last = rest[-1] if rest else first
            if not (
                view.is_better_elsewhere(machine, first)
                or view.is_better_elsewhere(machine, last)
                or view.others_are_sooner(machine, last)
            ):
                own = view.own(machine, last)
                world.fail(f"{machine.name} gets nothing, not even {last}: it would be done in {own:.2f} s")

    def _check_split(self, world: World, machine: Machine, jobs: tuple[int, ...]) -> None:
        """No group is divided while the server could have a whole one that others would be done with later.

        What another one has left for want of time is not divided by the server that gets all of it; nor is a group of which
        something was put back, as after a failure, and comes first, while the rest was left for want of time, and comes last.
        """
        mine = {*world.placement.ahead(machine.name), *jobs}
        last = {job for portion in world.backlog if portion.last for job in portion.jobs}
        group = world.work.groups[world.group_of[jobs[0]]]
        others = (job for job in group if job not in mine and job in world.waiting and job not in last)
        divided = any(job in self._held for job in mine) or any(job not in self._held and world.may(machine, job) for job in others)
        if not divided:
            return
        self.divided += 1
        view = _View(self, world, given=dict.fromkeys(jobs, machine))
        for number, group in enumerate(world.work.groups):
            whole = number not in world.begun and all(job in world.waiting and world.may(machine, job) for job in group)
            if not whole or view.is_better_elsewhere(machine, group[0]):
                continue
            own = view.begin(machine) + self.work(world, machine, group) / view.rate(machine)
            if own < view.done_without(machine, group) - _SLACK:
                world.fail(f"{machine.name} gets a part although group {number} waits, which it would be done with in {own:.2f} s")

    def check_end(self, world: World) -> None:
        """Nothing is lost, nothing is there twice, and groups were kept together."""
        for job in range(len(world.results)):
            if job not in world.ended and job not in world.waiting:
                world.fail(f"{job} is lost")
        takers: defaultdict[int, set[str]] = defaultdict(set)
        for machine in world.machines.values():
            for job in machine.taken:
                takers[world.group_of[job]].add(machine.name)
        parts = sum(len(names) - 1 for names in takers.values())
        unable = {
            number: {frozenset(m.name for m in world.machines.values() if job in m.unable) for job in group}
            for number, group in enumerate(world.work.groups)
        }
        allowed = world.placement.parts + self.broken + sum(len(kinds) - 1 for kinds in unable.values())
        if parts > allowed:
            world.fail(f"groups are in {parts} more parts than there are groups, and {allowed} are explained")

    # Estimates

    def belief(self, machine: Machine) -> _Belief:
        return self._beliefs[machine.name]

    def after(self, jobs: Iterable[int]) -> float:
        return math.fsum(self._after[job] for job in jobs)

    def pool(self, job: int) -> frozenset[int]:
        return self._pool[job]

    def work(self, world: World, machine: Machine, jobs: Sequence[int]) -> float:
        """Return what jobs of one group cost a server after what it has."""
        extra = world.cost(jobs[0], self.belief(machine).cached) - self._after[jobs[0]]
        return self.after(jobs) + extra * (math.ceil(len(jobs) / machine.maker.most) if machine.maker.most > 1 else 1)


class _View:
    """How it looks at one moment; jobs that are just being given to somebody do not wait."""

    def __init__(self, inspector: Inspector, world: World, *, given: Mapping[int, Machine] | None = None) -> None:
        self._inspector, self._world = inspector, world
        self._machines = [machine for machine in world.machines.values() if machine.takes_part]
        self._ahead = {machine.name: world.placement.ahead(machine.name) for machine in self._machines}
        self._holder = {job: machine for machine in self._machines for job in self._ahead[machine.name]} | dict(given or {})

    def holder(self, job: int) -> str:
        """Return who has taken a job that waits; nothing where nobody has."""
        return self._holder[job].name if job in self._holder else ""

    def rate(self, machine: Machine) -> float:
        return self._world.placement.speed(machine.name, self._world.now)

    def begin(self, machine: Machine) -> float:
        belief, rate = self._inspector.belief(machine), self.rate(machine)
        if not belief.in_flight:
            return 0.0
        oldest, *others = belief.in_flight.values()
        elapsed = self._world.now - belief.since
        return max(oldest / rate - elapsed, elapsed * _OVERDUE) + sum(others) / rate

    def end(self, machine: Machine) -> float:
        jobs = self._ahead[machine.name]
        return self.begin(machine) + (self._inspector.work(self._world, machine, jobs) / self.rate(machine) if jobs else 0.0)

    def own(self, machine: Machine, job: int) -> float:
        return self.begin(machine) + self._world.cost(job, self._inspector.belief(machine).cached) / self.rate(machine)

    def is_better_elsewhere(self, machine: Machine, job: int) -> bool:
        """Return whether the others would be done with everything, or with this job after all the rest, before the server was."""
        world, belief = self._world, self._inspector.belief
        others = [other for other in self._machines if other is not machine and world.may(other, job)]
        if not others:
            return False
        mine = self.own(machine, job)
        starts = []
        for other in others:
            idle = not self._ahead[other.name] and not belief(other).in_flight
            loads = self._inspector.pool(job) - belief(other).cached if idle else ()
            setup = sum(map(world.steps.cost, loads))
            starts.append((self.begin(other) + setup / self.rate(other), self.rate(other)))
        names = {other.name for other in others} | {machine.name}
        busy = [
            (self.begin(other), self.rate(other))
            for other in self._machines
            if other is not machine and other not in others and belief(other).in_flight
        ]
        like = [
            other
            for other in world.waiting
            if other not in self._holder and {m.name for m in self._machines if world.may(m, other)} <= names
        ]
        everything = done_by([*starts, *busy], self._inspector.after(world.waiting))
        done = max(everything, done_by(starts, self._inspector.after(like))) if busy else everything
        one = self._inspector.after([job]) / max(map(self.rate, others))
        soonest = min(self.own(other, job) for other in others)
        return soonest < mine + _SLACK and mine > done + one - _SLACK

    def others_are_sooner(self, machine: Machine, job: int) -> bool:
        """Return whether those who have a job, or would get it next, would be done with it before the server was."""
        mine, holder = self.own(machine, job), self._holder.get(job)
        if holder is not None:
            return self.end(holder) <= mine + _SLACK
        if self._kept(machine, job):
            return True
        workers = self._workers(machine, job)
        return bool(workers) and self._done(workers, self._beside(job)) <= mine + _SLACK

    def done_without(self, machine: Machine, group: Sequence[int]) -> float:
        """Return when others would be done with what they work at if they did not have to do a group."""
        workers = self._workers(machine, group[0])
        if not workers:
            return math.inf
        beside = self._beside(group[0])
        rest = [job for job in beside if self._world.group_of[job] != self._world.group_of[group[0]]]
        return self._done(workers, beside if rest else [])

    def _kept(self, machine: Machine, job: int) -> bool:
        """Return whether another server has done the rest of a group, and would be done with this at least as soon."""
        group = self._world.group_of[job]
        if group not in self._world.begun:
            return False
        jobs = sorted(other for other in self._beside(job) if self._world.group_of[other] == group)
        mine = self.begin(machine) + self._inspector.work(self._world, machine, jobs) / self.rate(machine)
        return any(
            self.end(other) + self._inspector.work(self._world, other, jobs) / self.rate(other) <= mine + _SLACK
            for other in self._machines
            if other is not machine and self._inspector.belief(other).last == group and self._world.may(other, job)
        )

    def _beside(self, job: int) -> list[int]:
        """Return what waits, taken by nobody, of the same models and for the same servers."""
        world, pool = self._world, self._inspector.pool(job)
        who = [world.may(machine, job) for machine in self._machines]
        return [
            other
            for other in world.waiting
            if other not in self._holder
            and self._inspector.pool(other) == pool
            and [world.may(machine, other) for machine in self._machines] == who
        ]

    def _workers(self, machine: Machine, job: int) -> list[Machine]:
        found = []
        for other in self._machines:
            belief, ahead = self._inspector.belief(other), self._ahead[other.name]
            pool = self._inspector.pool(ahead[0]) if ahead else belief.pool if belief.in_flight else None
            if other is not machine and pool == self._inspector.pool(job) and self._world.may(other, job):
                found.append(other)
        return found

    def _done(self, workers: list[Machine], jobs: list[int]) -> float:
        held = [(other, ahead) for other in workers if (ahead := self._ahead[other.name])]
        work = sum(self._inspector.work(self._world, other, ahead) for other, ahead in held)
        return done_by([(self.begin(other), self.rate(other)) for other in workers], work + self._inspector.after(jobs))


def done_by(servers: list[tuple[float, float]], work: float) -> float:
    """Return when servers that begin at some moments, at some speeds, are done with work that can be divided at will."""
    best = math.inf
    for last, _ in servers:
        begun = [(begin, speed) for begin, speed in servers if begin <= last]
        speed = sum(speed for _, speed in begun)
        best = min(best, max(last, (work + sum(begin * speed for begin, speed in begun)) / speed))
    return best
