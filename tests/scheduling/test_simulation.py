"""Thousands of runs in imagined time: nothing lost, nothing twice, groups whole, nobody idle for nothing; whatever goes wrong.

Each scenario is made from one number. ``FLEET_SEED=17 FLEET_SCENARIOS=1`` tells the story of one; more of them try more.
"""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable

import pytest

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.forecast import Entrant, forecast
from tests.planning.model_lists import Steps
from tests.scheduling.scenarios import Scenario, calm, troubled
from tests.scheduling.simulation import World, ideal
from tests.scheduling.watching import Inspector

_COUNT = int(os.environ.get("FLEET_SCENARIOS", "1500"))
_FIRST = int(os.environ.get("FLEET_SEED", "0"))


def _run(scenario: Scenario) -> World:
    """Run a scenario; every decision is looked at, and at the end all that was done."""
    inspector = Inspector()
    world = World(scenario, inspector, told=_COUNT == 1)
    try:
        world.run()
        inspector.check_end(world)
    except BaseException:
        _tell("\n".join(world.story))
        raise
    return world


@pytest.mark.slow
def test_whatever_goes_wrong_nothing_is_lost_or_done_twice_and_nobody_is_idle_for_nothing() -> None:
    for number in range(_FIRST, _FIRST + _COUNT):
        _run(troubled(number, _drawing("troubled", number)))


@pytest.mark.slow
def test_where_nothing_goes_wrong_groups_stay_whole_and_the_run_ends_near_the_ideal() -> None:
    ratios = []
    for number in range(_FIRST, _FIRST + _COUNT):
        world = _run(calm(number, _drawing("calm", number), able=True))
        best = ideal(world)
        if best and all(maker.most == 1 for maker in world.scenario.makers):
            ratios.append(world.end / best)
    ratios.sort()
    _tell(f"end / ideal of {len(ratios)}: median {statistics.median(ratios):.3f}, worst {ratios[-1]:.3f}")
    assert ratios[-1] < 1.25
    assert ratios[int(0.95 * (len(ratios) - 1))] < 1.1


@pytest.mark.parametrize(
    ("draw", "number"),
    [
        (calm, 1609),
        (calm, 5884),
        (calm, 6439),
        *((troubled, number) for number in (1792, 1865, 2137, 2277, 2337, 2387, 3847, 4152)),
    ],
)
def test_what_once_went_wrong_does_so_no_more(draw: Callable[[int, random.Random], Scenario], number: int) -> None:
    _run(draw(number, _drawing(draw.__name__, number)))


@pytest.mark.parametrize("servers", [1, 2, 8, 64])
def test_equal_servers_with_twenty_jobs_each_end_within_a_tenth_of_the_ideal(servers: int) -> None:
    steps, groups = _sweep(checkpoints=2, seeds=servers, denoise=10)

    found = forecast(Backlog(groups, steps[1], steps[0]), [Entrant(f"s{number}", speed=1.0) for number in range(servers)])

    alone = forecast(Backlog(groups, steps[1], steps[0]), [Entrant("alone", speed=1.0)]).shares[0]
    end = max(share.seconds or 0.0 for share in found.shares)
    _tell(f"{servers} servers: {end * servers / alone.work:.3f} of the ideal, {found.splits} splits")
    assert sum(len(share.jobs) for share in found.shares) == len(steps[1])
    assert end * servers / alone.work < 1.1


def test_as_many_checkpoints_as_servers_are_each_loaded_once() -> None:
    steps, groups = _sweep(checkpoints=4, seeds=4, denoise=9)

    found = forecast(Backlog(groups, steps[1], steps[0]), [Entrant(f"s{number}", speed=1.0) for number in range(4)])

    assert [share.kinds["load"] for share in found.shares] == [1, 1, 1, 1]
    assert sum(share.kinds["first"] for share in found.shares) == 16
    assert found.splits == 0


def test_a_server_that_is_ten_times_slower_does_not_make_the_run_later() -> None:
    steps, groups = _sweep(checkpoints=1, seeds=8, denoise=9)
    fast = [Entrant(f"s{number}", speed=10.0) for number in range(3)]

    without = forecast(Backlog(groups, steps[1], steps[0]), fast)
    found = forecast(Backlog(groups, steps[1], steps[0]), [*fast, Entrant("slow", speed=1.0)])

    ends = [max(share.seconds or 0.0 for share in each.shares) for each in (without, found)]
    assert ends[1] <= ends[0] * 1.03
    assert found.shares[-1].jobs


def test_jobs_that_nobody_can_do_are_left() -> None:
    steps, groups = _sweep(checkpoints=1, seeds=1, denoise=3)

    found = forecast(Backlog(groups, steps[1], steps[0]), [Entrant("one", unable=frozenset({1})), Entrant("two", unable={1, 2})])

    assert found.left == (1,)
    assert [share.seconds for share in found.shares] == [None, None]


def _drawing(kind: str, number: int) -> random.Random:
    return random.Random(f"{kind}/{number}")  # noqa: S311 - a scenario, not a secret


def _tell(text: str) -> None:
    print(text)  # noqa: T201 - shown where a test fails, or with -s


def _sweep(*, checkpoints: int, seeds: int, denoise: int) -> tuple[tuple[Steps, list[tuple[int, ...]]], list[list[int]]]:
    catalogue = Steps()
    points = [(c, s, d) for c in range(checkpoints) for s in range(seeds) for d in range(denoise)]
    jobs = [catalogue.job(checkpoint=str(c), seed=s, denoise=d / 100) for c, s, d in points]
    groups: dict[tuple[int, int], list[int]] = {}
    for number, (c, s, _) in enumerate(points):
        groups.setdefault((c, s), []).append(number)
    return (catalogue, jobs), list(groups.values())
