"""How many groups were split so that the run ends earlier: what a run and a plan tell of it."""

from __future__ import annotations

import pytest

from comfy_runner.scheduling.forecast import Entrant, forecast
from tests.scheduling.placing import Floor, plan


def test_a_group_counts_once_however_many_parts_it_is_in() -> None:
    found = forecast(plan("a" * 40), [Entrant(f"s{number}", speed=1.0) for number in range(8)])

    assert all(share.jobs for share in found.shares)
    assert found.splits == 1


@pytest.mark.parametrize("most", [1, 16])
@pytest.mark.parametrize("load", [0.0, 2.0, 40.0])
def test_groups_of_one_job_are_never_split(most: int, load: float) -> None:
    found = forecast(plan(*"aaaaaaaaa", load=load), [Entrant("a"), Entrant("b"), Entrant("c", most=most)])

    assert len([share for share in found.shares if share.jobs]) == 3
    assert found.splits == 0


def test_a_whole_group_that_one_leaves_to_another_is_not_split() -> None:
    floor = Floor(plan("aa", "b"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two")] == [(0,), (2,)]
    assert [floor.go_on("one", 25), floor.go_on("two")] == [(1,), ()]
    floor.now = 10_000
    floor.done("one")
    # Both failed there, after a very long time.
    floor.placement.put_back([0, 1])

    assert floor.ask("one") == ()
    assert [floor.ask("two"), floor.go_on("two", 25)] == [(0,), (1,)]
    assert floor.placement.splits == 0


def test_what_one_has_no_time_for_any_more_makes_a_split_where_another_does_it() -> None:
    floor = Floor(plan("aa", "b"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two")] == [(0,), (2,)]
    floor.now = 25
    floor.done("two")
    floor.now = 10_000
    floor.done("one")

    assert floor.ask("one") == ()
    assert floor.ask("two") == (1,)
    assert floor.placement.splits == 1


def test_a_part_is_no_split_where_the_same_server_does_the_rest() -> None:
    floor = Floor(plan("a", "aaaa", load=20.0, first=0.0), one=1.0)
    assert floor.ask("one") == (0,)
    floor.now = 20
    floor.join("two")

    # One would do the rest within 40 s; two needs 20 s more, for the load.
    assert floor.ask("two") == (4,)
    floor.placement.leave("one")

    assert [floor.go_on("two", 30), floor.go_on("two", 10), floor.go_on("two", 10)] == [(1,), (2,), (3,)]
    assert (floor.placement.parts, floor.placement.splits) == (1, 0)


def test_what_a_dead_server_leaves_is_not_split_to_end_earlier() -> None:
    floor = Floor(plan("aaaa", "b"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two")] == [(0,), (4,)]

    floor.placement.leave("one")

    assert floor.go_on("two", 25) == (1,)
    assert floor.placement.splits == 0
