"""What only few servers can do."""

from __future__ import annotations

from comfy_runner.scheduling.backlog import Backlog
from comfy_runner.scheduling.offers import urgent_kinds
from comfy_runner.scheduling.server_load import Outlook, Rates, ServerLoad, Speed
from tests.scheduling.placing import plan


def _urgent(backlog: Backlog, name: str, unable: dict[str, range], speeds: dict[str, float] | None = None) -> set[str]:
    """Return the groups with jobs that a server is to do first, by the letters of their models; a is 0, b is 1, and so on."""
    servers = [ServerLoad(each, 1, 1, Speed((speeds or {}).get(each, 1.0))) for each in unable]
    rates = Rates()
    for server in servers:
        backlog.abilities.know(server.name, unable[server.name])
        rates.note(server)
    backlog.abilities.count_on(unable)
    list(backlog.shelves())
    kinds = urgent_kinds(backlog, name, Outlook(backlog, servers, rates, 0.0))
    return {"abc"[shelf.pool] for shelf in backlog.shelves() if shelf.kind.unable in kinds}


def test_nothing_is_urgent_where_everybody_can_do_all() -> None:
    assert _urgent(plan("aa", "bbbb"), "one", {"one": range(0), "two": range(0)}) == set()


def test_what_would_be_done_after_all_the_rest_is_urgent_for_those_who_can_do_it() -> None:
    unable = {"one": range(0), "two": range(2, 8)}

    assert _urgent(plan("aa", "bbb", "bbb"), "one", unable) == {"b"}
    assert _urgent(plan("aa", "bbb", "bbb"), "two", unable) == set()


def test_what_takes_less_than_the_rest_is_not_urgent() -> None:
    unable = {"one": range(0), "two": range(6, 8)}

    assert _urgent(plan("aaa", "aaa", "bb"), "one", unable) == set()


def test_how_long_it_takes_depends_on_how_fast_those_are_who_can_do_it() -> None:
    unable = {"one": range(0), "two": range(6, 10)}

    assert _urgent(plan("aaa", "aaa", "bb", "bb"), "one", unable) == set()
    assert _urgent(plan("aaa", "aaa", "bb", "bb"), "one", unable, {"one": 0.5, "two": 2.0}) == {"b"}


def test_what_the_fewest_can_do_comes_first_of_all_that_is_urgent() -> None:
    # One can do all, two has no c, three neither b nor c: b and c together take as long for one and two as c for one.
    unable = {"one": range(0), "two": range(6, 9), "three": range(3, 9)}

    assert _urgent(plan("a", "a", "a", "bbb", "ccc"), "one", unable) == {"c"}
    assert _urgent(plan("a", "a", "a", "bbb", "ccc"), "two", unable) == {"b"}
