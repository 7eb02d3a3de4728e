"""Servers as far as placing work goes: how fast each has been, what it has, and when it would be done with what.

Speeds are in weighted steps per second. All times are estimates from measured speeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from comfy_runner.scheduling.backlog import Backlog, Portion

_KEPT = 0.8  # of what was seen before, with each further submission
_OVERDUE = 0.25  # of the time that it has taken: what is overdue is expected to take that much longer
_OTHER = 3.0  # times as fast or as slow as before, twice in a row: what was before tells nothing any more


@dataclass(slots=True)
class Speed:
    """What was measured, older submissions counting less.

    Attributes:
        expected: Weighted steps per second, from earlier runs; None where nothing is known.
    """

    expected: float | None = None
    _work: float = 0.0
    _seconds: float = 0.0
    _odd: tuple[float, float] | None = None

    @property
    def known(self) -> float | None:
        """Return the speed in weighted steps per second; None where it is not known."""
        return self._work / self._seconds if self._work > 0 and self._seconds > 0 else self.expected

    def saw(self, work: float, seconds: float) -> None:
        """Note that so much work (weighted steps) took so long, with all waiting for others."""
        if work <= 0 or seconds <= 0:
            return
        change = work / seconds / (self.known or work / seconds)
        odd = (work, seconds) if not 1 / _OTHER < change < _OTHER else None
        if odd and self._odd and (change > 1) == (self._odd[0] / self._odd[1] > (self.known or 0.0)):
            self._work, self._seconds = (before + new for before, new in zip(self._odd, odd, strict=True))
        else:
            self._work = self._work * _KEPT + work
            self._seconds = self._seconds * _KEPT + seconds
        self._odd = odd

    def after(self, work: float, seconds: float) -> float:
        """Return what the speed would be if so much work took so long."""
        return (self._work * _KEPT + work) / (self._seconds * _KEPT + seconds)


@dataclass(slots=True)
class InFlight:
    """Submissions that a server has.

    Attributes:
        work: What each costs there, weighted steps, by its key; oldest first.
        since: When the server began with the oldest one.
    """

    work: dict[str, float] = field(default_factory=dict)
    since: float = 0.0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.work)

    def begin(self, key: str, work: float, now: float) -> None:
        """Note that a submission was posted."""
        if not self.work:
            self.since = now
        self.work[key] = work

    def end(self, key: str, now: float) -> tuple[float, float]:
        """Note that a submission has ended; return its work and the seconds since the one before it, or since it was posted."""
        work, seconds = self.work.pop(key), now - self.since
        self.since = now
        return work, seconds

    def slowed(self, rate: float, speed: Speed, now: float) -> float:
        """Return the speed if what is there were done now; `rate`, in weighted steps per second, where that would be no slower."""
        if not self.work:
            return rate
        oldest, elapsed = next(iter(self.work.values())), now - self.since
        # What is tried again costs nothing, as far as is known: how long it takes tells nothing.
        return rate if oldest <= 0 or oldest >= elapsed * rate else min(rate, speed.after(oldest, elapsed))

    def seconds_left(self, speed: float, now: float) -> float:
        """Return how long what is there will take, at a speed in weighted steps per second."""
        if not self.work:
            return 0.0
        oldest, elapsed = next(iter(self.work.values())), max(0.0, now - self.since)
        return max(oldest / speed - elapsed, elapsed * _OVERDUE) + (sum(self.work.values()) - oldest) / speed


@dataclass(slots=True, eq=False)
class ServerLoad:
    """What is known of a server.

    Attributes:
        name: Its name in the fleet.
        places: How many submissions it holds at a time.
        most: How many jobs of a group go into one submission: 1 unless it keeps no cache.
        speed: How fast it has been.
        open: Whether it gets work.
        portion: What it has taken and not begun.
        in_flight: The submissions that it has.
        cached: The results that its cache holds, once all submissions that it has are done.
        pool: The pool of its last submission; None before the first one.
        last: The group of its last submission; -1 before the first one.
    """

    name: str
    places: int
    most: int
    speed: Speed
    open: bool = True
    portion: Portion | None = None
    in_flight: InFlight = field(default_factory=InFlight)
    cached: Collection[int] = frozenset()
    pool: int | None = None
    last: int = -1

    @property
    def takes_part(self) -> bool:
        """Return whether it gets work, and has a place for any."""
        return self.open and self.places > 0

    @property
    def works_at(self) -> int | None:
        """Return the pool that it works at; None where it has nothing to do."""
        return self.portion.pool if self.portion else self.pool if self.in_flight.work else None


class Rates:
    """How fast servers are reckoned to be, in weighted steps per second.

    Where nothing is known of one, it is as fast as the median of the others.
    """

    def __init__(self) -> None:
        self._known: dict[str, float | None] = {}
        self._rates: dict[str, float] = {}
        self.guessed = True
        """Whether nothing is known of any server, so that the numbers are no seconds."""
        self.together = 0.0
        """The speed of all servers together, also of those that are gone."""

    def __getitem__(self, name: str) -> float:
        """Return the speed of a server."""
        return self._rates[name]

    def note(self, server: ServerLoad) -> None:
        """Take over what is known of a server's speed."""
        known = self._known[server.name] = server.speed.known
        if known is not None:
            self._rates[server.name] = known
        if None in self._known.values():
            found = [speed for speed in self._known.values() if speed is not None]
            self.guessed = not found
            usual = statistics.median(found) if found else 1.0
            self._rates |= {name: usual for name, speed in self._known.items() if speed is None}
        else:
            self.guessed = False
        self.together = sum(self._rates.values())


class Outlook:
    """When servers would be done, as it looks at one moment; what is not forgotten is worked out once.

    Args:
        backlog: The work.
        servers: The servers that get work.
        rates: How fast these are.
        now: The moment, in seconds.
    """

    def __init__(self, backlog: Backlog, servers: Iterable[ServerLoad], rates: Rates, now: float) -> None:
        self._backlog, self._rates, self.now = backlog, rates, now
        self.servers = {server.name: server for server in servers}
        self._rate: dict[str, float] = {}
        self._begins: dict[str, float] = {}
        self._ends: dict[str, float] = {}
        self._starts: dict[int, dict[str, tuple[float, float]]] = {}

    def forget(self, name: str) -> None:
        """Look at a server anew: it has other submissions, or another portion."""
        for known in (self._rate, self._begins, self._ends):
            known.pop(name, None)
        for starts in self._starts.values():
            starts.pop(name, None)

    def rate(self, server: ServerLoad) -> float:
        """Return how fast a server is, weighted steps per second: slower than so far if it should have been done by now."""
        rate = self._rate.get(server.name)
        if rate is None:
            rate = self._rates[server.name]
            if server.in_flight.work and not self._rates.guessed:
                rate = server.in_flight.slowed(rate, server.speed, self.now)
            self._rate[server.name] = rate
        return rate

    @property
    def together(self) -> float:
        """Return how fast all servers are together, at most; weighted steps per second."""
        return self._rates.together

    def begin(self, server: ServerLoad) -> float:
        """Return in how many seconds a server would be done with all submissions that it has."""
        begin = self._begins.get(server.name)
        if begin is None:
            begin = self._begins[server.name] = server.in_flight.seconds_left(self.rate(server), self.now)
        return begin

    def starts(self, pool: int) -> dict[str, tuple[float, float]]:
        """Return for each server in how many seconds it could do work of a pool, and its speed in weighted steps per second.

        That is at once for one that works, and else with the models loaded.
        """
        known = self._starts.setdefault(pool, {})
        if len(known) < len(self.servers):
            for name in self.servers.keys() - known.keys():
                server = self.servers[name]
                begin, rate = self.begin(server), self.rate(server)
                if server.works_at is None:
                    begin += self._backlog.loading(pool, server.cached) / rate
                known[name] = begin, rate
        return known

    def end(self, server: ServerLoad) -> float:
        """Return in how many seconds a server would be done with all that it has taken."""
        end = self._ends.get(server.name)
        if end is None:
            work = self.work(server, server.portion) if server.portion else 0.0
            end = self._ends[server.name] = self.begin(server) + work / self.rate(server)
        return end

    def work(self, server: ServerLoad, portion: Portion) -> float:
        """Return what a portion costs a server after what it has, weighted steps; loads of models included."""
        return portion.left + self.more(server, portion.jobs[0], len(portion.jobs))

    def more(self, server: ServerLoad, job: int, count: int = 1) -> float:
        """Return what jobs cost a server more than one that has just done the neighbour of the first of them.

        That are loads of models and a first pass, unless its cache has them: once, or where it keeps no cache in each submission.
        """
        more = self._backlog.cost(job, server.cached) - self._backlog.after[job]
        return more * (math.ceil(count / server.most) if server.most > 1 else 1)
