"""How servers share work so that all are done at the same time. Arithmetic only."""

from __future__ import annotations

from collections.abc import Iterable


def part(jobs: Iterable[tuple[float, float]], *, begin: float, own: float, theirs: float, speed: float) -> int:
    """Return how many jobs off the end of a sequence a second server should take; 0 where that ends nothing earlier.

    Args:
        jobs: The jobs, the last one first. For each, what it costs after its neighbour, and what the second server has to do more
            if it begins with it, such as loading models and a first pass; weighted steps.
        begin: Seconds until the second server can begin.
        own: Its speed, weighted steps per second.
        theirs: Seconds until the first one would be done with all of them.
        speed: The speed of the first one.
    """
    taken, count = 0.0, 0
    for number, (cost, extra) in enumerate(jobs, 1):
        taken += cost
        seconds = begin + (extra + taken) / own
        if seconds >= theirs or (count and seconds > theirs - taken / speed):
            break
        count = number
        if seconds > theirs - taken / speed:
            break  # the first job is worth it, even if the second server is done last
    return count


def together(servers: Iterable[tuple[float, float]], work: float) -> float:
    """Return in how many seconds servers would be done with work that can be divided as is best.

    Args:
        servers: For each, in how many seconds it can begin, and its speed in weighted steps per second; at least one.
        work: The work, weighted steps.
    """
    speed = seconds = 0.0
    for begin, more in sorted(servers):
        if speed * (begin - seconds) >= work and speed:
            break
        work -= speed * (begin - seconds)
        seconds, speed = begin, speed + more
    return seconds + work / speed
