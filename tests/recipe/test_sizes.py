from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.graph.sizes import CELL, MIN_UPSCALED
from comfy_runner.recipe.fields import PRESETS
from comfy_runner.recipe.sizes import Sized, of_aspect, scaled, snap, stretched
from tests.example_counts import tried


def size(found: Sized) -> tuple[int, int]:
    return found.width, found.height


def said(found: Sized) -> list[str]:
    return [finding.what for finding in found.remarks]


def test_a_size_on_the_lattice_stays_and_nothing_is_said() -> None:
    assert snap(1024, 576, field="size") == Sized(1024, 576)


def test_a_size_off_the_lattice_is_floored_and_each_side_is_said() -> None:
    found = snap(1023, 577, field="size")
    assert size(found) == (1016, 576)
    assert said(found) == [
        "width 1023 becomes 1016 (ComfyUI rounds down to multiples of 8)",
        "height 577 becomes 576 (ComfyUI rounds down to multiples of 8)",
    ]
    assert [finding.field for finding in found.remarks] == ["size.width", "size.height"]


def test_an_upscaled_size_below_the_least_is_raised_and_said() -> None:
    found = snap(48, 63, field="upscale.size", least=MIN_UPSCALED)
    assert size(found) == (64, 64)
    assert len(found.remarks) == 2


@pytest.mark.parametrize(
    ("aspect", "megapixels", "expected"),
    [
        ("16:9", 0.6, (1024, 576)),
        ("16:9", 0.75, (1152, 648)),
        ("16:9", 2.36, (2048, 1152)),
        ("9:16", 0.6, (576, 1024)),
        ("1:1", 1.05, (1024, 1024)),
        ("1:1", 0.26, (512, 512)),
        ("3:2", 1.0, (1224, 816)),
        ("4:3", 0.8, (1024, 768)),
        ("32:18", 0.6, (1024, 576)),
        ("1.5:1", 1.0, (1224, 816)),
    ],
)
def test_an_aspect_and_an_area_give_the_nearest_exact_size(aspect: str, megapixels: float, expected: tuple[int, int]) -> None:
    assert of_aspect(aspect, megapixels=megapixels) == Sized(*expected)


def test_an_area_that_has_no_exact_size_near_it_is_said() -> None:
    found = of_aspect("16:9", megapixels=1)
    assert size(found) == (1280, 720)
    assert said(found) == ["1 megapixels becomes 0.92 (1280x720 is the nearest size with exactly 16:9)"]


def test_an_aspect_without_a_fitting_exact_size_drifts_and_that_is_said() -> None:
    found = of_aspect("2.39:1", megapixels=1)
    assert size(found) == (1552, 648)
    assert said(found) == ["no size near 1 megapixels has exactly 2.39:1; it becomes 1552x648 (0.21 % off)"]


@settings(max_examples=tried(200), deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.floats(0.01, 64))
def test_an_aspect_is_exact_or_its_drift_is_said_and_the_area_is_near(across: int, down: int, megapixels: float) -> None:
    ratio = Fraction(across, down)
    if not Fraction(1, 10) <= ratio <= 10:
        return
    found = of_aspect(f"{across}:{down}", megapixels=megapixels)
    assert found.width % CELL == 0 == found.height % CELL
    assert found.width >= 16 <= found.height
    exact = Fraction(found.width, found.height) == ratio
    assert exact or said(found)
    assert found.width * found.height == pytest.approx(megapixels * 1e6, rel=0.6)


@pytest.mark.parametrize(
    ("original", "factor", "expected"),
    [
        ((1024, 576), 2, (2048, 1152)),
        ((1024, 576), 1.5, (1536, 864)),
        ((1024, 1024), 2, (2048, 2048)),
        ((1344, 768), 1.5, (2016, 1152)),
        ((256, 144), 2, (512, 288)),
        ((1024, 1024), 1.3, (1328, 1328)),
    ],
)
def test_a_factor_gives_a_size_in_whole_cells(original: tuple[int, int], factor: float, expected: tuple[int, int]) -> None:
    assert scaled(*original, factor=factor) == Sized(*expected)


def test_a_factor_that_changes_the_aspect_is_said_with_the_exact_ones_nearby() -> None:
    found = scaled(832, 1216, factor=1.4)
    assert size(found) == (1168, 1704)
    assert said(found) == ["the aspect ratio changes by 0.18 % at factor 1.4 (1168x1704); exact nearby: 1.375 and 1.5"]


def test_no_exact_factor_above_the_limit_is_suggested() -> None:
    found = scaled(1016, 568, factor=7.99)
    assert said(found)[0].endswith("exact nearby: 7 and 8")
    assert said(scaled(1016, 576, factor=7.999999)) == []


def test_a_factor_below_what_comfyui_makes_is_raised_and_said() -> None:
    found = scaled(256, 144, factor=0.1)
    assert size(found) == (64, 64)
    assert said(found) == ["factor 0.1 makes 64x64 (ComfyUI upscales to at least 64 pixels)"]


def test_a_target_of_another_aspect_stretches_the_picture() -> None:
    (finding,) = stretched(Sized(1024, 576), Sized(2048, 2048))
    assert finding.level == "warning"
    assert finding.what == "2048x2048 has a different aspect ratio than 1024x576: the picture is stretched by 78 %"
    assert stretched(Sized(1024, 576), Sized(1536, 864)) == ()


def test_every_preset_lies_on_the_lattice() -> None:
    assert all(width % CELL == 0 == height % CELL for width, height in PRESETS.values())


def test_a_preset_that_is_called_exact_has_exactly_its_aspect() -> None:
    exact = {name: pair for name, pair in PRESETS.items() if name.endswith("-exact")}
    assert exact
    for name, (width, height) in exact.items():
        across, down = name.removesuffix("-exact").split(":")
        assert Fraction(width, height) == Fraction(int(across), int(down)), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("16:9-exact", (1024, 576)),
        ("16:9-sdxl", (1344, 768)),
        ("sdxl-square", (1024, 1024)),
        ("sd15-square", (512, 512)),
        ("1152x896", (1152, 896)),
        ("640x1536", (640, 1536)),
    ],
)
def test_a_preset_has_the_size_that_its_name_promises(name: str, expected: tuple[int, int]) -> None:
    assert PRESETS[name] == expected
