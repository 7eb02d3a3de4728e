"""What a report is about: the jobs of a run folder and the axes along which they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.report.run_data import key, label, read_material
from comfy_runner.store.ledger import FILE, Ledger
from tests.report.support import make_run, photo


def test_axes_are_the_fields_in_which_jobs_differ_in_the_order_of_the_sweep(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"upscale.denoise": [0.5, 0.4], "seed": [2, 1], "sampler.steps": [20]}, photo)

    assert [(axis.field, axis.values) for axis in read_material(run).axes] == [("upscale.denoise", (0.4, 0.5)), ("seed", (1, 2))]


def test_values_that_are_no_numbers_keep_their_order(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"upscale.method": ["nearest-exact", "bicubic", "area"]}, photo)

    assert read_material(run).axes[0].values == ("nearest-exact", "bicubic", "area")
    assert not read_material(run).axes[0].is_numeric


def test_a_value_stands_where_the_plan_first_has_it(tmp_path: Path) -> None:
    make_run(tmp_path, {"upscale.method": ["area"]}, photo, recipe={"name": "hill"})
    make_run(tmp_path, {"upscale.method": ["bicubic", "area"]}, photo)

    found = read_material(tmp_path)

    assert list(found.axes[1].values) == list(dict.fromkeys(entry.values["upscale.method"] for entry in found.entries))


def test_true_and_1_and_lists_are_told_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"params.x": [True, 1, [2], {"a": 3}]}, photo)

    assert [label(value) for value in read_material(run).axes[0].values] == ["true", "1", "[2]", '{"a": 3}']


def test_large_seeds_are_told_apart_and_1_is_1_0() -> None:
    assert key(2**63) != key(2**63 + 1)
    assert key(1) == key(1.0)
    assert key(True) != key(1)


def test_jobs_have_their_pictures_by_role(tmp_path: Path) -> None:
    entry = read_material(make_run(tmp_path, {"seed": [1, 2]}, photo)).entries[0]

    assert [row.path for row in entry.pair()] == ["lake-s1/original.png", "lake-s1/upscaled.png"]


def test_a_run_without_a_sweep_has_one_job_and_no_axis(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {}, photo))

    assert (len(found.entries), found.axes) == (1, ())


def test_several_recipes_are_an_axis_of_their_own(tmp_path: Path) -> None:
    make_run(tmp_path, {"seed": [1, 2]}, photo)
    make_run(tmp_path, {"seed": [1, 2]}, photo, recipe={"name": "hill"})

    assert [axis.field for axis in read_material(tmp_path).axes] == ["recipe", "seed"]


def test_a_field_that_only_some_jobs_sweep_is_read_from_the_sidecars_of_the_others(tmp_path: Path) -> None:
    make_run(tmp_path, {"upscale.denoise": [0.4, 0.5]}, photo)
    make_run(tmp_path, {}, photo, recipe={"name": "hill", "upscale": {"denoise": 0.7}})

    assert sorted(entry.values["upscale.denoise"] for entry in read_material(tmp_path).entries) == [0.4, 0.5, 0.7]


def test_jobs_that_their_recipe_no_longer_has_are_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"seed": [1, 2]}, photo)
    with Ledger(run / FILE) as ledger:
        ledger.write_plan([], recipes=["lake"])

    assert read_material(run).entries == ()


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        read_material(tmp_path)
