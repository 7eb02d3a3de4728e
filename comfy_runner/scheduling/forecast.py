"""Who would do what, and when it would be done: a run of `placement` in imagined time, in which nothing goes wrong."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class ServerForecast:
    """What one server would do.

    Attributes:
        name: The server.
        jobs: The jobs, in its order.
        loads: How many loads of checkpoints and diffusion models it needs.
        first: How many first passes.
        second: How many second passes.
        work: What all of it costs, weighted steps.
        seconds: When it would be done, from now; None where no speed is known.
    """

    name: str
    jobs: tuple[int, ...]
    loads: int
    first: int
    second: int
    work: float
    seconds: float | None


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
    known = any(entrant.speed for entrant in entrants)
    for entrant in entrants:
        placement.join(entrant.name, places=entrant.places, most=entrant.most, unable=entrant.unable, speed=entrant.speed)
    logs = {entrant.name: _Log(entrant) for entrant in entrants}
    landings: list[tuple[float, int, str]] = []
    now, number = 0.0, 0
    while True:
        hungry = placement.order(logs)
        while hungry:
            name = hungry.pop(0)
            jobs = placement.next(name, now)
            if jobs:
                placement.posted(name, str(number), jobs, now)
                until = logs[name].take(backlog, jobs, placement.speed(name), now)
                heapq.heappush(landings, (until, number, name))
                number += 1
                hungry = placement.order([*hungry, name])
        if not landings:
            break
        now, landed, name = heapq.heappop(landings)
        placement.landed(name, str(landed), now, measured=False)
    shares = tuple(log.share(known=known) for log in logs.values())
    return Forecast(shares, placement.splits, tuple(job for portion in backlog for job in portion.jobs))


class _Log:
    """What one server has done so far."""

    def __init__(self, entrant: Entrant) -> None:
        self._entrant = entrant
        self._jobs: list[int] = []
        self._kinds: Counter[str] = Counter()
        self._work = 0.0
        self._until = entrant.begins
        self._cached: frozenset[int] = frozenset()

    def take(self, backlog: Backlog, jobs: Sequence[int], speed: float, now: float) -> float:
        """Do a submission; return when it is done."""
        results = backlog.results(jobs)
        new = results - self._cached
        self._cached = results if self._entrant.most == 1 else frozenset()
        work = sum(map(backlog.costs.cost, new))
        self._jobs += jobs
        self._kinds.update(map(backlog.costs.kind, new))
        self._work += work
        self._until = max(self._until, now) + work / speed
        return self._until

    def share(self, *, known: bool) -> ServerForecast:
        """Return all of it."""
        kinds = self._kinds
        seconds = (self._until if self._jobs else 0.0) if known else None
        return ServerForecast(
            self._entrant.name, tuple(self._jobs), kinds["load"], kinds["first"], kinds["second"], self._work, seconds
        )
