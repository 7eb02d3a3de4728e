from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.recipe.sweep.value_files import MOST_VALUES
from comfy_runner.recipe.sweep.values import count_from, from_to


def test_both_ends_are_included_and_exact() -> None:
    assert [repr(number) for number in from_to(0.45, 0.70, 0.05)] == ["0.45", "0.5", "0.55", "0.6", "0.65", "0.7"]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0.5, 0.6, 0.04), [0.5, 0.54, 0.58]),
        ((0.7, 0.5, -0.1), [0.7, 0.6, 0.5]),
        ((1, 4), [1, 2, 3, 4]),
        ((4, 2), [4, 3, 2]),
        ((10, 30, 10), [10, 20, 30]),
        ((1, 2, 0.5), [1.0, 1.5, 2.0]),
        ((5, 5, 1), [5]),
        ((0.1, 0.1, 1e-3), [0.1]),
        ((2**60, 2**60 + 1), [2**60, 2**60 + 1]),
    ],
)
def test_numbers_go_by_their_step_and_stop_before_they_are_beyond(ends: tuple[float, ...], expected: list[float]) -> None:
    found = from_to(*ends)

    assert found == expected
    assert {type(number) for number in found} == {type(expected[0])}


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.5, 0.6, 0), "step must not be 0"),
        ((0.5, 0.6, -0.1), "step leads away from 0.6 (got -0.1 from 0.5)"),
        ((0.6, 0.5, 0.1), "step leads away"),
        ((0.5, 0.6), "step is missing"),
        ((1, 1e300, 1), "at most 100000 values"),
        ((0, 1, 1e-300), "at most 100000 values (got a very large number)"),
        ((1, MOST_VALUES + 1), "at most 100000 values (got 100001)"),
    ],
)
def test_numbers_that_do_not_end_or_lead_nowhere_are_refused(ends: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        from_to(*ends)


def test_numbers_can_be_counted() -> None:
    assert count_from(7, 3) == [7, 8, 9]
    assert count_from(0.1, 3, 0.1) == [0.1, 0.2, 0.3]
    assert count_from(5, 3, -2) == [5, 3, 1]
    assert count_from(5, 1, 0) == [5]


@pytest.mark.parametrize(("count", "step"), [(0, 1), (-1, 1), (MOST_VALUES + 1, 1), (2, 0)])
def test_a_count_that_cannot_be_is_refused(count: int, step: int) -> None:
    with pytest.raises(ValueError, match="must"):
        count_from(1, count, step)


@given(st.integers(0, 10**6), st.integers(0, 500), st.integers(1, 10**4), st.integers(0, 6))
def test_no_number_differs_from_its_decimal(start: int, steps: int, stride: int, digits: int) -> None:
    unit = Decimal(1).scaleb(-digits)
    expected = [float((start + stride * index) * unit) for index in range(steps + 1)]

    assert from_to(expected[0], expected[-1], float(stride * unit)) == expected
