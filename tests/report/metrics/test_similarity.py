"""What comparisons with a baseline rest on: the table of docs/baselines.md, measured again on photographs."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from skimage.metrics import structural_similarity

from comfy_runner.report.compare import LEAST_SIMILARITY
from comfy_runner.report.metrics import similarity as module
from comfy_runner.report.metrics.similarity import similarity

_Picture = NDArray[np.uint8]


def _photo() -> _Picture:
    found: _Picture = data.astronaut()[:256, 100:356]
    return found


def _clipped(values: NDArray[Any]) -> _Picture:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _repainted(picture: _Picture) -> _Picture:
    changed = picture.copy()
    changed[100:124, 110:134] = picture[180:204, 60:84]
    return changed


def _other_hue(picture: _Picture) -> _Picture:
    changed = picture.astype(float)
    changed[80:130, 80:130] += (40, -40 * 0.299 / 0.587, 0)
    return _clipped(changed)


def _noise(deviation: float) -> Callable[[_Picture], _Picture]:
    return lambda picture: _clipped(picture + np.random.default_rng(1).normal(0, deviation, picture.shape))


def _cut(picture: _Picture) -> _Picture:
    changed = picture.copy()
    changed[-25:] = 128
    return changed


def _jpeg(picture: _Picture) -> _Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=15)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


_UNSEEN: dict[str, Callable[[_Picture], _Picture]] = {
    "rounding": lambda picture: _clipped(picture + np.random.default_rng(1).integers(-1, 2, picture.shape)),
    "noise of 2": _noise(2),
    "two steps brighter": lambda picture: _clipped(picture + 2.0),
}
_SEEN: dict[str, Callable[[_Picture], _Picture]] = {
    "a repainted eye": _repainted,
    "another hue, the same luma": _other_hue,
    "a cut end": _cut,
    "one pixel to the right": lambda picture: np.roll(picture, 1, axis=1),
    "5 % brighter": lambda picture: _clipped(picture + 13.0),
    "JPEG of quality 15": _jpeg,
}


_OTHER_COLOURS: dict[str, Callable[[_Picture], _Picture]] = {
    "a fifth darker": lambda picture: _clipped(picture * 0.8),
    "5 % darker": lambda picture: _clipped(picture * 0.95),
    "warmer": lambda picture: _clipped(picture + np.array([12.0, 0, -12.0])),
    "less contrast": lambda picture: _clipped(128 + 0.8 * (picture - 128.0)),
}


def _alike(picture: _Picture, other: _Picture) -> module.Similarity:
    return similarity(Image.fromarray(picture), Image.fromarray(other))


@pytest.mark.parametrize("name", _UNSEEN)
def test_what_nobody_sees_is_similar(name: str) -> None:
    assert _alike(_photo(), _UNSEEN[name](_photo())).worst > 0.98


@pytest.mark.parametrize("name", _SEEN)
def test_what_people_see_is_different(name: str) -> None:
    assert _alike(_photo(), _SEEN[name](_photo())).worst < 0.8 < LEAST_SIMILARITY


@pytest.mark.parametrize("name", _OTHER_COLOURS)
def test_other_colours_of_the_same_structure_are_different(name: str) -> None:
    # Bright and smooth, as skies are: there SSIM sees structure alone.
    ramp = np.linspace(150, 230, 128)
    sky = _clipped(np.stack([ramp + np.zeros((96, 1)), ramp[::-1] + np.zeros((96, 1)), 190 + np.zeros((96, 128))], axis=2))

    for picture in (_photo(), sky):
        assert _alike(picture, _OTHER_COLOURS[name](picture)).worst < LEAST_SIMILARITY


def test_each_step_of_a_mean_colour_counts_the_same() -> None:
    plain = np.full((40, 40, 3), 200, dtype=np.uint8)

    found = [_alike(plain, _clipped(plain + np.array([0, float(step), 0]))).worst for step in (3, 4, 8, 9, 13, 23)]

    assert found == pytest.approx([1, 0.99, 0.95, 0.94, 0.9, 0.8], abs=1e-4)


@pytest.mark.parametrize("name", ["a repainted eye", "another hue, the same luma"])
def test_the_mean_of_the_whole_picture_would_let_it_pass(name: str) -> None:
    grey, other = (np.asarray(Image.fromarray(each).convert("L")) for each in (_photo(), _SEEN[name](_photo())))

    assert structural_similarity(grey, other) > LEAST_SIMILARITY


def test_the_place_is_that_of_the_change() -> None:
    found = _alike(_photo(), _repainted(_photo()))

    assert abs(found.left + module.REGION / 2 - 122) <= 8
    assert abs(found.top + module.REGION / 2 - 112) <= 8


def test_strips_and_the_cut_around_what_differs_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _alike(_photo(), _repainted(_photo()))
    everywhere = _alike(_noise(4)(_photo()), _photo())

    monkeypatch.setattr(module, "_ROWS", 64)

    assert _alike(_photo(), _repainted(_photo())) == found
    narrow = _alike(_noise(4)(_photo()), _photo())
    assert (narrow.left, narrow.top) == (everywhere.left, everywhere.top)
    assert narrow.worst == pytest.approx(everywhere.worst, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 4), (40, 20, 3)])
def test_small_and_narrow_pictures_are_compared(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    assert _alike(picture, picture).worst == 1
    assert _alike(picture, 255 - picture).worst < LEAST_SIMILARITY
