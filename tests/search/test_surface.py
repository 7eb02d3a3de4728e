from __future__ import annotations

import pytest

from comfy_runner.search.space import Dimension
from comfy_runner.search.surface import Surface, below, improvement

_NUMBERS = Dimension(values=11)
_NAMES = Dimension(values=3, is_ordered=False)


def test_a_surface_goes_through_its_points_and_is_less_sure_farther_from_them() -> None:
    points = [(0, 0), (5, 1), (10, 2)]
    surface = Surface(points, [1.0, 3.0, 2.0], [_NUMBERS, _NAMES], least=0.01)

    for point, number in zip(points, [1.0, 3.0, 2.0], strict=True):
        mean, deviation = surface.at(point)
        assert mean == pytest.approx(number, abs=0.01)
        assert deviation < 0.1
    assert surface.at((5, 0))[1] > 0.1


def test_a_smooth_surface_is_met_between_its_points() -> None:
    points = [(first, second) for first in (0, 3, 7, 10) for second in (0, 5, 10)]
    surface = Surface(points, [(first / 10) ** 2 + second / 10 for first, second in points], [_NUMBERS, _NUMBERS], least=0.01)

    assert surface.at((5, 3))[0] == pytest.approx(0.55, abs=0.05)


def test_numbers_that_are_all_the_same_are_expected_everywhere() -> None:
    mean, deviation = Surface([(0,), (4,)], [0.5, 0.5], [_NUMBERS], least=0.1).at((9,))

    assert mean == pytest.approx(0.5)
    assert 0.01 < deviation <= 0.1


def test_what_is_expected_to_be_better_is_worth_more_and_what_is_unsure_is_worth_something() -> None:
    assert improvement(0.6, 0.01, 0.5) == pytest.approx(0.1, abs=1e-6)
    assert 0 < improvement(0.4, 0.1, 0.5) < improvement(0.4, 0.2, 0.5)
    assert improvement(0.4, 0.001, 0.5) == pytest.approx(0.0)
    assert below(0) == 0.5
    assert below(1.96) == pytest.approx(0.975, abs=1e-4)
