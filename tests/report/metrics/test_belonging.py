"""What counts as detail: what lies where the original has structures, is faithful to it, and grain only where it has grain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.metric_sets.damages import warped
from comfy_runner.report.metrics import measure_pictures
from tests.report.metrics import pictures as paint
from tests.report.metrics.pictures import Picture, Scene


def scene(name: str, factor: float = 2.0) -> Scene:
    return paint.scene(name, size=(128, 96), factor=factor, seed=2)


def detail(of: Scene, picture: Picture) -> float:
    return measure_pictures(of.original, picture).detail


@pytest.mark.parametrize("content", ["gravel", "grass", "page"])
def test_more_of_a_texture_or_of_small_letters_is_more_detail(content: str) -> None:
    here = scene(content, 3.0)
    details = [detail(here, paint.mixed(here.plain, here.truth, share)) for share in (0, 0.25, 0.5, 0.75, 1)]

    assert details == sorted(details)
    assert details[4] > 1.2 * details[2] > 0.1


def test_clouds_without_any_edges_have_detail_and_noise_on_them_is_none() -> None:
    here = scene("clouds")
    truth = detail(here, here.truth)

    assert truth > 1.5 * detail(here, paint.mixed(here.plain, here.truth, 0.5)) > 0.1
    assert detail(here, paint.noisy(here.plain, 0.02)) < 0.1 * truth


def test_grain_that_is_smoothed_away_is_missed() -> None:
    here = scene("gravel")
    smooth = ndimage.median_filter(here.truth, (3, 3, 1))

    assert detail(here, smooth) < 0.9 * detail(here, here.truth)


@pytest.mark.parametrize("content", ["coffee", "coins", "motorcycle"])
def test_what_is_bent_has_less_detail_than_what_is_in_place(content: str) -> None:
    here = scene(content)

    assert detail(here, warped(here.truth, 1.5, 12, np.random.default_rng(1))) < 0.95 * detail(here, here.truth)


def test_detail_in_other_places_counts_for_nothing() -> None:
    here = scene("astronaut")
    fine = here.truth.astype(np.float64) - paint.blurred(here.truth, 1.5)

    assert detail(here, paint.bytes_of(here.plain + np.roll(fine, (60, 80), axis=(0, 1)))) < 0.1 * detail(here, here.truth)
