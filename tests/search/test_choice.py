from __future__ import annotations

import pytest

from comfy_runner.search.choice import AllowedValue, choice, unseen


def _value(place: int, worths: list[float], drift: float) -> AllowedValue:
    worth = sum(worths) / len(worths)
    return AllowedValue(value=place, detail=worth, drift=drift, worth=worth, worths=dict(enumerate(worths)))


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([], None),
        ([_value(0, [0.5], 0.1), _value(1, [0.9], 0.2)], 1),
        # 2 % less is not seen.
        ([_value(0, [0.98], 0.1), _value(1, [1.0], 0.2)], 0),
        # Nor is what the series differ by.
        ([_value(0, [0.5, 0.9], 0.1), _value(1, [0.9, 0.7], 0.2)], 0),
        ([_value(0, [0.6, 0.8], 0.1), _value(1, [0.7, 0.9], 0.2)], 1),
        # Of what drifts as much, the first.
        ([_value(0, [0.5], 0.1), _value(1, [0.5], 0.1)], 0),
    ],
)
def test_of_as_much_detail_that_is_chosen_which_drifts_least(values: list[AllowedValue], chosen: int | None) -> None:
    found = choice(values)

    assert (found.value if found else None) == chosen


def test_little_detail_differs_unseen_by_a_fixed_amount() -> None:
    assert unseen(2.0) == pytest.approx(0.06)
    assert unseen(0.1) == unseen(-0.1) == unseen(0.0) > 0
