"""The rules of `placement`, one by one. Jobs are numbered from 0 in the order of the groups."""

from __future__ import annotations

import pytest

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.placement import Placement
from tests.planning.model_lists import Steps
from tests.scheduling.placing import Floor, plan


def _with_loras(*loras: str) -> Backlog:
    """Return groups of one job of the same models; neighbours with the same LoRA share more than these."""
    steps = Steps()
    jobs = [steps.job(lora=lora, seed=seed) for seed, lora in enumerate(loras)]
    return Backlog([[number] for number in range(len(jobs))], jobs, steps)


# 1. A group stays together


def test_a_server_goes_on_with_the_group_that_it_has_begun() -> None:
    floor = Floor(plan("aaa", "aaa"), one=1.0, two=1.0)

    assert [floor.ask("one"), floor.ask("two")] == [(0,), (3,)]
    assert [floor.go_on("two", 25), floor.go_on("one"), floor.go_on("two", 10), floor.go_on("one")] == [(4,), (1,), (5,), (2,)]


def test_a_server_without_a_cache_gets_a_group_in_submissions_that_are_as_equal_as_can_be() -> None:
    floor = Floor(plan("aaaaa"))
    floor.join("one", most=4)

    # Not four and one: each submission costs a first pass.
    assert [floor.ask("one"), floor.go_on("one", 45)] == [(0, 1, 2), (3, 4)]


@pytest.mark.parametrize(("moment", "given"), [(37, 0), (43, 5)])
def test_what_was_put_back_is_left_to_the_server_with_its_first_pass_if_that_is_done_with_it_as_soon(
    moment: int, given: int
) -> None:
    floor = Floor(plan("aaa", "aa", "aaaa"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two"), floor.go_on("one", 25), floor.go_on("two")] == [(0,), (3,), (1,), (4,)]
    assert floor.go_on("one", 10) == (2,)
    floor.done("two")

    # Two would need 15 s for it, with a first pass; one needs 10 s, once it has done job 2 at 45 s.
    floor.placement.put_back([0])
    floor.now = moment

    assert floor.ask("two") == (given,)


def test_a_server_takes_up_again_what_was_put_back_of_its_group() -> None:
    floor = Floor(plan("aaa", "aaa"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two"), floor.go_on("one", 25)] == [(0,), (3,), (1,)]

    floor.placement.put_back([0])

    assert [floor.go_on("one", 10), floor.go_on("one", 10)] == [(0,), (2,)]


def test_a_server_alone_does_first_what_was_put_back_of_earlier_groups() -> None:
    floor = Floor(plan("aaa", "bbb", "aa"), one=1.0)
    assert [floor.ask("one"), floor.go_on("one", 25), floor.go_on("one", 10), floor.go_on("one", 10)] == [(0,), (1,), (2,), (3,)]

    floor.placement.put_back([1])

    assert [floor.go_on("one", 25), floor.go_on("one", 25), floor.go_on("one", 10)] == [(1,), (4,), (5,)]


# 2. What only few can do


def test_what_only_few_servers_can_do_comes_first_for_them() -> None:
    floor = Floor(plan("aa", "aa", "aa", "bbb", "bbb"))
    floor.join("few")
    floor.join("other", unable=range(6, 12))

    # The models a have more work: without the rule it would begin with these.
    assert floor.ask("few") == (6,)
    assert floor.ask("other") == (0,)


def test_what_few_servers_can_do_comes_not_first_where_there_is_time_enough_for_it() -> None:
    floor = Floor(plan("aa", "aa", "aa", "aa", "aa", "bb"))
    floor.join("few")
    floor.join("other", unable=range(10, 12))

    assert floor.ask("few") == (0,)


# 3. The same models


def test_the_next_group_is_one_with_the_models_that_are_loaded() -> None:
    floor = Floor(plan("a", "bbb", "a", "cc"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two")] == [(1,), (0,)]

    # Two has a loaded; c is untouched, and more work.
    assert floor.go_on("two", 25) == (4,)


def test_the_group_that_follows_in_the_plan_comes_before_others_with_the_same_models() -> None:
    floor = Floor(plan("a", "a", "a", "a"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two")] == [(0,), (1,)]

    assert floor.go_on("two", 25) == (2,)
    assert floor.go_on("one") == (3,)


def test_what_shares_more_with_the_cache_of_another_server_is_left_to_that_one() -> None:
    floor = Floor(_with_loras("l", "l", "m", "m", "n", "n"), one=1.0, two=1.0, three=1.0)
    assert [floor.ask(name) for name in ("one", "two", "three")] == [(0,), (1,), (2,)]

    # Three has m.
    assert floor.go_on("two", 400) == (4,)
    floor.placement.leave("three")
    # Nobody has m any more, but two has n.
    assert floor.go_on("two", 400) == (5,)


# 4. Models that nobody works with


def test_models_that_nobody_works_with_come_before_those_of_others_the_most_work_first() -> None:
    floor = Floor(plan("a", "a", "a", "a", "b", "c", "c", "d"), one=1.0, two=1.0, three=1.0)

    assert floor.ask("one") == (0,)
    assert floor.ask("two") == (5,)
    assert floor.ask("three") == (4,)


def test_a_server_without_time_for_a_large_group_gets_a_smaller_one() -> None:
    floor = Floor(plan("a" * 40, "BB", "b"), fast=10.0, slow=1.0)
    assert floor.ask("fast") == (0,)

    # Together they are done within 60 s; slow would need 100 for a large job.
    assert floor.ask("slow") == (42,)


# 5. Models of others


@pytest.mark.parametrize(("load", "given"), [(10.0, True), (19.0, True), (31.0, False)])
def test_models_of_others_are_loaded_where_the_group_is_done_sooner_so(load: float, given: bool) -> None:
    floor = Floor(plan("a", "a", "a", load=load, first=0.0), one=1.0)
    assert floor.ask("one") == (0,)
    floor.now = load  # it has just loaded them
    floor.join("two")

    # One alone would be done in 30 s.
    assert bool(floor.ask("two")) is given


def test_the_last_group_with_the_models_of_others_is_not_taken_as_a_whole_but_divided() -> None:
    floor = Floor(plan("a", "aaaa", load=5.0, first=0.0), one=1.0)
    assert floor.ask("one") == (0,)
    floor.now = 5
    floor.join("two")

    # One alone would be done in 50 s, two with all of it in 45; both share it in 30.
    assert floor.ask("two") == (3,)
    assert floor.placement.ahead("two") == (4,)


# 6. Near the end


def test_a_part_is_taken_of_what_would_be_done_last() -> None:
    floor = Floor(plan("aaaa", "b" * 10), one=1.0, two=1.0)
    assert [floor.ask("two"), floor.ask("one")] == [(4,), (0,)]
    floor.join("three")

    assert floor.ask("three") == (9,)
    assert floor.placement.ahead("one") == (1, 2, 3)


def test_a_group_is_split_so_that_both_are_done_at_the_same_time() -> None:
    floor = Floor(plan("a" * 10), one=1.0, two=1.0)
    assert floor.ask("one") == (0,)

    # One: a load, a first pass and five jobs; two as well.
    assert floor.ask("two") == (5,)
    assert floor.placement.ahead("two") == (6, 7, 8, 9)
    assert floor.placement.ahead("one") == (1, 2, 3, 4)


def test_a_faster_server_gets_the_larger_part() -> None:
    floor = Floor(plan("a" * 10, load=0.0, first=0.0), one=1.0, two=4.0)
    assert floor.ask("one") == (0,)

    assert floor.ask("two") == (2,)
    assert floor.placement.ahead("two") == tuple(range(3, 10))


def test_no_group_is_split_as_long_as_there_is_a_whole_one() -> None:
    floor = Floor(plan("a" * 10, "a"), one=1.0, two=1.0)
    assert floor.ask("one") == (0,)

    assert floor.ask("two") == (10,)
    assert floor.placement.ahead("one") == tuple(range(1, 10))
    assert floor.go_on("two", 25) != ()
    assert len(floor.placement.ahead("one")) < 9


def test_no_group_is_split_where_the_load_takes_longer_than_the_rest() -> None:
    floor = Floor(plan("aaa", load=100.0), one=1.0)
    assert floor.ask("one") == (0,)
    floor.now = 105
    floor.join("two")

    assert floor.ask("two") == ()


# Slow servers


def test_a_server_without_a_cache_is_not_late_because_it_loads_anew() -> None:
    floor = Floor(plan("aa", "aa"))
    floor.join("one", most=2)
    assert [floor.ask("one"), floor.go_on("one", 35)] == [(0, 1), (2, 3)]

    assert floor.placement.speed("one", floor.now + 34) == 1.0
    assert floor.placement.speed("one", floor.now + 50) < 1.0


def test_a_server_that_is_too_slow_gets_nothing() -> None:
    floor = Floor(plan("aa", "bb"), fast=10.0, slow=0.5)

    # Fast does it all within 7 s; slow needs 50 for a job.
    assert floor.ask("slow") == ()
    assert floor.ask("fast") == (0,)


def test_a_slow_server_gets_something_where_there_is_enough_to_do() -> None:
    floor = Floor(plan("aa", *["bb"] * 40), fast=10.0, slow=0.5)

    assert floor.ask("slow") != ()


def test_a_server_that_becomes_too_slow_gives_up_what_it_has_begun() -> None:
    floor = Floor(plan("aaa", "bbb"), one=1.0, two=1.0)
    assert [floor.ask("one"), floor.ask("two")] == [(0,), (3,)]

    floor.now = 25
    assert floor.go_on("two") == (4,)
    # One should have been done long ago.
    floor.now = 35
    assert floor.go_on("two") == (5,)
    floor.now = 1000
    floor.done("two", measured=False)
    floor.done("one")

    assert floor.ask("one") == ()
    assert floor.ask("two") in [(1,), (2,)]


def test_where_nothing_is_known_of_a_server_it_is_as_fast_as_the_median() -> None:
    placement = Placement(plan("aa"))
    for name, speed in {"slow": 1.0, "usual": 2.0, "fast": 30.0, "new": None}.items():
        placement.join(name, speed=speed)

    assert placement.speed("new") == 2.0
