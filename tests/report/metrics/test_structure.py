"""Structures that no picture has are ruled out or count for little; those that belong to the picture do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from comfy_runner.report.measures import Measures
from comfy_runner.report.metrics import measure_pictures
from tests.report.metrics import pictures as paint
from tests.report.metrics.pictures import Picture, Scene

CONTENTS = ("astronaut", "coffee", "coins", "windows")


def scene(name: str, factor: float = 2.0) -> Scene:
    return paint.scene(name, size=(128, 96), factor=factor, seed=1)


def found(of: Scene, picture: Picture) -> Measures:
    return measure_pictures(of.original, picture)


@pytest.mark.parametrize("content", CONTENTS)
def test_a_checker_and_a_tile_that_is_repeated_are_repetitions(content: str) -> None:
    here = scene(content)
    squares = np.kron(np.indices((96, 128)).sum(axis=0) % 2, np.ones((2, 2)))
    checker = paint.bytes_of(here.plain + 10 * (2 * squares - 1)[..., None])
    fine = here.truth.astype(np.float64) - here.plain
    tile = fine[80:104, 90:114]
    repeated = np.tile(tile * max(1, 6 / tile.std()), (9, 12, 1))[: fine.shape[0], : fine.shape[1]]

    assert "repetition" in found(here, checker).vetoes
    assert "repetition" in found(here, paint.bytes_of(here.plain + repeated)).vetoes
    assert found(here, here.truth).repetition < 0.25


@pytest.mark.parametrize("content", CONTENTS)
def test_echoes_of_edges_are_ringing_and_a_soft_original_made_sharp_is_not(content: str) -> None:
    here = scene(content)
    waves = np.hypot(np.fft.fftfreq(192)[:, None], np.fft.rfftfreq(256)[None]) * 2 / 0.5
    gain = 1 + 4 * ((waves > 0.75) & (waves < 1))
    rings = np.fft.irfft2(np.fft.rfft2(here.truth, axes=(0, 1)) * gain[..., None], s=(192, 256), axes=(0, 1))
    soft = paint.scene(content, size=(128, 96), factor=2.0, how=None, seed=1)

    assert "ringing" in found(here, paint.bytes_of(rings)).vetoes
    assert found(soft, soft.truth).ringing < 0.9


@pytest.mark.parametrize("content", ["astronaut", "coins", "line art"])
def test_a_flat_rectangle_is_a_dead_area_and_the_paper_of_a_drawing_is_not(content: str) -> None:
    here = scene(content)
    dead = here.truth.copy()
    dead[60:140, 70:170] = dead[60:140, 70:170].mean(axis=(0, 1))

    assert "dead_areas" in found(here, dead).vetoes
    assert found(here, here.truth).dead_areas < 0.004


@pytest.mark.parametrize("content", CONTENTS)
def test_detail_that_does_not_follow_the_edges_counts_for_little(content: str) -> None:
    here = scene(content)
    other = paint.content("gravel")[: here.truth.shape[0], : here.truth.shape[1]].astype(np.float64)
    foreign = other - ndimage.gaussian_filter(other, (1.5, 1.5, 0))
    foreign *= max(6.0, float((here.truth.astype(np.float64) - here.plain).std())) / foreign.std()
    invented = found(here, paint.bytes_of(here.plain + foreign))
    half = found(here, paint.mixed(here.plain, here.truth, 0.5))

    assert invented.alignment < 0.3 < half.alignment
    assert invented.detail < half.detail


def test_detail_painted_anew_follows_its_own_edges_and_counts() -> None:
    here, other = scene("coins"), scene("coffee")  # of about the same contrast: more of it would count as sharpened
    anew = found(here, other.truth)

    assert anew.alignment < 0.3
    assert anew.drift > 0.5
    assert anew.detail > 0.1
