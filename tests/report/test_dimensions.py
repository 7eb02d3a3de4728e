"""Which fields move together, how their values are called, and when pictures make a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.report.dimensions import dimensions, short_labels, usual_layout
from comfy_runner.report.run_data import Axis, Material
from comfy_runner.store.local import LocalStore
from tests.report.values import DENOISE, entry_of, material


def _of(rows: Sequence[Mapping[str, Any]]) -> Material:
    """Return a run of these jobs, rather than of a product."""
    entries = tuple(entry_of(f"lake-{number}", row) for number, row in enumerate(rows))
    axes = (Axis(field, tuple(dict.fromkeys(row[field] for row in rows))) for field in rows[0])
    return Material(Path("run"), entries, tuple(axis for axis in axes if len(axis.values) > 1), LocalStore(Path("run")))


def _fields(run: Material) -> list[tuple[str, ...]]:
    return [tuple(axis.field for axis in each.axes) for each in dimensions(run)]


def _layout(run: Material) -> tuple[list[str], str | None]:
    layout = usual_layout(run, dimensions(run))
    return [each.name for each in layout.rows], layout.columns.name if layout.columns else None


def test_each_axis_of_a_product_is_a_dimension() -> None:
    run = material({"checkpoint": ["a", "b"], "seed": [1, 2, 3], DENOISE: [0.3, 0.5]})

    assert _fields(run) == [("checkpoint",), ("seed",), (DENOISE,)]
    assert _layout(run) == (["checkpoint", "seed"], "denoise")


def test_a_table_of_prompts_is_one_dimension_and_a_gallery() -> None:
    run = _of([{"prompt": f"lake {number}", "negative_prompt": "bcb"[number % 3], "seed": number} for number in range(6)])

    assert _fields(run) == [("prompt", "negative_prompt", "seed")]
    assert dimensions(run)[0].labels == tuple(f"lake {number}" for number in range(6))
    assert _layout(run) == ([], None)


def test_the_name_column_of_a_table_is_what_its_rows_are_called() -> None:
    run = _of([{"prompt": f"lake {number}", "params.name": "abc"[number]} for number in range(3)])

    assert [(each.name, each.labels) for each in dimensions(run)] == [("name", ("a", "b", "c"))]


def test_zipped_fields_are_called_by_all_their_values_and_make_a_table_with_others() -> None:
    run = _of([{"checkpoint": c, "sampler.steps": s, DENOISE: d} for c, s in (("a", 10), ("b", 20)) for d in (0.3, 0.5)])

    assert [each.labels for each in dimensions(run)] == [("a · 10", "b · 20"), ("0.3", "0.5")]
    assert _layout(run) == (["checkpoint, steps"], "denoise")


def test_a_seed_of_each_job_does_not_make_one_line_of_all_axes() -> None:
    rows = [{"checkpoint": c, DENOISE: d, "seed": 0} for c in "ab" for d in (0.3, 0.5, 0.7)]
    run = _of([{**row, "seed": number} for number, row in enumerate(rows)])

    assert _fields(run) == [("checkpoint",), (DENOISE,), ("seed",)]


@pytest.mark.parametrize(("jobs", "is_gallery"), [(8, False), (7, True)])
def test_what_would_fill_less_than_half_of_a_table_is_a_gallery(jobs: int, is_gallery: bool) -> None:
    # Two diagonals of a table of 16 places, so that neither axis tells the other.
    places = [(at, at) for at in range(4)] + [(at, (at + 1) % 4) for at in range(4)]
    run = _of([{"sampler.cfg": cfg, "sampler.steps": steps} for cfg, steps in places[:jobs]])

    assert usual_layout(run, dimensions(run)).is_gallery is is_gallery


def test_an_axis_of_more_values_than_there_is_room_for_does_not_make_the_columns() -> None:
    assert _layout(material({"sampler.cfg": [4, 7], "seed": list(range(30))})) == (["seed"], "cfg")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["sdxl/base.safetensors", "sd15/tiny.ckpt"], ("base", "tiny")),
        (["sdxl/base.safetensors", "sd15/base.safetensors"], ("sdxl/base", "sd15/base")),
        (["base.safetensors", "base.ckpt"], ("base.safetensors", "base.ckpt")),
        (["a/b", "c/d"], ("a/b", "c/d")),
        ([0.3, None, True], ("0.3", "null", "true")),
    ],
)
def test_models_are_called_without_folder_and_suffix_where_that_tells_them_apart(
    values: list[Any], labels: tuple[str, ...]
) -> None:
    assert short_labels(values) == labels


def test_long_texts_are_called_by_the_words_in_which_they_differ() -> None:
    same = "an evening view of a harbour with old wooden boats, "

    found = short_labels([f"{same}{what}, 35 mm photograph" for what in ("a dog on the quay", "fog from the north")])

    assert found == ("… a dog on the quay", "… fog from the north")


def test_texts_that_are_cut_alike_have_numbers() -> None:
    assert short_labels(["x" * 300 + "a", "x" * 300 + "b"]) == ("x" * 40 + "… (1)", "x" * 40 + "… (2)")
