from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.search.curves import Seen, Trial
from comfy_runner.search.path import Way, follow, most_jobs
from tests.search.support import SHAPES, VETOES, chosen, grid, is_as_good, rows

_TIMES = 2


def _searched(everything: dict[Trial, Seen], values: int, series: int, *, had: dict[Trial, Seen] | None = None) -> Way:
    return follow(had or {}, everything, values=values, series=series, most=most_jobs(values, series))


@pytest.mark.slow
@pytest.mark.parametrize(("series", "spread"), [(1, 0.0), (3, 0.05)])
@pytest.mark.parametrize(("values", "most"), [(9, 1 / 2), (40, 1 / 5)])
def test_a_search_finds_what_the_whole_sweep_chooses_at_a_part_of_its_cost(
    values: int, most: float, series: int, spread: float
) -> None:
    draw = random.Random(f"{values} {series}")  # noqa: S311 - to be repeated, not to be secret
    as_good, cases = 0, [(shape, veto) for shape in SHAPES for veto in VETOES] * _TIMES
    for shape, veto in cases:
        everything = grid(draw, values=values, series=series, shape=shape, spread=spread, noise=0.005, veto=veto)
        wanted = chosen(everything, values=values, series=series)
        way = _searched(everything, values, series)
        assert len(way.steps) <= most * values * series
        as_good += is_as_good(rows(everything, values, series), way.choice, wanted)

    assert as_good >= 0.95 * len(cases)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES), values=st.integers(2, 14), series=st.integers(1, 2))
def test_a_search_that_is_killed_at_any_time_goes_on_as_it_would_have(seed: int, shape: str, values: int, series: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    everything = grid(draw, values=values, series=series, shape=shape, spread=0.1)
    at_once = draw.randint(1, 5)
    way = partial(follow, {}, values=values, series=series, most=most_jobs(values, series), at_once=at_once)
    wanted = way(everything)
    measured: dict[Trial, Seen] = {}

    while waits := way(measured).waits:
        assert len(waits) <= at_once
        # Of what was asked for, any part is done when it is killed.
        measured |= {place: everything[place] for place in draw.sample(waits, draw.randint(1, len(waits)))}

    assert way(measured) == wanted
    assert measured.keys() == {*wanted.steps}


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES), values=st.integers(2, 16), series=st.integers(1, 3))
def test_nothing_is_asked_for_twice_nor_more_than_is_allowed(seed: int, shape: str, values: int, series: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    everything = grid(draw, values=values, series=series, shape=shape, spread=0.3)
    had = {place: everything[place] for place in draw.sample([*everything], draw.randint(0, len(everything)))}

    way = _searched(everything, values, series, had=had)

    assert len({*way.steps} | had.keys()) == len(way.steps) + len(had)
    assert len(way.steps) <= most_jobs(values, series)
    if way.choice is not None:
        seen = [seen for (value, _), seen in way.known.items() if value == way.choice]
        assert seen
        assert not any(each.is_over or each.vetoed for each in seen)


def test_what_is_there_already_is_not_asked_for() -> None:
    everything = grid(random.Random(3), values=20, series=2, shape="straight", spread=0.05)  # noqa: S311

    way = _searched(everything, 20, 2, had=everything)

    assert (way.steps, way.waits) == ((), ())
    assert way.choice == chosen(everything, values=20, series=2)


@pytest.mark.parametrize("values", [2, 9, 40])
def test_where_every_value_is_over_the_limit_none_is_named(values: int) -> None:
    everything = {(value, 0): Seen(reach=1.5 + value, drift=0.5 + value, detail=0.5) for value in range(values)}

    way = _searched(everything, values, 1)

    assert way.choice is None
    assert (0, 0) in way.known
    assert len(way.steps) <= max(4, values // 5)


@pytest.mark.parametrize("series", [1, 2])
@pytest.mark.parametrize("reach", [0.5, 1.5])
def test_of_a_single_value_it_is_told_whether_it_is_allowed(reach: float, series: int) -> None:
    everything = {(0, which): Seen(reach=reach, drift=0.1, detail=0.3) for which in range(series)}
    way = _searched(everything, 1, series)
    assert way.choice == (0 if reach < 1 else None)
    assert not way.is_cut


def test_a_limit_that_is_a_step_is_enclosed_by_bisection() -> None:
    # No curve foretells it.
    everything = {(value, 0): Seen(reach=0.1 if value < 37 else 9.0, drift=0.1, detail=value**2) for value in range(64)}

    way = _searched(everything, 64, 1)

    assert way.choice == 36
    assert len(way.steps) <= 14


def test_vetoed_values_are_passed_over() -> None:
    everything = {
        (value, 0): Seen(reach=value / 15, drift=value / 50, detail=value / 20, vetoed=9 <= value <= 13) for value in range(20)
    }

    way = _searched(everything, 20, 1)

    assert way.choice is not None
    assert way.choice not in range(9, 14)


def test_series_that_by_their_spread_cannot_exceed_the_limit_need_not_be_rendered() -> None:
    everything = {
        (value, which): Seen(reach=0.3 + 0.01 * (which % 3), drift=0.1 + value / 1000, detail=1 - ((value - 5) / 10) ** 2)
        for value in range(10)
        for which in range(20)
    }

    way = follow({}, everything, values=10, series=20, most=100)

    assert abs((way.choice or 0) - 4) <= 1
    assert len({which for _, which in way.steps}) < 10


def test_a_search_that_may_not_go_on_says_so() -> None:
    everything = grid(random.Random(1), values=40, series=1, shape="peaked", spread=0)  # noqa: S311

    way = follow({}, everything, values=40, series=1, most=2)

    assert len(way.steps) == 2
    assert way.is_cut
