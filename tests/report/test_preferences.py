"""Which pairs of pictures a person's picks imply, how much each counts, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.report.measures import Measured
from comfy_runner.report.picks import parse_picks
from comfy_runner.report.preferences import Preference, preferences
from tests.report.values import measures

_MEASURED = {
    "a": Measured(measures=measures(0.1), original="one"),
    "b": Measured(measures=measures(0.2), original="one"),
    "c": Measured(measures=measures(0.3), original="one"),
    "d/second": Measured(measures=measures(0.4), original="two"),
    "noisy": Measured(measures=measures(0.9, vetoes=("noise",)), original="one"),
    "failed": Measured(measures=None, problem="has no upscaled picture"),
}


def _preferred(**said: Any) -> tuple[list[Preference], list[str]]:
    return preferences(_MEASURED, parse_picks(json.dumps({"format": 1, **said}).encode(), where="picks.json"))


def _pair(left: str, right: str, better: str) -> dict[str, str]:
    return {"left": left, "right": right, "better": better}


def _details(found: list[Preference]) -> list[tuple[float, float]]:
    return [(pair.better.detail, pair.worse.detail) for pair in found]


def test_a_pair_counts_once_for_the_side_that_is_better() -> None:
    found, notes = _preferred(pairs=[_pair("a", "b", "right"), _pair("c", "a", "left"), _pair("a", "c", "same")])

    assert _details(found) == [(0.2, 0.1), (0.3, 0.1), (0.1, 0.3)]
    assert [(pair.is_same, pair.weight, pair.is_compared) for pair in found] == [
        (False, 1, True),
        (False, 1, True),
        (True, 1, True),
    ]
    assert notes == []


def test_stars_of_one_original_imply_pairs_that_weigh_less_together() -> None:
    found, _ = _preferred(picks={"a": {"stars": 2}, "b": {"stars": 5}, "c": {"rejected": True}, "d/second": {"stars": 1}})

    assert sorted(_details(found)) == [(0.1, 0.3), (0.2, 0.1), (0.2, 0.3)]
    assert sum(pair.weight for pair in found) == pytest.approx(2)
    assert not any(pair.is_compared for pair in found)


def test_equal_stars_and_pictures_of_which_nothing_is_said_imply_nothing() -> None:
    assert _preferred(picks={"a": {"stars": 2}, "b": {"stars": 2}, "c": {"note": "look again"}}) == ([], [])


def test_what_says_nothing_of_limits_is_left_out_and_named() -> None:
    found, notes = _preferred(
        picks={"gone": {"stars": 5}, "a": {"stars": 1}},
        pairs=[_pair("a", "noisy", "right"), _pair("a", "failed", "left"), _pair("a", "d/second", "left"), _pair("b", "b", "same")],
    )

    assert found == []
    assert notes == [
        "left out 1 picture that this run does not have: gone",
        "left out 1 picture that could not be measured: failed",
        "left out 1 picture with a veto, which no limit changes: noisy",
        "left out 2 pairs of different originals",
    ]


def test_thousands_of_stars_of_one_original_are_compared_with_some_others_each() -> None:
    stars = {f"job-{number}": number % 5 + 1 for number in range(3000)}
    many = {name: Measured(measures=measures(number / 10), original="one") for name, number in stars.items()}
    said = {"format": 1, "picks": {name: {"stars": number} for name, number in stars.items()}}
    found, _ = preferences(many, parse_picks(json.dumps(said).encode(), where="picks.json"))

    assert 1000 < len(found) <= 3000
    assert all(pair.better.detail > pair.worse.detail for pair in found)
    assert sum(pair.weight for pair in found) <= 2999


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 5)))
def test_however_many_stars_there_are_they_weigh_less_than_the_pictures_are(stars: dict[str, int]) -> None:
    found, _ = _preferred(picks={name: {"stars": number} for name, number in stars.items()})

    assert sum(pair.weight for pair in found) <= max(0, len(stars) - 1) + 1e-9
    assert all(pair.better is not pair.worse for pair in found)
