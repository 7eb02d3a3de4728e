"""Finding the axis that a user means."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.report.run_data import Axis, Material, find_axis, main_axis, short_name
from comfy_runner.store.local import LocalStore


def _material(*fields: str) -> Material:
    return Material(Path("run"), (), tuple(Axis(field, (1, 2)) for field in fields), LocalStore(Path("run")))


def _field(material: Material, name: str) -> str:
    return find_axis(material, name, "--columns").field


@pytest.mark.parametrize("name", ["upscale.denoise", "denoise", " Denoise ", "UPSCALE.DENOISE"])
def test_an_axis_is_found_by_its_field_or_the_end_of_it(name: str) -> None:
    assert _field(_material("seed", "upscale.denoise"), name) == "upscale.denoise"


def test_a_whole_field_wins_over_the_end_of_another() -> None:
    assert _field(_material("upscale.steps", "steps"), "steps") == "steps"


def test_a_short_name_that_several_axes_have_is_not_guessed() -> None:
    with pytest.raises(UsageError, match=r"--columns: could be several axes \(got steps\)") as caught:
        _field(_material("first.steps", "upscale.steps"), "steps")

    assert caught.value.problems[0].hint == "write first.steps or upscale.steps"


def test_part_of_a_word_is_no_short_name() -> None:
    with pytest.raises(UsageError):
        _field(_material("upscale.denoise", "seed"), "noise")


@pytest.mark.parametrize(("name", "hint"), [("denoisse", "denoise"), ("upscale.denoisse", "upscale.denoise"), ("sed", "seed")])
def test_a_misspelt_axis_gets_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match="is not an axis of this run") as caught:
        _field(_material("seed", "upscale.denoise"), name)

    assert caught.value.problems[0].hint.startswith(f"did you mean {hint}")


@pytest.mark.parametrize("name", ["xyz", "", "."])
def test_an_unknown_axis_gets_the_names_that_there_are(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        _field(_material("seed", "upscale.denoise"), name)

    assert caught.value.problems[0].hint == "its axes are seed, denoise, upscale.denoise"


def test_a_run_without_a_sweep_says_that_it_has_no_axes() -> None:
    with pytest.raises(UsageError, match="whose jobs do not differ"):
        _field(_material(), "seed")


@pytest.mark.parametrize(
    ("fields", "main"), [((), None), (("seed", "cfg"), "cfg"), (("upscale.denoise", "seed"), "upscale.denoise")]
)
def test_denoise_is_the_axis_that_is_looked_at_else_the_last(fields: tuple[str, ...], main: str | None) -> None:
    axis = main_axis(_material(*fields))

    assert (axis.field if axis else None) == main


@pytest.mark.parametrize(
    ("field", "short"),
    [("upscale.denoise", "denoise"), ("steps", "steps"), ("upscale.steps", "upscale.steps"), ("loras.0", "loras.0")],
)
def test_the_short_name_still_says_which_axis_is_meant(field: str, short: str) -> None:
    material = _material("upscale.denoise", "steps", "upscale.steps", "loras.0")

    assert short_name(material, next(axis for axis in material.axes if axis.field == field)) == short
