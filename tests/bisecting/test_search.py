from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.bisecting.search import Judgment, Search


def _searched(last: int, planted: int, broken: frozenset[int] = frozenset()) -> tuple[Search, list[int]]:
    """Search a list whose first bad version is planted, and whose broken ones cannot be judged; return what was judged, too."""
    search, asked = Search(0, last), list[int]()
    while (place := search.next()) is not None:
        asked.append(place)
        search = search.judged(place, Judgment.SKIPPED if place in broken else Judgment.BAD if place >= planted else Judgment.GOOD)
    return search, asked


@pytest.mark.parametrize("last", [*range(1, 40), 63, 64, 65, 127, 128, 200])
def test_every_planted_version_is_found_in_as_few_steps_as_can_be(last: int) -> None:
    for planted in range(1, last + 1):
        search, asked = _searched(last, planted)

        assert (search.good, search.bad, search.suspects) == (planted - 1, planted, [planted])
        assert len(asked) <= math.ceil(math.log2(last))


@given(st.data())
def test_what_cannot_be_judged_makes_the_answer_a_range_and_never_a_wrong_one(data: st.DataObject) -> None:
    last = data.draw(st.integers(1, 200), "last")
    planted = data.draw(st.integers(1, last), "planted")
    broken = data.draw(st.frozensets(st.integers(1, last - 1)) if last > 1 else st.just(frozenset[int]()), "broken")

    search, asked = _searched(last, planted, broken)

    assert len(asked) == len(set(asked))
    assert 0 <= search.good < planted <= search.bad <= last
    assert planted in search.suspects
    assert {*search.suspects[:-1]} <= search.skipped <= broken
    assert not {search.good, search.bad} & broken


@given(st.integers(2, 200), st.data())
def test_the_steps_that_are_left_are_not_more_than_was_said(last: int, data: st.DataObject) -> None:
    planted = data.draw(st.integers(1, last))
    said = Search(0, last).steps

    assert len(_searched(last, planted)[1]) <= said


def test_a_stretch_that_cannot_be_judged_is_left_after_few_steps() -> None:
    _, asked = _searched(1000, 900, frozenset(range(400, 600)))

    assert sum(400 <= place < 600 for place in asked) <= 3


def test_nothing_is_left_between_neighbors() -> None:
    search = Search(3, 4)

    assert (search.next(), search.left, search.steps, search.suspects) == (None, [], 0, [4])
