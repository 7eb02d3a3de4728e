"""How long it takes to decide what a server does next, with a hundred thousand groups and 64 servers: a whole run in imagined time.

The last decisions are told apart: near the end groups are split, and servers that ask may get nothing.
"""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Sequence

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.placement import Placement

_GROUPS = 100_000
_EACH = 2  # jobs of a group
_SERVERS = 64
_PLACES = 2  # of each
_NEAR_THE_END = 2_000  # decisions
_LOAD, _FIRST, _SECOND = 40.0, 30.0, 142.0  # weighted steps, of a picture of two passes


class _Costs:
    """What the results of the plan cost: first the checkpoints, then a first pass for each group, then a second for each job.

    Args:
        checkpoints: How many checkpoints.
    """

    def __init__(self, checkpoints: int) -> None:
        self._checkpoints = checkpoints

    def cost(self, step: int, /) -> float:
        """Return what a result costs."""
        return {"load": _LOAD, "first": _FIRST}.get(self.kind(step), _SECOND)

    def kind(self, step: int, /) -> str:
        """Return what kind of result it is."""
        return "load" if step < self._checkpoints else "first" if step < self._checkpoints + _GROUPS else "second"


def main() -> None:
    """Print the times."""
    print(f"{_GROUPS} groups of {_EACH} jobs, {_SERVERS} servers; milliseconds for one decision (goal: median below 1):")
    for checkpoints, lacking in ((1, 0), (64, 0), (16, 8)):
        began = time.perf_counter()
        taken = _decide(checkpoints, lacking)
        seconds = time.perf_counter() - began
        rare = f" ({lacking} of them on half of the servers only)" if lacking else ""
        print(f"  checkpoints: {checkpoints}{rare}; {len(taken)} decisions, {seconds:.1f} s in all")
        _tell("all", taken)
        _tell(f"the last {_NEAR_THE_END}", taken[-_NEAR_THE_END:])


def _tell(what: str, taken: Sequence[float]) -> None:
    found = [1000 * seconds for seconds in (statistics.median(taken), statistics.quantiles(taken, n=100)[-1], max(taken))]
    print(f"    {what}: median {found[0]:.2f}, 99th percentile {found[1]:.2f}, at most {found[2]:.2f}")


def _decide(checkpoints: int, lacking: int) -> list[float]:
    """Return the seconds that each decision took, in a run in which each server works as fast as it is said to.

    Servers are of four speeds, and half of them lack the last checkpoints, `lacking` of them.
    """
    groups = [list(range(number * _EACH, (number + 1) * _EACH)) for number in range(_GROUPS)]
    # As in a plan, those with the same checkpoint are neighbours.
    steps = [
        (number * checkpoints // _GROUPS, checkpoints + number, checkpoints + _GROUPS + job)
        for number, jobs in enumerate(groups)
        for job in jobs
    ]
    placement = Placement(Backlog(groups, steps, _Costs(checkpoints)))
    speeds = {f"s{number}": 20.0 * (1 + number % 4) for number in range(_SERVERS)}
    lacked = [job for job, results in enumerate(steps) if results[0] >= checkpoints - lacking]
    for number, (name, speed) in enumerate(speeds.items()):
        placement.join(name, speed=speed, unable=lacked if number % 8 >= 4 else ())
    free, flying = dict.fromkeys(speeds, 0.0), dict.fromkeys(speeds, 0)
    landings: list[tuple[float, int, str]] = []
    taken: list[float] = []
    now, number, hungry = 0.0, 0, placement.order(speeds)
    idle: set[str] = set()
    while True:
        while hungry:
            name = hungry.pop(0)
            began = time.perf_counter()
            jobs = placement.next(name, now)
            taken.append(time.perf_counter() - began)
            if not jobs:
                idle.add(name)
            else:
                placement.posted(name, str(number), jobs, now)
                work = _SECOND * len(jobs) + _FIRST / _EACH
                free[name] = max(free[name], now) + work / speeds[name]
                heapq.heappush(landings, (free[name], number, name))
                number += 1
                flying[name] += 1
                if flying[name] < _PLACES:
                    hungry = placement.order([*hungry, name])
        if not landings:
            return taken
        now, landed, name = heapq.heappop(landings)
        placement.landed(name, str(landed), now)
        flying[name] -= 1
        hungry = placement.order({name, *idle})
        idle.clear()


if __name__ == "__main__":
    main()
