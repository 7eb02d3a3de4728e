"""Each number alone: what moves it, what does not, and that nothing makes it other than a number."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from comfy_runner.errors import VerificationError
from comfy_runner.report.measures import NUMBERS, Measures
from comfy_runner.report.metrics import Metric, measure, measure_pictures
from comfy_runner.report.suggest import Limits
from tests.example_counts import tried
from tests.report.metrics import pictures as paint
from tests.report.metrics.order import is_better
from tests.report.metrics.pictures import Picture, Scene


@pytest.fixture(scope="module")
def cat() -> Scene:
    return paint.scene("cat", size=(192, 128), factor=2.0, seed=3)


def _found(scene: Scene, picture: Picture) -> Measures:
    return measure_pictures(scene.original, picture)


def _saved(picture: Picture | Image.Image, path: Path) -> Path:
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path)
    return path


def test_the_plain_upscale_has_nothing_of_anything(cat: Scene) -> None:
    found = _found(cat, cat.plain)

    assert found.detail < 0.01
    assert found.drift < 0.02
    assert (found.noise, found.blocks, found.seams, found.shift, found.vetoes) == (0, 0, 0, 0, ())
    assert found.halos < 0.02
    assert found.colour_shift < 0.2


def test_detail_grows_with_the_share_of_the_truth_that_is_in_a_picture(cat: Scene) -> None:
    details = [_found(cat, paint.mixed(cat.plain, cat.truth, share)).detail for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]

    assert details == sorted(details)
    assert details[3] == pytest.approx(0.6 * details[5], rel=0.15)


@pytest.mark.parametrize("content", ["cat", "coffee", "leaves", "grass"])
def test_noise_is_no_detail(content: str) -> None:
    scene = paint.scene(content, size=(192, 128), factor=2.0, seed=3)
    truth = _found(scene, scene.truth)

    for sigma in (0.02, 0.05):
        assert _found(scene, paint.noisy(scene.truth, sigma)).detail <= truth.detail * 1.025


def test_noise_grows_with_the_noise_that_is_added(cat: Scene) -> None:
    found = [_found(cat, paint.noisy(cat.truth, sigma)).noise for sigma in (0, 0.02, 0.04, 0.08)]

    assert found == sorted(found)
    assert found[2] == pytest.approx(0.04, rel=0.2)


def test_grain_that_the_original_has_is_no_noise() -> None:
    clean = paint.scene("coffee", size=(192, 128), factor=2.0)
    grainy = paint.noisy(clean.truth, 0.03)

    assert "noise" not in measure_pictures(paint.resize(grainy, (192, 128)), grainy).vetoes


@pytest.mark.parametrize("by", [(2, 0), (0, 2), (-3, 2)])
def test_a_shift_is_told_and_costs_little_drift(cat: Scene, by: tuple[int, int]) -> None:
    here, there = _found(cat, cat.truth), _found(cat, paint.moved(cat.truth, *by))

    assert there.shift == pytest.approx(math.hypot(*by), abs=0.5)
    assert here.drift < there.drift < 0.1
    assert there.detail == pytest.approx(here.detail, rel=0.1)


def test_another_picture_drifts_as_far_as_can_be(cat: Scene) -> None:
    other = paint.resize(paint.content("china"), (384, 256))

    assert _found(cat, other).drift > 0.7


def test_a_second_head_in_a_corner_is_a_local_drift_only(cat: Scene) -> None:
    picture = cat.truth.copy()
    picture[:84, :124] = picture[150:234, 200:324]
    found = _found(cat, picture)

    assert found.local_drift > 0.65
    assert found.drift < 0.3


@pytest.mark.parametrize("factor", [1.25, 1.5, 2.0, 3.0, 4.0])
def test_nearest_neighbour_upscaling_is_blocks_at_every_factor(factor: float) -> None:
    scene = paint.scene("coffee", size=(128, 96), factor=factor)
    size = scene.truth.shape[1], scene.truth.shape[0]
    picture = paint.resize(scene.original, size, Image.Resampling.NEAREST)

    assert "blocks" in _found(scene, picture).vetoes
    assert "blocks" not in _found(scene, scene.truth).vetoes


@pytest.mark.parametrize("content", ["windows", "brick", "page", "letters"])
def test_what_is_regular_in_the_original_is_no_blocks(content: str) -> None:
    scene = paint.scene(content, size=(192, 128), factor=2.0)

    assert "blocks" not in _found(scene, scene.truth).vetoes


def test_a_straight_edge_that_the_original_has_is_no_seam() -> None:
    rows = np.where(np.arange(256) < 131, 200, 90)[:, None, None] + np.random.default_rng(1).normal(0, 6, (256, 384, 3))
    truth = paint.bytes_of(rows)
    original = paint.resize(truth, (192, 128))

    assert "seams" not in measure_pictures(original, truth).vetoes
    assert "seams" in measure_pictures(original, paint.tiled(truth, (2, 2), 5)).vetoes


@pytest.mark.parametrize("content", ["astronaut", "gravel"])
def test_a_line_that_is_the_same_all_along_is_a_seam_on_any_texture(content: str) -> None:
    scene = paint.scene(content, size=(128, 96), factor=3.0, seed=1)

    assert "seams" in _found(scene, paint.lined(scene.truth, (2, 1), 12, 2)).vetoes
    assert "seams" not in _found(scene, scene.truth).vetoes


@pytest.mark.parametrize("squares", [90, 101])
def test_a_mosaic_of_squares_that_are_no_whole_pixels_is_blocks(squares: int) -> None:
    scene = paint.scene("coffee", size=(120, 120), factor=3.0)
    mosaic = paint.resize(paint.resize(scene.truth, (squares, squares)), (360, 360), Image.Resampling.NEAREST)

    assert "blocks" in _found(scene, mosaic).vetoes


def test_a_smooth_sky_enlarged_has_no_blocks() -> None:
    scene = paint.scene("gradient", size=(128, 96), factor=2.0)

    assert _found(scene, scene.plain).vetoes == ()


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_a_sharpened_picture_is_not_preferred(cat: Scene, radius: int) -> None:
    assert is_better(_found(cat, cat.truth), _found(cat, paint.sharpened(cat.truth, radius, 150)))


def test_sharpening_gains_no_detail_where_there_is_none(cat: Scene) -> None:
    assert _found(cat, paint.sharpened(cat.plain, 1.5, 200)).detail < 0.02


@pytest.mark.parametrize("by", [(10, 0, 0), (0, 10, 0), (0, 0, 10)])
def test_a_cast_of_ten_steps_in_one_channel_is_found(cat: Scene, by: tuple[int, int, int]) -> None:
    assert _found(cat, paint.tinted(cat.truth, *by)).colour_shift > Limits().colour_shift


def test_the_worst_veto_comes_first(cat: Scene) -> None:
    assert _found(cat, np.zeros_like(cat.truth)).vetoes[0] == "flat"


@settings(max_examples=tried(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=st.tuples(st.integers(16, 40), st.integers(16, 40)),
    factor=st.sampled_from([1.1, 1.5, 2, 3]),
    kinds=st.tuples(*[st.sampled_from(["black", "white", "noise", "two", "ramp", "dot"])] * 2),
    seed=st.integers(0, 99),
)
def test_every_number_is_a_number_within_its_range(size: tuple[int, int], factor: float, kinds: tuple[str, str], seed: int) -> None:
    large = math.ceil(size[0] * factor), math.ceil(size[1] * factor)
    rng = np.random.default_rng(seed)
    found = measure_pictures(_odd(kinds[0], size, rng), _odd(kinds[1], large, rng))

    least = dict.fromkeys(NUMBERS, -1e-6) | {"detail": -0.25, "alignment": -1}
    assert all(math.isfinite(getattr(found, name)) and getattr(found, name) >= least[name] for name in NUMBERS)
    assert found.drift <= 2.2
    assert found.local_drift <= 2.2
    assert found.noise <= 1


def _odd(kind: str, size: tuple[int, int], rng: np.random.Generator) -> Picture:
    width, height = size
    shape = (height, width, 3)
    picture = np.full(shape, 255 if kind == "white" else 0, dtype=np.uint8)
    if kind == "noise":
        picture = rng.integers(0, 256, shape, dtype=np.uint8)
    elif kind == "two":
        picture[:, width // 2 :] = 255
    elif kind == "ramp":
        picture[:] = np.linspace(0, 255, width, dtype=np.uint8)[None, :, None]
    elif kind == "dot":
        picture[height // 2, width // 2] = 255
    return picture


def test_the_same_files_give_the_same_numbers_in_many_threads(cat: Scene, tmp_path: Path) -> None:
    original, upscaled = _saved(cat.original, tmp_path / "a.png"), _saved(cat.truth, tmp_path / "b.png")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: measure(original, upscaled), range(8)))

    assert found == [measure_pictures(cat.original, cat.truth)] * 8


@pytest.mark.parametrize(
    ("small", "large", "what"),
    [
        ((1, 1), (2, 2), "too small"),
        ((1, 5000), (2, 10000), "too small"),
        ((64, 64), (64, 64), "not larger"),
        ((64, 64), (32, 32), "not larger"),
        ((64, 36), (128, 128), "a different shape"),
    ],
)
def test_pictures_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, small: tuple[int, int], large: tuple[int, int], what: str
) -> None:
    original, upscaled = _saved(Image.new("RGB", small), tmp_path / "a.png"), _saved(Image.new("RGB", large), tmp_path / "b.png")

    with pytest.raises(VerificationError, match=what):
        measure(original, upscaled)


def test_two_black_pictures_are_the_same_and_flat(tmp_path: Path) -> None:
    original = _saved(Image.new("RGB", (64, 36)), tmp_path / "a.png")
    found = measure(original, _saved(Image.new("RGB", (128, 72)), tmp_path / "b.png"))

    assert found.vetoes == ("flat",)
    assert found.drift == pytest.approx(0, abs=1e-6)


def test_a_size_rounded_to_whole_latent_cells_still_fits(tmp_path: Path) -> None:
    original = _saved(Image.new("RGB", (150, 86)), tmp_path / "a.png")

    assert measure(original, _saved(Image.new("RGB", (304, 168)), tmp_path / "b.png")).vetoes == ("flat",)


def test_metrics_of_the_users_own_see_all_three_pictures(cat: Scene, tmp_path: Path) -> None:
    original, upscaled = _saved(cat.original, tmp_path / "a.png"), _saved(cat.truth, tmp_path / "b.png")
    shapes: list[tuple[tuple[int, ...], str]] = []

    def look(*planes: NDArray[np.float32]) -> float:
        shapes.extend((plane.shape, str(plane.dtype)) for plane in planes)
        assert all(plane.min() >= 0 and plane.max() <= 1 for plane in planes)
        return 0.25

    found = measure(original, upscaled, custom={"look": look, "endless": lambda *_: math.inf, "none": lambda *_: math.nan})

    assert shapes == [((128, 192, 3), "float32"), ((256, 384, 3), "float32"), ((256, 384, 3), "float32")]
    assert found.extra == {"look": 0.25}


def test_a_metric_of_the_users_own_that_fails_is_named(cat: Scene, tmp_path: Path) -> None:
    original, upscaled = _saved(cat.original, tmp_path / "a.png"), _saved(cat.truth, tmp_path / "b.png")

    def fails(*_planes: NDArray[np.float32]) -> float:
        raise RuntimeError("no weights")

    metric: Metric = fails
    with pytest.raises(VerificationError, match="metric lpips failed: no weights"):
        measure(original, upscaled, custom={"lpips": metric})
