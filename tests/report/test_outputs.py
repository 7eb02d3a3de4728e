"""Jobs with several pictures to one original: each of them is looked at as if a field had been swept."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.api import draw_sheet
from comfy_runner.report.measure_run import measure_all
from comfy_runner.report.run_data import Material, main_axis, read_material
from comfy_runner.report.suggest import suggest, usual_axis
from comfy_runner.report.writer import is_current, write_report
from tests.report.outputs import ROUTES, only, routes, without
from tests.report.support import make_run, photo

ALL = tuple(ROUTES)


def names(found: Material) -> list[str]:
    return [entry.name for entry in found.entries]


def axes(found: Material) -> list[tuple[str, tuple[object, ...]]]:
    return [(axis.field, axis.values) for axis in found.axes]


def test_each_output_is_an_entry_with_the_same_original_in_the_order_of_the_graph(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {}, routes))

    assert axes(found) == [("output", ALL)]
    assert not found.axes[0].is_numeric
    assert names(found) == [f"lake/{role}" for role in ALL]
    assert [[row.path for row in entry.pair()] for entry in found.entries] == [
        ["lake/original.png", f"lake/{role}.png"] for role in ALL
    ]


def test_entries_of_one_job_are_one_job(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {"seed": [1, 2]}, routes))

    assert {entry.job_id for entry in found.entries} == {"lake-s1", "lake-s2"}
    assert found.states == {"lake-s1": "done", "lake-s2": "done"}


def test_outputs_are_the_last_axis_beside_what_was_swept(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {"seed": [1, 2]}, routes))

    assert axes(found) == [("seed", (1, 2)), ("output", ALL)]
    assert [dict(entry.values) for entry in found.entries][4:6] == [
        {"seed": 2, "output": "pixel_0_45"},
        {"seed": 2, "output": "latent_0_55"},
    ]
    assert main_axis(found) is usual_axis(found) is found.axes[1]


def test_without_a_sidecar_the_outputs_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    run = make_run(tmp_path, {}, routes)
    (run / "lake" / "job.json").unlink()

    assert axes(read_material(run)) == [("output", tuple(sorted(ALL)))]


def test_one_output_alone_is_no_axis_but_keeps_its_name(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {}, only("original", "plain")))

    assert (names(found), found.axes) == (["lake/plain"], ())
    assert len(found.entries[0].pair()) == 2


def test_a_job_with_an_upscaled_picture_stays_one_whatever_else_it_has(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {}, lambda values: {**photo(values), "pass_1": photo(values)["upscaled"]}))

    assert (names(found), found.axes) == (["lake"], ())
    assert set(found.entries[0].pictures) == {"original", "upscaled", "pass_1"}


def test_a_job_whose_upscaled_picture_is_missing_is_no_comparison_of_the_others(tmp_path: Path) -> None:
    run = make_run(tmp_path, {}, only("original", "plain"))
    sidecar = json.loads((run / "lake" / "job.json").read_bytes())
    sidecar["workflow"]["save"] = {"class_type": "SaveImage", "inputs": {}, "_meta": {"role": "upscaled"}}
    (run / "lake" / "job.json").write_text(json.dumps(sidecar))

    assert names(read_material(run)) == ["lake"]


def test_ordinary_jobs_of_the_same_run_are_called_upscaled(tmp_path: Path) -> None:
    make_run(tmp_path, {}, photo)
    make_run(tmp_path, {}, routes, recipe={"name": "hill"})

    found = read_material(tmp_path)

    assert axes(found) == [("recipe", ("hill", "lake")), ("output", (*ALL, "upscaled"))]
    assert [entry.values["output"] for entry in found.entries if entry.row.recipe == "lake"] == ["upscaled"]


def test_a_job_that_has_only_some_of_its_outputs_shows_those(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {"seed": [1, 2]}, without("pixel_0_45", "plain", seed=1)))

    assert names(found)[:3] == ["lake-s1/latent_0_55", "lake-s1/latent_0_6", "lake-s2/pixel_0_45"]
    assert axes(found) == [("seed", (1, 2)), ("output", ALL)]


def test_a_job_without_its_original_is_laid_out_as_the_others(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"seed": [1, 2]}, without("original", "plain", seed=1))

    found = read_material(run)

    assert names(found)[:4] == ["lake-s1/pixel_0_45", "lake-s1/latent_0_55", "lake-s1/latent_0_6", "lake-s2/pixel_0_45"]
    assert measure_all(found)[0]["lake-s1/latent_0_6"].problem == "has no original picture"


def test_a_failed_job_keeps_a_place_for_each_output_of_the_others(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {"seed": [1, 2]}, routes, failed=["lake-s1"]))

    assert names(found)[:4] == [f"lake-s1/{role}" for role in ALL]
    assert {entry.row.error for entry in found.entries[:4]} == {"out of memory"}
    assert measure_all(found)[0]["lake-s1/plain"].problem == "has no original picture"


def test_a_graph_in_a_sidecar_may_be_anything(tmp_path: Path) -> None:
    run = make_run(tmp_path, {}, routes)
    sidecar = json.loads((run / "lake" / "job.json").read_bytes())
    odd: list[Any] = [[], {"a": 1, "b": {"_meta": "upscaled"}}, {"b": {"_meta": {"role": ["upscaled"]}}}]
    for workflow in odd:
        (run / "lake" / "job.json").write_text(json.dumps({**sidecar, "workflow": workflow}))

        assert names(read_material(run)) == [f"lake/{role}" for role in ALL]


def test_a_suggestion_names_an_output_and_takes_it_for_no_number(tmp_path: Path) -> None:
    found = read_material(make_run(tmp_path, {"seed": [1, 2, 3]}, routes))
    measured, _ = measure_all(found)

    suggestion = suggest(found, measured, found.axes[-1])

    assert [point.value for point in suggestion.points] == list(ALL)
    assert suggestion.chosen is not None
    assert (suggestion.chosen.value, suggestion.series) == ("latent_0_6", 3)


def test_the_metrics_have_a_row_for_each_output(tmp_path: Path) -> None:
    run = make_run(tmp_path / "lake", {"seed": [1, 2]}, routes)

    report = write_report(run)

    assert report.metrics
    assert report.table
    told = json.loads(report.metrics.read_bytes())
    assert [(job["job"], job["output"], job["upscaled"]) for job in told["jobs"][:2]] == [
        ("lake-s1/pixel_0_45", "pixel_0_45", "lake-s1/pixel_0_45.png"),
        ("lake-s1/latent_0_55", "latent_0_55", "lake-s1/latent_0_55.png"),
    ]
    rows = list(csv.DictReader(report.table.read_text(encoding="utf-8").splitlines()))
    assert [row["output"] for row in rows] == [*ALL, *ALL]
    assert sorted(int(row["rank"]) for row in rows) == list(range(1, 9))
    assert is_current(run)


@pytest.mark.parametrize(("rows", "columns"), [(None, None), ("output", None), ("output", "seed")])
def test_a_sheet_shows_every_output(tmp_path: Path, rows: str | None, columns: str | None) -> None:
    run = make_run(tmp_path, {"seed": [1, 2]}, routes)

    sheet = draw_sheet(run, rows=rows, columns=columns, cell=96)

    assert (sheet.shown, sheet.left_out) == (8, ())


def test_a_sheet_names_a_job_without_pictures_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"seed": [1, 2]}, routes, failed=["lake-s1"])

    sheet = draw_sheet(run, cell=96)

    assert (sheet.shown, sheet.left_out) == (4, ("lake-s1",))


def test_a_run_without_originals_says_that_nothing_of_it_is_measured(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"seed": [1, 2]}, lambda values: {"upscaled": photo(values)["upscaled"]})

    report = write_report(run)

    assert report.notes == ("2 jobs have no original picture to compare with, so they are not measured",)
    assert names(read_material(run)) == ["lake-s1", "lake-s2"]
    assert draw_sheet(run, cell=96).shown == 2
