"""Who does what next: whole groups to one server, split only near the end. A function of values; the moments are the caller's.

A server that has a free place asks with `Placement.next`; what it gets it does. The rules, in this order:

1. What a server has begun it goes on with; a group stays together, for its first pass is in that server's cache.
2. Work that only few servers can do comes first for these, where it would otherwise end after all the rest.
3. The group that follows in the plan's order, as long as it needs the same models.
4. Models that nobody works with, the largest pool first: somebody has to load them anyway.
5. Models that others work with, if the group is done sooner so than by them alone, with the load that it costs.
6. A part off the end of what another server has taken, or would take, such that both are done at the same time.

A server that is so slow, or so full, that the others would be done with everything before it was done with one job more, gets
none. All times are estimates from measured speeds (`speed`); where none is known, servers are as fast as the median of the others.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from comfy_runner.fleet.backlog import Backlog, Pool, Portion
from comfy_runner.fleet.parting import part
from comfy_runner.fleet.speed import Flying, Speed

_CRITICAL = 0.9  # of the time that all the work takes: work for few servers that takes longer than that is not put off
_NEAR = 64  # groups that are looked through for the one that follows


@dataclass(slots=True, eq=False)
class Server:
    """A server, as far as placing work goes.

    Attributes:
        name: Its name in the fleet.
        places: How many parcels it holds at a time.
        most: How many jobs of a group go into one parcel: 1 unless it keeps no cache.
        unable: The jobs that it cannot do.
        barred: The pools of which it can do nothing.
        speed: How fast it has been.
        open: Whether it gets work.
        portion: What it has taken and not begun.
        flying: The parcels that it has.
        cached: The results that its cache holds, once all parcels that it has are done.
        pool: The pool of its last parcel; None before the first one.
        last: The group of its last parcel; -1 before the first one.
    """

    name: str
    places: int
    most: int
    unable: Collection[int]
    barred: frozenset[int]
    speed: Speed
    open: bool = True
    portion: Portion | None = None
    flying: Flying = field(default_factory=Flying)
    cached: frozenset[int] = frozenset()
    pool: int | None = None
    last: int = -1


class Placement:
    """The work of one run and the servers that it is for.

    Args:
        backlog: The work.
    """

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._servers: dict[str, Server] = {}
        self._avoided: dict[int, set[str]] = {}
        self.splits = 0
        """How many groups were split so that the run ends earlier."""

    # Servers

    def join(
        self, name: str, *, places: int = 2, most: int = 1, unable: Collection[int] = frozenset(), speed: float | None = None
    ) -> None:
        """Let a server take part, or take part again: its memory is new then, what is known of its speed is kept.

        Args:
            name: Its name.
            places: How many parcels it holds at a time, at least 1.
            most: How many jobs of a group may go into one parcel, at least 1.
            unable: The jobs that it cannot do.
            speed: What is known of its speed, weighted steps per second; None for nothing.
        """
        known = self._servers.get(name)
        flying = known.flying if known else Flying()
        barred = self._backlog.pools_in(unable)
        self._servers[name] = Server(name, places, most, unable, barred, known.speed if known else Speed(speed), flying=flying)

    def leave(self, name: str) -> None:
        """Give a server nothing more, and take back what it has not begun; what it has goes on until it has `landed`."""
        server = self._servers[name]
        server.open = False
        if server.portion is not None:
            self._backlog.put_back(server.portion.jobs)
            server.portion = None

    def limit(self, name: str, places: int) -> None:
        """Change how many parcels a server holds at a time."""
        self._servers[name].places = places

    # Work

    def next(self, name: str, now: float) -> tuple[int, ...]:
        """Return the jobs of the parcel that a server is to be given now; none where there is none for it.

        Jobs that are returned are not waiting any more: they are to be `posted`, to be `put_back`, or have ended.

        Args:
            name: The server.
            now: The time in seconds, of any monotonic clock.
        """
        server = self._servers[name]
        if not server.open or len(server.flying) >= server.places:
            return ()
        self._take_up_again(server)
        if server.portion is None:
            server.portion = self._choose(server, now)
        if server.portion is None or self._is_better_elsewhere(server, server.portion.jobs[0], now):
            return ()
        portion = server.portion
        # As equal as can be: each parcel needs the first pass once more.
        parcels = math.ceil(len(portion.jobs) / server.most)
        jobs = [portion.jobs.popleft() for _ in range(math.ceil(len(portion.jobs) / parcels))]
        portion.left -= sum(self._backlog.after[job] for job in jobs)
        if not portion.jobs:
            server.portion = None
        return tuple(jobs)

    def posted(self, name: str, key: str, jobs: Sequence[int], now: float) -> None:
        """Note that a server has a parcel.

        Args:
            name: The server.
            key: The parcel's key.
            jobs: Its jobs, at least one; also such as were never waiting.
            now: As for `next`.
        """
        server = self._servers[name]
        results = self._backlog.results(jobs)
        work = sum(map(self._backlog.costs.cost, results - server.cached))
        server.flying.begin(key, work, now)
        server.cached = frozenset() if server.most > 1 else results
        server.pool = self._backlog.pool_of(jobs[-1])
        server.last = self._backlog.group_of[jobs[-1]]

    def landed(self, name: str, key: str, now: float, *, measured: bool = True) -> None:
        """Note that a server does not have a parcel any more.

        Args:
            name: The server.
            key: The parcel's key; one that is not known is ignored.
            now: As for `next`.
            measured: Whether the time that it took tells how fast the server is.
        """
        server = self._servers[name]
        if key in server.flying.work:
            work, seconds = server.flying.end(key, now)
            if measured:
                server.speed.saw(work, seconds)

    def put_back(self, jobs: Iterable[int], *, last: bool = False) -> None:
        """Have jobs wait again, before all others of their pool, or after them."""
        self._backlog.put_back(jobs, last=last)

    def avoid(self, job: int, name: str) -> None:
        """Give a job to other servers than this one, as long as one of them can do it."""
        self._avoided.setdefault(job, set()).add(name)

    def others_can(self, job: int) -> bool:
        """Return whether any server that gets work can do a job and need not be avoided."""
        shunned = self._avoided.get(job, ())
        return any(server.open and job not in server.unable and server.name not in shunned for server in self._servers.values())

    def remove(self, job: int) -> bool:
        """Take a job out; return whether it waited."""
        for server in self._servers.values():
            if server.portion is not None and job in server.portion.jobs:
                self._backlog.split(server.portion, [job])
                server.portion = server.portion if server.portion.jobs else None
                return True
        return self._backlog.remove(job)

    @property
    def waits(self) -> bool:
        """Return whether any job waits."""
        return bool(self._backlog) or any(server.portion for server in self._servers.values())

    def order(self, names: Iterable[str]) -> list[str]:
        """Return servers in the order in which they are to ask for work: those with the least to do first, then the fastest."""
        found = [self._servers[name] for name in names]
        return [server.name for server in sorted(found, key=lambda server: (len(server.flying), -self._rate(server)))]

    def can(self, name: str, job: int) -> bool:
        """Return whether a server can do a job, and gets work at all."""
        server = self._servers[name]
        return server.open and job not in server.unable

    def speed(self, name: str) -> float:
        """Return how fast a server is reckoned to be, weighted steps per second."""
        return self._rate(self._servers[name])

    # Choosing

    def _fits(self, server: Server) -> Callable[[int], bool] | None:
        """Return what tells of a job whether a server takes it; None where it takes all."""
        if not server.unable and not self._avoided:
            return None
        others = [other for other in self._open if other is not server]

        def fits(job: int) -> bool:
            if job in server.unable:
                return False
            avoided = self._avoided.get(job, ())
            return server.name not in avoided or not any(o.name not in avoided and job not in o.unable for o in others)

        return fits

    @property
    def _open(self) -> list[Server]:
        return [server for server in self._servers.values() if server.open]

    def _rate(self, server: Server) -> float:
        known = server.speed.known
        if known is not None:
            return known
        others = [speed for other in self._servers.values() if (speed := other.speed.known) is not None]
        return statistics.median(others) if others else 1.0

    def _take_up_again(self, server: Server) -> None:
        """Take what was put back of what this server does, or of anything where it is alone."""
        alone = len(self._open) == 1
        if server.portion is None or not (alone or server.portion.group == server.last):
            return
        fits = self._fits(server)
        pools = self._backlog.pools if alone else [self._backlog.pools[server.portion.pool]]
        pool = self._backlog.first_of(pools)
        if pool is None or not self._backlog.was_open(pool.waiting[0].group):
            return
        first = pool.waiting[0]
        if not alone and first.group != server.portion.group:
            return
        if fits is None or any(map(fits, first.jobs)):
            taken = self._backlog.take(pool, 0, fits)
            if taken.group == server.portion.group:
                server.portion.jobs.extendleft(reversed(taken.jobs))
                server.portion.left += taken.left
            else:
                self._backlog.put_back(server.portion.jobs)
                server.portion = taken

    def _choose(self, server: Server, now: float) -> Portion | None:
        fits = self._fits(server)
        found = [(pool, index) for pool in self._backlog.pools if (index := self._index(server, pool, fits)) is not None]
        if len(self._open) == 1:
            pool = self._backlog.first_of(pool for pool, _ in found)
            return None if pool is None else self._backlog.take(pool, dict(_by_number(found))[pool.number], fits)
        critical = self._critical(server, [pool for pool, _ in found])
        if critical:
            found = [(pool, index) for pool, index in found if pool.number in critical]
        for pool, index in found:
            if pool.number == server.pool:
                return self._backlog.take(pool, self._following(server, pool, index), fits)
        workers: dict[int, list[Server]] = {}
        for other in self._open:
            if other is not server and other.pool is not None and (other.portion or len(other.flying)):
                workers.setdefault(other.portion.pool if other.portion else other.pool, []).append(other)
        untouched = [(pool, index) for pool, index in found if pool.number not in workers]
        if untouched:
            pool, index = max(untouched, key=lambda item: item[0].left)
            return self._backlog.take(pool, index, fits)
        return self._join_others(server, found, workers, fits, now) or self._split_off(server, fits, now)

    def _index(self, server: Server, pool: Pool, fits: Callable[[int], bool] | None) -> int | None:
        """Return the first portion of a pool of which a server can do anything."""
        if pool.number in server.barred:
            return None
        if fits is None:
            return 0 if pool.waiting else None
        return next((index for index, portion in enumerate(pool.waiting) if any(map(fits, portion.jobs))), None)

    def _following(self, server: Server, pool: Pool, index: int) -> int:
        """Return the portion that comes after the server's last group in the plan's order, if it is there; else the first."""
        if self._backlog.was_open(pool.waiting[index].group) or server.unable or self._avoided:
            return index
        near = enumerate(itertools.islice(pool.waiting, _NEAR))
        following = (number for number, portion in near if portion.group == server.last + 1)
        return next(following, index)

    def _critical(self, server: Server, pools: Sequence[Pool]) -> set[int]:
        """Return the pools that only few servers can do, and that would be done last if these did anything else first."""
        if not any(other.unable for other in self._open):
            return set()
        able = {
            pool.number: frozenset(other.name for other in self._open if pool.number not in other.barred)
            for pool in self._backlog.pools
            if pool.waiting
        }
        speed = {other.name: self._rate(other) for other in self._open}
        seconds: dict[frozenset[str], float] = {}
        for names in set(able.values()):
            if names:
                work = sum(self._backlog.pools[number].left for number, others in able.items() if others <= names)
                seconds[names] = work / sum(speed[name] for name in names)
        longest = max(seconds.values(), default=0.0)
        mine = [pool.number for pool in pools if server.name in able[pool.number]]
        urgent = {number for number in mine if seconds[able[number]] >= _CRITICAL * longest}
        fewest = min((len(able[number]) for number in urgent), default=0)
        return {number for number in urgent if len(able[number]) == fewest} if fewest < len(speed) else set()

    def _join_others(
        self,
        server: Server,
        found: Sequence[tuple[Pool, int]],
        workers: dict[int, list[Server]],
        fits: Callable[[int], bool] | None,
        now: float,
    ) -> Portion | None:
        """Take a group, or the end of one, of a pool that others work at, if it is done sooner so."""
        own = self._rate(server)
        begin = server.flying.seconds_left(own, now)
        best: tuple[float, Pool, int, int] | None = None
        for pool, index in found:
            speed = sum(self._rate(other) for other in workers[pool.number])
            busy = sum(self._seconds_left(other, now) * self._rate(other) for other in workers[pool.number])
            theirs = (busy + pool.left) / speed
            portion = pool.waiting[index]
            jobs = [job for job in portion.jobs if fits is None or fits(job)]
            load = self._extra(server, jobs[0])
            if begin + (load + portion.left) / own < theirs - (0.0 if len(pool.waiting) > 1 else portion.left / speed):
                count = len(jobs)
            else:
                index = len(pool.waiting) - 1
                jobs = [job for job in pool.waiting[index].jobs if fits is None or fits(job)]
                count = self._share(server, jobs, begin, own, theirs, speed)
            if count and (best is None or theirs > best[0]):
                best = (theirs, pool, index, count)
        if best is None:
            return None
        _, pool, index, count = best
        portion = pool.waiting[index]
        jobs = [job for job in portion.jobs if fits is None or fits(job)][-count:]
        if len(jobs) < len(portion.jobs):
            self.splits += 1
        chosen = set(jobs)
        return self._backlog.take(pool, index, chosen.__contains__)

    def _split_off(self, server: Server, fits: Callable[[int], bool] | None, now: float) -> Portion | None:
        """Take jobs off the end of what the server that would be done last has taken, if they are done sooner so."""
        own = self._rate(server)
        begin = server.flying.seconds_left(own, now)
        busy = [(self._seconds_left(o, now), o, o.portion) for o in self._open if o is not server and o.portion]
        for seconds, other, portion in sorted(busy, key=lambda item: -item[0]):
            jobs = [job for job in portion.jobs if fits is None or fits(job)]
            count = self._share(server, jobs, begin, own, seconds, self._rate(other))
            if count:
                taken = self._backlog.split(portion, jobs[-count:])
                other.portion = portion if portion.jobs else None
                self.splits += 1
                return taken
        return None

    def _share(self, server: Server, jobs: Sequence[int], begin: float, own: float, theirs: float, speed: float) -> int:
        """Return how many jobs off the end a server should take of others, who are done in `theirs` seconds at `speed`."""
        steps = ((self._backlog.after[job], self._extra(server, job)) for job in reversed(jobs))
        return part(steps, begin=begin, own=own, theirs=theirs, speed=speed)

    def _extra(self, server: Server, job: int) -> float:
        """Return what a job costs a server more than one that has just done its neighbour: loads of models, a first pass."""
        return max(0.0, self._backlog.cost(job, server.cached) - self._backlog.after[job])

    def _seconds_left(self, server: Server, now: float) -> float:
        speed = self._rate(server)
        waiting = server.portion.left + self._extra(server, server.portion.jobs[0]) if server.portion else 0.0
        return server.flying.seconds_left(speed, now) + waiting / speed

    def _is_better_elsewhere(self, server: Server, job: int, now: float) -> bool:
        """Return whether the others would be done with everything before this server was done with this job."""
        shunned = self._avoided.get(job, ())
        others = [o for o in self._open if o is not server and job not in o.unable and o.name not in shunned]
        if not others:
            return False
        own = self._rate(server)
        mine = server.flying.seconds_left(own, now) + self._backlog.cost(job, server.cached) / own
        speeds = [self._rate(other) for other in others]
        flying = [other.flying.seconds_left(speed, now) for other, speed in zip(others, speeds, strict=True)]
        waiting = self._backlog.left + sum(other.portion.left for other in self._open if other.portion)
        busy = sum(seconds * speed for seconds, speed in zip(flying, speeds, strict=True))
        if mine <= (busy + waiting) / sum(speeds):
            return False
        alone = [self._backlog.cost(job, other.cached) / speed for other, speed in zip(others, speeds, strict=True)]
        soonest = min(seconds + cost for seconds, cost in zip(flying, alone, strict=True))
        return soonest < mine and mine > (busy + waiting) / sum(speeds) + min(alone)


def _by_number(found: Iterable[tuple[Pool, int]]) -> Iterable[tuple[int, int]]:
    return ((pool.number, index) for pool, index in found)
