"""Jobs that make several pictures of each output at once: each of them is looked at as those of other seeds are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.report.measure_run import measure_all
from comfy_runner.report.run_data import read_material
from comfy_runner.report.suggest import suggest
from comfy_runner.report.writer import write_report
from tests.running.support import rendered, small, sweep
from tests.standin import NodeFault, StandIn


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two jobs with three pictures each."""
    folder = tmp_path_factory.mktemp("batch") / "run"
    with StandIn() as server:
        rendered(server, folder, sweep({"upscale.denoise": [0.5, 0.6]}, batch_size=3))
    return folder


def test_each_picture_of_a_batch_is_an_entry_with_the_original_that_it_was_made_of(run: Path) -> None:
    found = read_material(run)

    assert [(axis.field, axis.values) for axis in found.axes] == [("upscale.denoise", (0.5, 0.6)), ("picture", (1, 2, 3))]
    assert [entry.name for entry in found.entries] == [
        *("lake-d050", "lake-d050/upscaled/2", "lake-d050/upscaled/3"),
        *("lake-d060", "lake-d060/upscaled/2", "lake-d060/upscaled/3"),
    ]
    assert [row.path for entry in found.entries[:2] for row in entry.pair()] == [
        *("lake-d050/original.png", "lake-d050/upscaled.png"),
        *("lake-d050/original-2.png", "lake-d050/upscaled-2.png"),
    ]
    assert found.states == {"lake-d050": "done", "lake-d060": "done"}


def test_all_of_them_are_measured_and_count_as_series_of_a_suggestion(run: Path) -> None:
    material = read_material(run)
    measured, notes = measure_all(material)

    assert notes == ()
    assert all(one.measures for one in measured.values())
    assert len(measured) == 6
    found = suggest(material, measured, material.axes[0])
    assert (found.series, found.apart) == (3, {})
    assert [point.measured for point in found.points] == [3, 3]


def test_all_of_them_are_held_to_what_is_expected(run: Path) -> None:
    recipe = sweep({"upscale.denoise": [0.5, 0.6]}, batch_size=3, expect={"drift": {"min": 2}})

    (job, _) = api.check_run(run, recipes=[recipe], config=Config()).jobs

    wrong = [found.message.partition(" drift")[0] for found in job.findings if not found.passed and found.check == "drift"]
    assert len(wrong) == 3
    assert wrong[1:] == ["picture 2:", "picture 3:"]
    assert {"drift", "2.drift", "3.drift"} <= job.metrics.keys()


def test_the_page_and_the_sheet_have_all_of_them(run: Path) -> None:
    write_report(run)
    assert "lake-d060/upscaled-3.png" in (run / "report.html").read_text(encoding="utf-8")
    numbers = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert [job["job"] for job in numbers["jobs"]] == [entry.name for entry in read_material(run).entries]
    assert api.draw_sheet(run, target=run / "sheet.png").shown == 6


def test_a_job_that_has_no_pictures_keeps_as_many_places_as_the_others(server: StandIn, tmp_path: Path) -> None:
    recipes = sweep({"seed": [1, 2]}, batch_size=2), small(name="pond")
    rendered(server, tmp_path, *recipes, only=["lake-s1"])
    server.state.node_faults["first_pass"] = NodeFault.ERROR

    rendered(server, tmp_path, *recipes)

    assert [(entry.name, len(entry.pictures)) for entry in read_material(tmp_path).entries] == [
        *(("lake-s1", 2), ("lake-s1/upscaled/2", 2)),
        *(("lake-s2", 0), ("lake-s2/upscaled/2", 0)),
        ("pond", 0),
    ]


def test_a_baseline_has_all_of_them(run: Path, tmp_path: Path) -> None:
    api.update_baseline(run, tmp_path / "baseline")

    checked = api.check_run(run, baseline=tmp_path / "baseline", config=Config())

    assert [one.likeness.value for job in checked.jobs for one in job.comparisons] == ["same"] * 12
