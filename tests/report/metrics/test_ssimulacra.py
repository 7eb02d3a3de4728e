"""The second measure on pictures, by the package that it comes from."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from comfy_runner.report.metrics.ssimulacra import second_opinion, ssimulacra2
from comfy_runner.report.second_opinion import LEAST_ALIKE, SECOND
from tests.report.metrics import pictures as paint
from tests.report.metrics.pictures import Picture

_SCENE = paint.scene("cat", size=(96, 72), factor=2.0)


def _score(picture: Picture) -> float:
    return ssimulacra2(_floats(_SCENE.original), _floats(_SCENE.plain), _floats(picture))


def _floats(picture: Picture) -> NDArray[np.float32]:
    return picture.astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("picture", [_SCENE.truth, _SCENE.plain], ids=["truth", "plain"])
def test_what_shows_the_same_has_a_high_score(picture: Picture) -> None:
    assert 90 < _score(picture) <= 100


def test_what_shows_something_else_has_a_low_score() -> None:
    other = paint.elsewhere(_SCENE.truth, paint.content("coffee"), 0.3)

    assert _score(other) < LEAST_ALIKE


@pytest.mark.slow
def test_large_originals_are_looked_at_smaller() -> None:
    large = paint.resize(_SCENE.original, (1024, 768))
    larger = paint.resize(_SCENE.original, (1536, 1152))

    assert ssimulacra2(_floats(large), _floats(larger), _floats(larger)) > 95


def test_it_is_known_by_the_name_that_suggestions_look_for() -> None:
    assert second_opinion() == {SECOND: ssimulacra2}
