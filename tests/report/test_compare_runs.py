"""Several runs on one page: the run as an axis, what stays that of each run, and what one run has replaced as earlier runs."""

from __future__ import annotations

import json
import re
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import UsageError, compare_runs, write_report
from comfy_runner.report.joined_runs import join, parts_of
from tests.report.page.pages import paint
from tests.report.support import folder_of, make_run, photo
from tests.running.support import begin, small
from tests.standin import StandIn

AXES: dict[str, list[Any]] = {"seed": [1, 2], "upscale.denoise": [0.4, 0.6]}


def _facts(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps of one recipe, of which the second takes more steps, and has no report."""
    folder = tmp_path_factory.mktemp("runs")
    write_report(make_run(folder / "lake", AXES, photo, recipe={"sampler": {"steps": 20}}))
    make_run(folder / "later", AXES, lambda values: photo(values, paints=0.6), recipe={"sampler": {"steps": 30}})
    return folder


def test_the_run_is_the_last_axis_and_what_is_suggested_stays_that_of_each(runs: Path, tmp_path: Path) -> None:
    before = _files(runs / "lake")

    found = compare_runs([runs / "lake", runs / "later"], tmp_path / "both")

    facts = _facts(found.page)
    assert [axis["field"] for axis in facts["axes"]] == ["seed", "upscale.denoise", "run"]
    assert facts["axes"][-1]["values"] == ["lake", "later"]
    assert [job["id"] for job in facts["jobs"]][::4] == ["lake/lake-s1-d04", "later/lake-s1-d04"]
    assert all(job["numbers"] for job in facts["jobs"])
    assert [(run.name, dict(run.differs), run.suggestion is not None) for run in found.runs] == [
        ("lake", {"steps": "20"}, True),
        ("later", {"steps": "30"}, True),
    ]
    curves = [(run["axis"], [point["value"] for point in run["points"]]) for run in facts["runs"]]
    assert curves == [("upscale.denoise", [0.4, 0.6])] * 2
    assert [run["url"] != "" for run in facts["runs"]] == [True, False]
    chosen = {run.name: run.suggestion.chosen.value for run in found.runs if run.suggestion and run.suggestion.chosen}
    assert {(job["id"].partition("/")[0], job["id"][-2:]) for job in facts["jobs"] if job["suggested"]} == {
        (name, f"d{value}".replace(".", "")[-2:]) for name, value in chosen.items()
    }
    assert facts["fixed"]["model"] == "tiny"
    assert "steps" not in facts["fixed"]
    assert _files(runs / "lake") == before
    assert sorted(path.name for path in found.page.parent.iterdir()) == ["report.html", "report_files"]


def test_a_value_that_only_one_run_sweeps_is_looked_up_in_the_other(tmp_path: Path) -> None:
    make_run(tmp_path / "swept", {"upscale.denoise": [0.4, 0.6]}, paint)
    make_run(tmp_path / "one", {}, paint, recipe={"upscale": {"denoise": 0.6}})

    material = join(parts_of([tmp_path / "swept", tmp_path / "one"]), tmp_path / "out")

    assert [entry.values for entry in material.entries] == [
        {"upscale.denoise": 0.4, "run": "swept"},
        {"upscale.denoise": 0.6, "run": "swept"},
        {"upscale.denoise": 0.6, "run": "one"},
    ]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("a/lake", "b/lake"), ["a-lake", "b-lake"]),
        (("a-lake", "a/lake", "b/lake"), ["x-a-lake", "a-lake", "b-lake"]),
        (("lake", "é:\\ "), ["lake", "e"]),
    ],
)
def test_runs_are_called_by_what_tells_them_apart(tmp_path: Path, folders: tuple[str, ...], names: list[str]) -> None:
    for folder in folders:
        make_run(tmp_path / "x" / folder, {}, paint)

    found = [part.name for part in parts_of([tmp_path / "x" / folder for folder in folders])]

    assert found == names


def test_what_a_run_has_replaced_is_an_earlier_one(server: StandIn, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for recipe in (small(seed=1), small(seed=2), small(seed=3)):
        begin(server, run, recipe).results()

    found = compare_runs([run], tmp_path / "out", superseded=True, zip_file=tmp_path / "out.zip")

    facts = _facts(found.page)
    assert [job["id"] for job in facts["jobs"]] == ["now/lake", "earlier 1/lake", "earlier 2/lake"]
    assert [run["differs"]["seed"] for run in facts["runs"]] == ["3", "2", "1"]
    for job in facts["jobs"]:
        assert (found.page.parent / job["pictures"]["upscaled"][0]["url"].replace("%20", " ")).is_file()
        assert Path(job["again"].split("'")[1] if "'" in job["again"] else job["again"].split()[2]).name == "job.json"


def test_runs_that_cannot_be_compared_are_refused_before_anything_is_written(runs: Path, tmp_path: Path) -> None:
    lake, later = runs / "lake", runs / "later"
    cases: list[tuple[list[Path], Path, Mapping[str, Any], str]] = [
        ([lake], tmp_path / "out", {}, "needs two runs or more"),
        ([lake, later], tmp_path / "out", {"superseded": True}, "has only one run"),
        ([lake], tmp_path / "out", {"superseded": True}, "nothing of this run was replaced"),
        ([lake, lake], tmp_path / "out", {}, "is given twice"),
        ([lake, later], later, {}, "is a run folder"),
        ([lake, later], tmp_path / "out", {"axis": "cfg"}, "is not an axis of this run"),
        ([lake, later], tmp_path / "out", {"zip_file": tmp_path / "x.html"}, r"must end in \.zip"),
    ]

    for folders, out, options, error in cases:
        with pytest.raises(UsageError, match=error):
            compare_runs(folders, out, **options)

    assert not (tmp_path / "out").exists()


def test_a_page_of_somebody_else_is_not_replaced_and_ours_is(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, {}, paint) for name in ("a", "b")]
    (folder_of(tmp_path / "mine") / "report.html").write_text("<p>mine", encoding="utf-8")

    with pytest.raises(UsageError, match=r"mine/report\.html: is your own file"):
        compare_runs(runs, tmp_path / "mine")
    compare_runs(runs, tmp_path / "both")
    compare_runs(runs, tmp_path / "both")

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["report.html"]


def test_a_picture_of_a_run_is_not_replaced_by_a_page(runs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs / "later", tmp_path / "later"))
    (tmp_path / "page.html").symlink_to(copy / "lake-s1-d04" / "upscaled.png")
    folder_of(tmp_path / "out")

    with pytest.raises(UsageError, match="is a picture of the job later/lake-s1-d04"):
        compare_runs([runs / "lake", copy], tmp_path / "out", single_file=tmp_path / "page.html")


def test_a_run_at_a_url_is_shown_small_and_is_whole_in_the_zip(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "here"))
    url = f"memory://{uuid.uuid4()}/runs/far"
    begin(server, url, small()).results()
    begin(server, tmp_path / "near", small(seed=2)).results()

    found = compare_runs([url, tmp_path / "near"], tmp_path / "out", zip_file=tmp_path / "out.zip")

    far, near = ([picture["url"] for picture in job["pictures"]["upscaled"]] for job in _facts(found.page)["jobs"])
    assert far[0].startswith("report_files/")
    assert near == ["../near/lake/upscaled.png"]
    with zipfile.ZipFile(tmp_path / "out.zip") as zipped:
        assert {"out/far/lake/upscaled.png", "out/near/lake/upscaled.png"} <= set(zipped.namelist())
