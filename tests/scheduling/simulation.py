"""A world in virtual time in which `Placement` is used as a run uses it: servers that work, die, return, are slow, work for others.

What must hold at each decision is in `watching`; what happens in `scenarios`.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.placement import Placement
from tests.scheduling.scenarios import Maker, Scenario, Trouble

MOST_FAILURES = 3


class Wrong(AssertionError):
    """Something happened that must not."""


@dataclass(slots=True, eq=False)
class Machine:
    """A server.

    Attributes:
        maker: What it is.
        unable: The jobs that it cannot do.
        speed: What it makes now, weighted steps per second.
        places: How many submissions it may have.
        up: Whether it is there.
        open: Whether it gets work.
        queue: Its submissions by their keys, the one that runs first.
        cached: The results that are in its cache.
        until: When it has time for us.
        ends: When what runs ends.
        token: Of its newest landing; older ones do not happen.
        done: What it has done, in its order, with failures.
        taken: All that was posted to it, in order.
    """

    maker: Maker
    unable: frozenset[int]
    speed: float
    places: int
    up: bool = False
    open: bool = False
    queue: dict[str, tuple[int, ...]] = field(default_factory=dict)
    cached: frozenset[int] = frozenset()
    until: float = 0.0
    ends: float = 0.0
    token: int = 0
    done: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    work: float = 0.0
    last_end: float = 0.0

    @property
    def name(self) -> str:
        return self.maker.name

    @property
    def takes_part(self) -> bool:
        return self.up and self.open and self.places > 0


class Watcher:
    """Who looks on; one that sees nothing wrong."""

    def asks(self, world: World, machine: Machine) -> None:
        """See a server that has a free place, just before it is given something or not."""

    def posts(self, world: World, machine: Machine, key: str, jobs: tuple[int, ...], parts: int) -> None:
        """See a server being given jobs, just before it gets them."""

    def refuses(self, world: World, machine: Machine) -> None:
        """See a server being given nothing although it has a free place, and something waits that it can do."""

    def landed(self, world: World, machine: Machine, key: str) -> None:
        """See a submission being not there any more."""

    def joined(self, world: World, machine: Machine) -> None:
        """See a server take part, with an empty cache."""

    def broke(self, count: int) -> None:
        """See that so many parts of groups may have to go to other servers."""


class World:
    """One scenario as it happens.

    Args:
        scenario: What is to happen.
        watcher: Who looks on.
        told: Whether to keep a story.
        measured: Whether the policy may see how long submissions take.
    """

    def __init__(self, scenario: Scenario, watcher: Watcher, *, told: bool = False, measured: bool = True) -> None:
        self.scenario, self.watcher, self._told, self._measured = scenario, watcher, told, measured
        work = scenario.work
        self.work, self.steps = work, work.steps
        self.group_of = {job: number for number, group in enumerate(work.groups) for job in group}
        self.results = [frozenset(job) for job in work.jobs]
        self.backlog = Backlog(work.groups, work.jobs, work.steps)
        self.placement = Placement(self.backlog)
        self.machines: dict[str, Machine] = {}
        self.waiting: set[int] = set(range(len(work.jobs)))
        self.ended: dict[int, str] = {}
        self.avoided: defaultdict[int, set[str]] = defaultdict(set)
        self.begun: set[int] = set()
        self.story: list[str] = []
        self.now = self.end = 0.0
        self.failures: Counter[int] = Counter()
        self._events: list[tuple[float, int, str, str, float]] = []
        self._number = 0

    # What happens

    def run(self) -> None:
        """Let everything happen, until nothing can any more."""
        for maker in self.scenario.makers:
            self._at(maker.joins, "joins", maker.name)
        for trouble in self.scenario.troubles:
            self._at(trouble.at, trouble.what, trouble.name, trouble.value)
        makers = {maker.name: maker for maker in self.scenario.makers}
        while self._events:
            self.now = self._events[0][0]
            while self._events and self._events[0][0] == self.now:
                _, _, what, name, value = heapq.heappop(self._events)
                if what == "joins":
                    self._create(makers[name])
                elif what == "lands":
                    self._land(self.machines[name], value)
                else:
                    self._happen(Trouble(self.now, what, name, value))
            self._feed()
            if not any(machine.queue for machine in self.machines.values()) and any(map(self.who_can, self.waiting)):
                self.fail("everybody is idle, and there is work")
        left = [job for job in self.waiting if self.who_can(job)]
        if left:
            self.fail(f"{left} are left")

    def _create(self, maker: Maker) -> None:
        unable = frozenset(job for job, results in enumerate(self.results) if results & maker.lacks)
        self.machines[maker.name] = Machine(maker, unable, maker.speed, maker.places)
        self._join(self.machines[maker.name])

    def _join(self, machine: Machine) -> None:
        maker = machine.maker
        machine.up = machine.open = True
        machine.cached, machine.places = frozenset(), maker.places
        self.placement.join(maker.name, places=maker.places, most=maker.most, unable=machine.unable, speed=maker.told)
        self.watcher.joined(self, machine)
        self._tell(machine, "joins", f"at {machine.speed:.3g}, told {maker.told}, {len(machine.unable)} jobs that it cannot do")

    def _happen(self, trouble: Trouble) -> None:
        machine = self.machines.get(trouble.name)
        if trouble.what == "remove":
            job = int(trouble.value)
            waited = self.placement.remove(job)
            if waited is not (job in self.waiting):
                self.fail(f"{job} waited: {waited} is wrong")
            if waited:
                self._tell(None, "remove", str(job))
                self.waiting.remove(job)
                self.ended[job] = "removed"
            return
        if machine is None:
            return
        if trouble.what == "returns":
            if not machine.up or not machine.open:
                machine.until = max(machine.until, self.now)
                self._join(machine)
            return
        if not machine.up:
            return
        self._tell(machine, trouble.what, f"{trouble.value:.3g}")
        if trouble.what == "dies":
            self._die(machine)
        elif trouble.what == "drains":
            machine.open = False
            self.watcher.broke(1)
            self.placement.leave(machine.name)
        elif trouble.what == "foreign":
            machine.cached = frozenset()
            machine.until = max(machine.until, self.now) + trouble.value
            if machine.queue:
                machine.ends += trouble.value
                self._announce(machine)
        elif trouble.what == "speed":
            machine.speed *= trouble.value
        elif trouble.what == "limit":
            self.watcher.broke(trouble.value == 0)
            machine.places = int(trouble.value)
            self.placement.limit(machine.name, machine.places)

    def _die(self, machine: Machine) -> None:
        lost = list(machine.queue.items())
        was_open = machine.open
        machine.up = machine.open = False
        machine.queue.clear()
        machine.token += 1
        if was_open:
            self.placement.leave(machine.name)
        self.watcher.broke(1)
        for key, _ in lost:
            self.placement.landed(machine.name, key, self.now, measured=False)
            self.watcher.landed(self, machine, key)
        self._put_back([job for _, jobs in lost for job in jobs])

    def _put_back(self, jobs: Sequence[int], *, last: bool = False) -> None:
        self.watcher.broke(len(jobs))
        self.waiting.update(jobs)
        for some in [[job] for job in jobs] if self.scenario.singly else [jobs]:
            self.placement.put_back(some, last=last)

    def _land(self, machine: Machine, token: float) -> None:
        if token != machine.token:
            return
        key, jobs = next(iter(machine.queue.items()))
        del machine.queue[key]
        self.placement.landed(machine.name, key, self.now, measured=self._measured)
        self.watcher.landed(self, machine, key)
        machine.done += jobs
        machine.last_end = self.now
        self._tell(machine, "has done", ", ".join(map(str, jobs)))
        for job in jobs:
            self._finish(machine, job)
        if machine.queue:
            self._begin(machine)

    def _finish(self, machine: Machine, job: int) -> None:
        hows = self.scenario.failing.get(job, ())
        if self.failures[job] == len(hows):
            if job in self.ended:
                self.fail(f"{job} was done although it is {self.ended[job]}")
            self.ended[job] = "done"
            self.end = self.now
            return
        how = hows[self.failures[job]]
        self.failures[job] += 1
        self._tell(machine, "fails", f"{job}: {how}")
        if self.failures[job] == MOST_FAILURES:
            self.ended[job] = "failed"
            self.end = self.now
            return
        if "avoid" in how:
            self.avoided[job].add(machine.name)
            self.placement.avoid(job, machine.name)
        self._put_back([job], last="last" in how)

    # What servers are given

    def _feed(self) -> None:
        placement = self.placement
        hungry = placement.order(machine.name for machine in self.machines.values() if machine.up and machine.open)
        while hungry:
            machine = self.machines[hungry.pop(0)]
            parts = placement.parts
            if machine.takes_part and len(machine.queue) < machine.places:
                self.watcher.asks(self, machine)
            jobs = placement.next(machine.name, self.now)
            if jobs:
                self._post(machine, jobs, placement.parts - parts)
                hungry = placement.order([*hungry, machine.name])
            elif machine.takes_part and len(machine.queue) < machine.places and self.waiting:
                self.watcher.refuses(self, machine)

    def _post(self, machine: Machine, jobs: tuple[int, ...], parts: int) -> None:
        key = str(self._number)
        self._number += 1
        self._tell(machine, "is given", ", ".join(f"{job}/g{self.group_of[job]}" for job in jobs) + (" (a part)" if parts else ""))
        self.watcher.posts(self, machine, key, jobs, parts)
        self.waiting.difference_update(jobs)
        self.begun.update(self.group_of[job] for job in jobs)
        machine.taken += jobs
        machine.queue[key] = jobs
        self.placement.posted(machine.name, key, jobs, self.now)
        if len(machine.queue) == 1:
            self._begin(machine)

    def _begin(self, machine: Machine) -> None:
        """Have a server begin with the first of its submissions."""
        jobs = next(iter(machine.queue.values()))
        results = frozenset[int]().union(*(self.results[job] for job in jobs))
        new = results - machine.cached
        machine.cached = results if machine.maker.most == 1 else frozenset()
        cost = sum(map(self.steps.cost, new))
        machine.kinds.update(map(self.steps.kind, new))
        machine.work += cost
        machine.ends = max(self.now, machine.until) + cost / machine.speed
        self._announce(machine)

    def _announce(self, machine: Machine) -> None:
        machine.token += 1
        self._at(machine.ends, "lands", machine.name, machine.token)

    # What is so

    def may(self, machine: Machine, job: int) -> bool:
        """Return whether a server may get a job: it can do it, and need not be avoided for it."""
        if not machine.takes_part or job in machine.unable:
            return False
        avoided = self.avoided.get(job)
        return avoided is None or machine.name not in avoided or not any(other.name not in avoided for other in self.who_can(job))

    def who_can(self, job: int) -> list[Machine]:
        """Return the servers that get work and can do a job."""
        return [machine for machine in self.machines.values() if machine.takes_part and job not in machine.unable]

    def cost(self, job: int, cached: Iterable[int]) -> float:
        """Return what a job costs where some results are there, weighted steps."""
        return sum(map(self.steps.cost, self.results[job].difference(cached)))

    # What is told

    def fail(self, what: str) -> None:
        """Stop with a story."""
        raise Wrong(f"scenario {self.scenario.number}, at {self.now:.2f} s: {what}")

    def _tell(self, machine: Machine | None, what: str, detail: str) -> None:
        if self._told:
            self.story.append(f"{self.now:12.2f} s  {machine.name if machine else '':4} {what} {detail}")

    def _at(self, moment: float, what: str, name: str, value: float = 0.0) -> None:
        heapq.heappush(self._events, (moment, self._number, what, name, value))
        self._number += 1


def ideal(world: World) -> float:
    """Return when a run could end at the earliest, or a little later: all work shared by speed, then the longest job of all.

    What only some servers can do is shared by these.
    """
    machines = list(world.machines.values())
    work: defaultdict[frozenset[str], float] = defaultdict(float)
    longest = 0.0
    cached: frozenset[int] = frozenset()
    for job in range(len(world.results)):
        able = [machine for machine in machines if job not in machine.unable]
        if able:
            work[frozenset(machine.name for machine in able)] += world.cost(job, cached)
            longest = max(longest, world.cost(job, ()) / max(machine.speed for machine in able))
            cached = world.results[job]
    sets = {first | second for first in work for second in work} | {frozenset[str]().union(*work)}
    found = [math.fsum(cost for able, cost in work.items() if able <= names) / speed_of(world, names) for names in sets if names]
    return max(found, default=0.0) + longest


def speed_of(world: World, names: Iterable[str]) -> float:
    """Return how fast servers are together."""
    return sum(world.machines[name].maker.speed for name in names)
