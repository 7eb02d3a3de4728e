"""Small plans whose costs can be reckoned in the head, and servers that ask for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.placement import Placement

LOAD, FIRST, EACH = 10.0, 5.0, 10.0
"""What the models of a group cost, its first pass, and each of its jobs; weighted steps, and seconds at a speed of 1."""


class Prices:
    """What results cost; each is added once.

    Attributes:
        known: The kind and the cost of each.
    """

    def __init__(self) -> None:
        self.known: list[tuple[str, float]] = []

    def add(self, kind: str, cost: float) -> int:
        self.known.append((kind, cost))
        return len(self.known) - 1

    def kind(self, step: int, /) -> str:
        return self.known[step][0]

    def cost(self, step: int, /) -> float:
        return self.known[step][1]


def plan(*groups: str, load: float = LOAD, first: float = FIRST, each: float = EACH, waiting: int | None = None) -> Backlog:
    """Return the jobs of these groups: ``aaa`` are three jobs with one first pass that need models a; an ``A`` costs tenfold."""
    prices = Prices()
    loads = {letter: prices.add("load", load) for letter in sorted(set("".join(groups).lower()))}
    steps: list[tuple[int, ...]] = []
    numbered = []
    for group in groups:
        shared = loads[group[0].lower()], prices.add("first", first)
        numbered.append(range(len(steps), len(steps) + len(group)))
        steps += [(*shared, prices.add("second", each * (10 if job.isupper() else 1))) for job in group]
    return Backlog(numbered, steps, prices, waiting=waiting)


class Floor:
    """Servers that do what they are given.

    Args:
        backlog: The work.
        speeds: How fast each is said to be; None for nothing.

    Attributes:
        placement: The policy.
        now: The time in seconds; set it as you like.
    """

    def __init__(self, backlog: Backlog, **speeds: float | None) -> None:
        self.placement = Placement(backlog)
        self.now = 0.0
        self._in_flight: dict[str, deque[str]] = {}
        self._number = 0
        for name, speed in speeds.items():
            self.join(name, speed=speed)

    def join(
        self, name: str, *, speed: float | None = 1.0, places: int = 1, most: int = 1, unable: Collection[int] = frozenset()
    ) -> None:
        """Let a server take part, with one place unless it is to have more."""
        self.placement.join(name, speed=speed, places=places, most=most, unable=unable)
        self._in_flight.setdefault(name, deque())

    def ask(self, name: str) -> tuple[int, ...]:
        """Return what a server that asks is given, and let it begin with that."""
        jobs = self.placement.next(name, self.now)
        if jobs:
            key = str(self._number)
            self._number += 1
            self.placement.posted(name, key, jobs, self.now)
            self._in_flight[name].append(key)
        return jobs

    def done(self, name: str, *, measured: bool = True) -> None:
        """Let a server be done with the oldest of what it has."""
        self.placement.landed(name, self._in_flight[name].popleft(), self.now, measured=measured)

    def go_on(self, name: str, seconds: float = 0.0) -> tuple[int, ...]:
        """Let a server be done after so many seconds, and ask again."""
        self.now += seconds
        self.done(name, measured=seconds > 0)
        return self.ask(name)
