"""What waits, in which order, for whom, and how much of it there is."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from comfy_runner.scheduling.backlog import Backlog, Portion
from tests.planning.model_lists import Steps
from tests.scheduling.placing import EACH, FIRST, LOAD, plan


def _known(backlog: Backlog, **unable: Iterable[int]) -> Backlog:
    """Let servers take part that cannot do some jobs."""
    for name, jobs in unable.items():
        backlog.abilities.know(name, frozenset(jobs))
    backlog.abilities.count_on(unable)
    return backlog


def _waiting(backlog: Backlog) -> list[list[int]]:
    """Return what waits, first things first in each pool; what is kept of costs must be right."""
    shelves = list(backlog.shelves())
    for shelf in shelves:
        sums = [math.fsum(backlog.after[job] for job in portion.jobs) for portion in shelf.portions.values()]
        assert [round(portion.left, 6) for portion in shelf.portions.values()] == [round(cost, 6) for cost in sums]
        assert round(shelf.left, 6) == round(sum(sums), 6)
        assert shelf.least <= min(sums)
        assert all(portion.shelf is shelf for portion in shelf.portions.values())
        assert {backlog.abilities.kind(job) for portion in shelf.portions.values() for job in portion.jobs} == {shelf.kind}
    assert round(backlog.left, 6) == round(sum(shelf.left for shelf in shelves), 6)
    by_kind = {kind: sum(shelf.left for shelf in shelves if shelf.kind == kind) for kind in backlog.left_of}
    assert {kind: round(cost, 6) for kind, cost in backlog.left_of.items()} == {k: round(c, 6) for k, c in by_kind.items()}
    return [list(portion.jobs) for portion in backlog]


def _portion(backlog: Backlog, group: int, name: str = "one") -> Portion:
    portion = backlog.waiting_of(group, name)
    assert portion is not None
    return portion


def test_the_first_job_of_a_group_costs_its_first_pass_and_none_the_load() -> None:
    backlog = plan("aaa", "a", "b")

    assert backlog.after == [FIRST + EACH, EACH, EACH, FIRST + EACH, FIRST + EACH]
    assert backlog.left == 3 * FIRST + 5 * EACH
    assert backlog.sizes == [(EACH, FIRST + EACH), (FIRST + EACH, FIRST + EACH)]


def test_what_is_cached_costs_nothing() -> None:
    backlog = plan("aa", "a", "b")
    cached = backlog.results([0])

    assert [backlog.cost(job, cached) for job in range(4)] == [0.0, EACH, FIRST + EACH, LOAD + FIRST + EACH]
    assert [backlog.loading(pool, cached) for pool in (0, 1)] == [0.0, LOAD]


def test_a_cache_holds_what_the_job_before_needed_and_nothing_older() -> None:
    steps = Steps()
    jobs = [steps.job(lora="l", denoise=0.1), steps.job(lora="m"), steps.job(lora="l", denoise=0.2)]
    backlog = Backlog([[0, 1, 2]], jobs, steps)

    # All but the load, as nothing of it is made for the job in between.
    assert backlog.after[2] == pytest.approx(backlog.after[0])


def test_groups_of_the_same_models_wait_in_the_order_of_the_plan() -> None:
    backlog = _known(plan("aa", "b", "a", "b"), one=())

    assert _waiting(backlog) == [[0, 1], [3], [2], [4]]
    assert [backlog.pool_of(job) for job in range(5)] == [0, 0, 1, 0, 1]


def test_who_takes_a_group_gets_all_of_it_that_it_can_do() -> None:
    backlog = _known(plan("aaaa", "aa"), one=(1,), two=())

    taken = backlog.take(_portion(backlog, 0), "one")

    assert list(taken.jobs) == [0, 2, 3]
    assert sorted(_waiting(backlog)) == [[1], [4, 5]]
    assert backlog.waiting_of(0, "one") is None
    assert list(_portion(backlog, 0, "two").jobs) == [1]


def test_the_end_of_a_group_can_be_taken_off() -> None:
    backlog = _known(plan("aaaa"), one=())

    taken = backlog.take_off(_portion(backlog, 0), 3)

    assert (list(taken.jobs), taken.left) == ([1, 2, 3], 3 * EACH)
    assert _waiting(backlog) == [[0]]


def test_what_is_put_back_waits_before_all_others_of_its_models_and_with_the_rest_of_its_group() -> None:
    backlog = _known(plan("a", "aaaa", "a", "b"), one=())
    backlog.take_off(_portion(backlog, 1), 3)

    backlog.put_back([4])
    backlog.put_back([2])

    assert _waiting(backlog) == [[1, 2, 4], [0], [5], [6]]


def test_groups_that_are_put_back_together_keep_their_order() -> None:
    backlog = _known(plan("aa", "aa", "aa"), one=())
    for group in range(2):
        backlog.take(_portion(backlog, group), "one")

    backlog.put_back([0, 1, 2])

    assert _waiting(backlog) == [[0, 1], [2], [4, 5]]


def test_what_is_put_back_to_come_last_does_and_is_not_taken_with_the_rest_of_its_group() -> None:
    backlog = _known(plan("aaa", "a"), one=())
    backlog.take_off(_portion(backlog, 0), 1)

    backlog.put_back([2], last=True)

    assert _waiting(backlog) == [[0, 1], [3], [2]]
    assert list(backlog.take(_portion(backlog, 0), "one").jobs) == [0, 1]
    assert _portion(backlog, 0).last


def test_who_has_begun_a_group_is_remembered_where_all_of_it_waits_again() -> None:
    backlog = _known(plan("aa", "aa"), one=())
    assert not backlog.has_begun(0)

    backlog.put_back(backlog.take(_portion(backlog, 0), "one").jobs)

    assert [backlog.has_begun(group) for group in (0, 1)] == [True, False]
    assert backlog.is_whole(_portion(backlog, 0))


def test_what_does_not_wait_at_first_can_be_put_back() -> None:
    backlog = _known(plan("aa", "bb", waiting=1), one=())
    assert _waiting(backlog) == [[0, 1]]

    backlog.put_back([3])

    assert _waiting(backlog) == [[0, 1], [3]]
    assert backlog.has_begun(1)
    assert not backlog.is_whole(_portion(backlog, 1))


def test_a_job_is_taken_out_wherever_it_waits() -> None:
    backlog = _known(plan("aaa"), one=())
    backlog.take_off(_portion(backlog, 0), 1)
    backlog.put_back([2], last=True)

    found = [backlog.remove(job) for job in (1, 2, 2, 0)]

    assert [portion is not None for portion in found] == [True, True, False, True]
    assert [portion.last for portion in found if portion] == [False, True, False]
    assert (_waiting(backlog), bool(backlog), backlog.left) == ([], False, 0.0)


def test_what_a_new_server_cannot_do_waits_apart_from_the_rest() -> None:
    backlog = _known(plan("aaaa", "bb"), one=())
    backlog.take_off(_portion(backlog, 0), 2)
    backlog.put_back([2, 3], last=True)
    assert len(list(backlog.shelves())) == 2

    _known(backlog, one=(), two=(1, 3))

    assert sorted(_waiting(backlog)) == [[0], [1], [2], [3], [4, 5]]
    assert sorted(list(portion.jobs) for portion in backlog if portion.last) == [[2], [3]]
    assert list(_portion(backlog, 0, "two").jobs) == [0]


def test_a_job_for_which_a_server_is_to_be_avoided_waits_for_others_as_long_as_there_are_any() -> None:
    backlog = _known(plan("aaa"), one=(), two=())
    backlog.remove(1)
    backlog.abilities.avoid(1, "one")
    backlog.put_back([1])

    assert list(_portion(backlog, 0, "one").jobs) == [0, 2]
    assert list(backlog.take(_portion(backlog, 0, "two"), "two").jobs) == [0, 1, 2]
    backlog.put_back([0, 1, 2])
    backlog.abilities.count_on(["one"])
    assert list(backlog.take(_portion(backlog, 0, "one"), "one").jobs) == [0, 1, 2]


def test_nobody_gets_a_job_that_no_server_can_do() -> None:
    backlog = _known(plan("aa"), one=(1,), two=(0, 1))

    assert [list(_portion(backlog, 0, "one").jobs), backlog.waiting_of(0, "two")] == [[0], None]
    backlog.take(_portion(backlog, 0, "one"), "one")
    assert _waiting(backlog) == [[1]]
