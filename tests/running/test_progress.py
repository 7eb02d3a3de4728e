from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.running.in_flight import JobProgress

_NODES = st.sampled_from(["a", "b", "c", "unknown"])
_MOVES = st.lists(
    st.one_of(
        st.tuples(_NODES, st.integers(-5, 50), st.integers(-5, 40)),
        st.lists(_NODES, max_size=3),
    ),
    max_size=30,
)


def test_nothing_is_done_at_first() -> None:
    assert JobProgress({"a": 1.0}).fraction == 0.0


def test_half_the_steps_of_the_smaller_pass_are_less_than_half_the_work() -> None:
    progress = JobProgress({"first": 100.0, "second": 400.0})
    progress.at("first", 5, 10)

    assert progress.fraction == pytest.approx(0.1)


def test_a_node_is_finished_when_the_next_one_begins() -> None:
    progress = JobProgress({"first": 100.0, "second": 400.0})
    progress.at("first", 5, 10)
    progress.at("second", 0, 0)

    assert progress.fraction == pytest.approx(0.2)


def test_nodes_that_cost_nothing_leave_the_share_as_it_is() -> None:
    progress = JobProgress({"first": 100.0})
    progress.at("first", 5, 10)
    progress.at("first", 5, 10)

    assert progress.fraction == pytest.approx(0.5)


def test_all_is_done_when_a_node_without_work_follows_the_last_one_with_work() -> None:
    progress = JobProgress({"first": 100.0, "second": 400.0})
    for node in ("first", "second", "save"):
        progress.at(node, 0, 0)

    assert progress.fraction == pytest.approx(1.0)


def test_the_work_of_cached_nodes_does_not_count() -> None:
    progress = JobProgress({"first": 100.0, "second": 400.0})
    progress.cached(["first"])
    progress.at("second", 1, 4)

    assert progress.fraction == pytest.approx(0.25)


def test_where_everything_is_cached_or_unknown_the_share_stays_nought() -> None:
    progress = JobProgress({"first": 100.0})
    progress.cached(["first", "unknown"])
    progress.at("save", 1, 1)

    assert progress.fraction == 0.0


@given(work=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.floats(0, 1e15)), moves=_MOVES)
def test_the_share_never_goes_back_and_never_over_one_whatever_the_server_says(
    work: dict[str, float], moves: list[tuple[str, int, int] | list[str]]
) -> None:
    progress = JobProgress(work)
    before = 0.0
    for move in moves:
        if isinstance(move, tuple):
            progress.at(*move)
        else:
            progress.cached(move)
        assert before <= progress.fraction <= 1.0
        before = progress.fraction
