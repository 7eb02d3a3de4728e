"""Who would do what, and when it would be done."""

from __future__ import annotations

from comfy_runner.scheduling.forecast import Entrant, forecast
from tests.scheduling.placing import EACH, FIRST, LOAD, plan


def test_a_server_alone_does_everything_in_the_order_of_the_plan() -> None:
    (share,) = forecast(plan("aaa", "a", "bb"), [Entrant("one", speed=2.0)]).shares

    work = 2 * LOAD + 3 * FIRST + 6 * EACH
    assert (share.jobs, share.kinds) == ([0, 1, 2, 3, 4, 5], {"load": 2, "first": 3, "second": 6})
    assert (share.work, share.seconds) == (work, work / 2.0)


def test_a_server_without_a_cache_needs_a_load_and_a_first_pass_for_each_submission() -> None:
    (share,) = forecast(plan("aaaaa", "a"), [Entrant("one", speed=1.0, most=4)]).shares

    # Three and two jobs, and one.
    assert (share.jobs, share.kinds) == ([0, 1, 2, 3, 4, 5], {"load": 3, "first": 3, "second": 6})


def test_a_server_begins_when_it_is_done_with_what_it_has_now() -> None:
    (share,) = forecast(plan("a"), [Entrant("one", speed=1.0, begins=100.0)]).shares

    assert share.seconds == 100.0 + LOAD + FIRST + EACH


def test_what_nothing_is_known_of_has_no_seconds() -> None:
    unknown = forecast(plan("aa", "bb"), [Entrant("one"), Entrant("two")])
    partly = forecast(plan("aa", "bb"), [Entrant("one"), Entrant("two", speed=4.0)])

    assert [share.seconds for share in unknown.shares] == [None, None]
    # One is taken to be as fast as two.
    assert [share.seconds for share in partly.shares] == [(LOAD + FIRST + 2 * EACH) / 4.0] * 2


def test_a_server_that_is_not_needed_is_done_at_once() -> None:
    found = forecast(plan("a"), [Entrant("one", speed=1.0), Entrant("two", speed=1.0, begins=7.0)])

    assert [(share.jobs, share.seconds) for share in found.shares] == [([0], 25.0), ([], 0.0)]


def test_models_and_groups_are_shared_by_servers_so_that_both_end_together() -> None:
    found = forecast(plan("aa", "aa", "bb", "bb", "aaaa"), [Entrant("one", speed=1.0), Entrant("two", speed=1.0)])

    assert {job for share in found.shares for job in share.jobs} == set(range(12))
    assert sum(share.kinds["load"] for share in found.shares) == 3
    ends = [share.seconds or 0.0 for share in found.shares]
    assert max(ends) - min(ends) <= FIRST + EACH
