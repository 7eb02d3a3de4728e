"""Who would do what, and when it would be done: a run of `placement` in imagined time, in which nothing goes wrong."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.placement import Placement


@dataclass(frozen=True, slots=True)
class Entrant:
    """A server that is to take part.

    Attributes:
        name: Its name.
        places: How many submissions it holds at a time.
        most: How many jobs of a group go into one submission: 1 unless it keeps no cache.
        unable: The jobs that it cannot do.
        speed: How fast it is expected to be, weighted steps per second; None where nothing is known.
        begins: Seconds until it is done with what it has now.
    """

    name: str
    places: int = 2
    most: int = 1
    unable: Collection[int] = frozenset()
    speed: float | None = None
    begins: float = 0.0


@dataclass(slots=True)
class ServerForecast:
    """What one server would do.

    Attributes:
        entrant: The server.
        jobs: The jobs, in its order.
        kinds: How many results of each kind it would make: ``load`` of a model, ``first`` and ``second`` pass.
        work: What all of it costs, weighted steps.
        seconds: When it would be done, from now; None where no speed is known.
    """

    entrant: Entrant
    jobs: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    work: float = 0.0
    seconds: float | None = 0.0
    _cached: frozenset[int] = frozenset()

    def take(self, backlog: Backlog, jobs: Sequence[int], speed: float, now: float) -> float:
        """Do a submission; return when it is done."""
        results = backlog.results(jobs)
        new = results - self._cached
        self._cached = results if self.entrant.most == 1 else frozenset()
        work = sum(map(backlog.costs.cost, new))
        self.kinds.update(map(backlog.costs.kind, new))
        self.work += work
        end = max(self.seconds or 0.0 if self.jobs else self.entrant.begins, now) + work / speed
        self.jobs += jobs
        self.seconds = end
        return end


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a fleet would do.

    Attributes:
        shares: One for each server.
        splits: How many groups would be split.
        left: The jobs that no server can do.
    """

    shares: tuple[ServerForecast, ...]
    splits: int
    left: tuple[int, ...]


def forecast(backlog: Backlog, entrants: Sequence[Entrant]) -> Forecast:
    """Return what would be done by whom. The backlog is used up by it.

    Args:
        backlog: The work.
        entrants: The servers, at least one.
    """
    placement = Placement(backlog)
    for entrant in entrants:
        placement.join(entrant.name, places=entrant.places, most=entrant.most, unable=entrant.unable, speed=entrant.speed)
    shares = {entrant.name: ServerForecast(entrant) for entrant in entrants}
    landings: list[tuple[float, int, str]] = []
    now, number = 0.0, 0
    while True:
        hungry = placement.order(shares)
        while hungry:
            name = hungry.pop(0)
            jobs = placement.next(name, now)
            if jobs:
                placement.posted(name, str(number), jobs, now)
                until = shares[name].take(backlog, jobs, placement.speed(name), now)
                heapq.heappush(landings, (until, number, name))
                number += 1
                hungry = placement.order([*hungry, name])
        if not landings:
            break
        now, landed, name = heapq.heappop(landings)
        placement.landed(name, str(landed), now, measured=False)
    if not any(entrant.speed for entrant in entrants):
        for share in shares.values():
            share.seconds = None
    return Forecast(tuple(shares.values()), placement.splits, tuple(job for portion in backlog for job in portion.jobs))
