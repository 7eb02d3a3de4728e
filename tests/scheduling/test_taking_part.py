"""Servers that come and go, and jobs that some had better not get."""

from __future__ import annotations

from tests.scheduling.placing import Floor, plan


def test_who_leaves_has_what_it_has_not_begun_done_by_others() -> None:
    floor = Floor(plan("aaa", "bb"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two")] == [(0,), (3,)]

    floor.placement.leave("one")

    assert floor.go_on("one", 25) == ()
    assert {*floor.go_on("two"), *floor.go_on("two", 25), *floor.go_on("two", 10)} == {1, 2, 4}


def test_who_takes_part_again_has_an_empty_cache_and_the_speed_that_was_measured() -> None:
    floor = Floor(plan("aaa"), one=4.0)
    floor.ask("one")
    floor.go_on("one", 100)
    floor.placement.leave("one")
    floor.join("one", speed=4.0)
    floor.done("one", measured=False)

    assert floor.placement.speed("one") == 0.25
    assert floor.ask("one") == (2,)
    # A load, a first pass and the job, as one that has cached nothing: 100 s.
    assert floor.placement.speed("one", floor.now + 99) == 0.25
    assert floor.placement.speed("one", floor.now + 120) < 0.25


def test_a_server_gets_no_more_than_it_has_places() -> None:
    floor = Floor(plan("aaaaaa"))
    floor.join("one", places=2)

    assert [floor.ask("one"), floor.ask("one"), floor.ask("one")] == [(0,), (1,), ()]
    floor.placement.limit("one", 3)
    assert [floor.ask("one"), floor.ask("one")] == [(2,), ()]


def test_a_server_without_a_place_has_what_it_has_taken_done_by_others() -> None:
    floor = Floor(plan("aaa"), one=1.0)
    floor.ask("one")
    floor.join("two")

    floor.placement.limit("one", 0)

    assert floor.placement.ahead("one") == ()
    assert floor.ask("two") == (1,)
    assert floor.placement.ahead("two") == (2,)


def test_a_job_is_done_by_a_server_that_need_not_be_avoided() -> None:
    floor = Floor(plan("a", "a"), one=1.0, two=1.0)
    assert floor.ask("one") == (0,)
    floor.now = 25
    floor.done("one")

    floor.placement.avoid(0, "one")
    floor.placement.put_back([0])

    assert floor.ask("one") == (1,)
    assert floor.ask("two") == (0,)


def test_a_job_is_done_by_a_server_to_be_avoided_as_long_as_there_is_no_other_one() -> None:
    floor = Floor(plan("aa"), one=1.0)
    floor.placement.avoid(0, "one")
    floor.placement.avoid(1, "one")
    assert floor.ask("one") == (0,)
    assert floor.placement.ahead("one") == (1,)

    floor.join("two")

    assert floor.placement.ahead("one") == ()
    assert [floor.go_on("one", 25), floor.ask("two")] == [(), (1,)]


def test_a_job_is_taken_out_wherever_it_waits() -> None:
    floor = Floor(plan("aaa", "bb"), one=1.0)
    assert floor.ask("one") == (0,)

    assert [floor.placement.remove(job) for job in (0, 1, 3)] == [False, True, True]
    assert [floor.go_on("one", 25), floor.go_on("one", 10), floor.go_on("one", 25)] == [(2,), (4,), ()]
    assert not floor.placement.waits


def test_those_with_the_least_to_do_ask_first_and_of_these_the_fastest() -> None:
    floor = Floor(plan("aaa", "bbb"), slow=1.0, fast=3.0, busy=9.0)
    floor.ask("busy")

    assert floor.placement.order(["busy", "slow", "fast"]) == ["fast", "slow", "busy"]
