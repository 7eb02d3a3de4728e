from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.search.curves import Seen, Trial
from comfy_runner.search.one_field import AT_ONCE
from comfy_runner.search.path import Way, follow
from comfy_runner.search.several_fields import next_places
from comfy_runner.search.space import Space
from tests.search.surfaces import SHAPES, cases, quality, space_of, surface


def _way(everything: dict[Trial, Seen], space: Space, *, most: int, had: dict[Trial, Seen] | None = None) -> Way:
    return follow(
        had or {}, everything, values=len(space.points), series=space.series, most=most, ask=partial(next_places, space=space)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "series", "spread"), [("denoise x steps", 1, 0.0), ("denoise x method", 3, 0.06)])
def test_a_search_finds_as_much_detail_as_the_whole_sweep_at_a_fifth_of_its_cost(name: str, series: int, spread: float) -> None:
    shares = []
    for everything, space, most in cases(name, 4, series=series, spread=spread):
        share = quality(everything, space, _way(everything, space, most=most).choice)
        shares.append(1.0 if share is None else share)

    assert sum(share >= 0.97 for share in shares) >= 0.8 * len(shares)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES), series=st.integers(1, 2))
def test_a_search_that_is_killed_at_any_time_goes_on_as_it_would_have(seed: int, shape: str, series: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    counts, kinds = (6, 3, 2), ("peaked", "names")
    everything = surface(draw, counts, kinds, shape=shape, series=series, spread=0.1)
    space = space_of(counts, kinds, series=series, seed=seed)
    wanted = _way(everything, space, most=10)
    measured: dict[Trial, Seen] = {}

    while waits := _way(measured, space, most=10).waits:
        assert len(waits) <= AT_ONCE
        # Of what was asked for, any part is done when it is killed.
        measured |= {place: everything[place] for place in draw.sample(waits, draw.randint(1, len(waits)))}

    assert _way(measured, space, most=10) == wanted
    assert measured.keys() == {*wanted.steps}
    assert len(wanted.steps) <= 10


def _seen(*, over: bool = False, detail: float = 0.5) -> Seen:
    return Seen(reach=2.0 if over else 0.5, drift=0.1, detail=detail)


def test_what_a_smaller_denoise_rules_out_is_never_asked_for() -> None:
    # Whatever the second field is, the limit is between the places 3 and 4 of the first.
    space = space_of((10, 2), ("names",))
    everything = {(number, 0): _seen(over=point[0] > 3, detail=point[0] / 10) for number, point in enumerate(space.points)}

    way = _way(everything, space, most=100)

    steps = [space.points[number] for number, _ in way.steps]
    for index, (place, name) in enumerate(steps):
        before = steps[: index - index % AT_ONCE]
        assert not any(other == name and 3 < smaller <= place for smaller, other in before)
    assert way.choice is not None
    assert space.points[way.choice][0] == 3


def test_a_combination_that_exceeds_a_limit_or_is_behind_in_its_first_series_is_not_rendered_in_the_others() -> None:
    space = space_of((8, 3), ("names",), series=4)
    everything = {
        (number, which): _seen(over=point[0] > 5, detail=0.1 + point[0] / 20 + point[1] / 5)
        for number, point in enumerate(space.points)
        for which in range(4)
    }

    way = _way(everything, space, most=100)

    assert way.choice is not None
    assert space.points[way.choice] == (5, 2)
    single = [number for number, _ in way.steps if sum(other == number for other, _ in way.steps) == 1]
    assert len(single) >= 3
    assert all(
        everything[number, 0].is_over or everything[number, 0].detail < everything[way.choice, 0].detail for number in single
    )


def test_the_series_that_comes_nearest_to_a_limit_is_asked_for_first() -> None:
    space = space_of((8, 3), ("names",), series=3)
    known = {
        (number, which): Seen(reach=(0.5, 0.5, 0.9)[which], drift=0.1, detail=0.5) for number in range(4) for which in range(3)
    }

    assert {which for _, which in next_places(known, False, space=space)} == {2}


def test_once_a_combination_suits_all_series_better_ones_are_confirmed_late() -> None:
    space = space_of((8, 3), ("names",), series=3)
    known = {(number, which): _seen() for number in range(4) for which in range(3)} | {(9, 0): _seen(detail=0.9)}

    assert 9 not in {number for number, _ in next_places(known, False, space=space)}
    assert next_places(known, True, space=space) == [(9, 1), (9, 2)]


def test_combinations_with_the_very_same_pictures_are_one() -> None:
    space = space_of((6, 2), ("names",))
    # The names make no difference.
    merged = Space(
        dimensions=space.dimensions,
        numbers={point: point[0] for point in space.points},
        points=[point for point in space.points if point[1] == 0],
    )
    everything = {(number, 0): _seen(detail=1 - abs(number - 4) / 10) for number in range(6)}

    way = _way(everything, merged, most=100)

    assert len({*way.steps}) == len(way.steps)
    assert way.choice == 4


def test_of_what_is_proposed_that_goes_first_which_shares_a_first_pass() -> None:
    counts, kinds = (12, 8), ("names",)
    plain = space_of(counts, kinds, seed=3)
    # The second field belongs to the first pass.
    shares = {(number, 0): point[1] for number, point in enumerate(plain.points)}
    space = Space(dimensions=plain.dimensions, numbers=plain.numbers, points=plain.points, seed=3, shares=shares)
    everything = surface(random.Random(5), counts, kinds, shape="straight")  # noqa: S311

    def together(searched: Space) -> int:
        steps = _way(everything, searched, most=16).steps
        return sum(shares[first] == shares[second] for first, second in zip(steps[4::2], steps[5::2], strict=False))

    assert together(space) > together(plain)


@pytest.mark.parametrize("vetoed", [False, True])
def test_where_nothing_is_allowed_nothing_is_named(vetoed: bool) -> None:
    space = space_of((5, 2), ("names",))
    everything = {(number, 0): Seen(reach=0.5 if vetoed else 2.0, drift=0.5, detail=0.5, vetoed=vetoed) for number in range(10)}

    way = _way(everything, space, most=100)

    assert way.choice is None
    assert len({*way.steps}) == len(way.steps)


def test_what_is_there_already_is_not_asked_for() -> None:
    space = space_of((6, 3), ("peaked",))
    everything = surface(random.Random(3), (6, 3), ("peaked",), shape="straight")  # noqa: S311

    way = _way(everything, space, most=100, had=everything)

    assert (way.steps, way.waits) == ((), ())
    assert quality(everything, space, way.choice) == 1.0


@pytest.mark.slow
def test_a_large_sweep_that_is_there_already_does_not_hold_a_search_up() -> None:
    counts, kinds = (26, 6, 6), ("peaked", "names")
    space = space_of(counts, kinds)
    everything = surface(random.Random(2), counts, kinds, shape="levelling")  # noqa: S311
    had = {(number, 0): everything[number, 0] for number in range(0, len(space.points), 2)}

    way = _way(everything, space, most=6, had=had)

    assert len({*way.steps} | had.keys()) == len(way.steps) + len(had)
    share = quality(everything, space, way.choice)
    assert share is None or share >= 0.97
