"""``report``, ``sheet`` and ``suggest``, and the report at the end of ``run``, typed as a user types them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner.cli.report import curve
from comfy_runner.cli.run import _report
from comfy_runner.report.measure_run import measure_all
from comfy_runner.report.run_data import read_material
from comfy_runner.report.suggest import Limits, suggest
from comfy_runner.running.events import JobResult
from tests.cli.support import Typed, recipe_file, typed
from tests.report.support import make_run, photo
from tests.report.values import DENOISE, material, measured, measures
from tests.standin import StandIn

AXES: dict[str, list[Any]] = {"seed": [1, 2, 3], "upscale.denoise": [0.4, 0.5, 0.6, 0.8]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("made") / "lake", AXES, photo)
    measure_all(read_material(run))  # once for all tests
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "lake"))


def test_report_writes_the_page_and_the_metrics_and_prints_where(cli: Callable[..., Typed], run: Path) -> None:
    done = cli("report", "lake")

    assert done.code == 0, done.err
    assert done.out.split() == ["lake/report.html", "lake/metrics.json", "lake/metrics.csv"]
    assert "0.6 paints" in done.err
    assert len(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["jobs"]) == 12
    assert len(list(csv.DictReader((run / "metrics.csv").read_text(encoding="utf-8").splitlines()))) == 12
    assert "<html" in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("run")
def test_report_as_one_file_is_printed_last_with_what_was_done_to_its_pictures(cli: Callable[..., Typed]) -> None:
    usual = cli("report", "lake", "--single-file")
    smaller = cli("report", "lake", "--single-file", "out/one.html", "--quality", "20", "--max-size", "1")

    assert (usual.code, usual.out.split()[-1]) == (0, "lake/report-single.html")
    assert "WebP" not in usual.err
    assert (smaller.code, smaller.out.split()[-1]) == (0, "out/one.html")
    assert "note: out/one.html: the pictures in this page are as large as they were, as WebP of quality 20" in smaller.err


def test_several_runs_become_one_page_and_each_says_what_is_suggested(cli: Callable[..., Typed], run: Path) -> None:
    make_run(run.parent / "later", AXES, lambda values: photo(values, paints=0.5))

    done = cli("report", "lake", "later", "--out", "both", "--zip")

    assert done.code == 0, done.err
    assert done.out.split() == ["both/report.html", "both/report.zip"]
    said = [line for line in done.err.splitlines() if "denoise" in line]
    assert [line.partition(":")[0] for line in said] == ["lake", "later"]
    assert done.err.splitlines()[-1] == "report: both/report.html"
    assert not (run.parent / "later" / "report.html").exists()


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["lake", "other"], "--out is needed with several RUNs or --superseded, and only then"),
        (["lake", "--out", "x"], "--out is needed with several RUNs or --superseded, and only then"),
        (["lake", "--superseded"], "--out is needed with several RUNs or --superseded, and only then"),
        (["lake", "lake", "--out", "x"], "lake: is given twice"),
        (["lake", "--max-size", "3"], "--max-size and --quality need --single-file"),
        (["lake", "--single-file", "lake"], "lake: must end in .html"),
        (["--single-file", "lake"], "Missing argument 'RUN...'"),
        (["lake", "--single-file", "--max-size", "0"], "0 is not in the range"),
    ],
)
def test_mistakes_with_the_single_file_are_told(cli: Callable[..., Typed], given: list[str], error: str) -> None:
    done = cli("report", *given)

    assert done.code == 2
    assert error in done.err


@pytest.mark.usefixtures("run")
def test_suggest_names_the_value_shows_all_and_says_how_sure_it_is(cli: Callable[..., Typed]) -> None:
    done = cli("suggest", "lake")

    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["0.4", "0.5", "▸", "0.8"]
    assert any(line.startswith("upscale.denoise 0.6: 0.6 paints the most detail") for line in lines)
    assert any(line.startswith("sure: judged one by one, the series name 0.6 (3 of 3)") for line in lines)
    assert any("●" in line for line in lines)


@pytest.mark.usefixtures("run")
def test_suggest_names_none_where_none_passes(cli: Callable[..., Typed]) -> None:
    done = cli("suggest", "lake", "--max-drift", "0")

    assert done.code == 0
    assert "upscale.denoise: no value passes" in done.out
    assert "▸" not in done.out


@pytest.mark.usefixtures("run")
def test_suggest_for_programs_is_one_json_object(cli: Callable[..., Typed]) -> None:
    found = json.loads(cli("suggest", "lake", "--json", "--axis", "denoise").out)

    assert (found["axis"], found["chosen"], found["sureness"]) == ("upscale.denoise", 0.6, "sure")


@pytest.mark.usefixtures("run")
def test_a_field_that_is_no_axis_is_an_error_with_the_axes(cli: Callable[..., Typed]) -> None:
    for command, option in (("report", "--axis"), ("suggest", "--axis"), ("sheet", "--rows"), ("sheet", "--columns")):
        done = cli(command, "lake", option, "sed")

        assert done.code == 2
        assert done.err.startswith(f"error: {option}: is not an axis of this run (got sed)\nhint: did you mean seed?")


@pytest.mark.parametrize(
    ("axes", "why"), [({}, "nothing was swept"), ({"seed": [1, 2]}, "only seed was swept, whose values make different pictures")]
)
def test_suggest_without_a_swept_setting_says_how_to_sweep_one(
    axes: dict[str, list[int]], why: str, cli: Callable[..., Typed], tmp_path: Path
) -> None:
    make_run(tmp_path / "lake", axes, photo)
    done = cli("suggest", "lake")

    assert done.code == 2
    assert why in done.err
    assert "hint: sweep a setting: --sweep upscale.denoise=0.45:0.70:0.05" in done.err


def test_sheet_draws_a_grid_and_prints_where(cli: Callable[..., Typed], run: Path) -> None:
    done = cli("sheet", "lake", "--rows", "seed", "--columns", "upscale.denoise", "--cell", "128")

    assert (done.code, done.out.split()) == (0, ["lake/sheet.png"]), done.err
    with Image.open(run / "sheet.png") as picture:
        assert picture.width > 5 * 128
        assert picture.height > 3 * 72


@pytest.mark.usefixtures("run")
def test_a_sheet_of_crops_is_a_file_of_its_own(cli: Callable[..., Typed]) -> None:
    drawn = cli("sheet", "lake", "--crops", "--cell", "96")
    refused = cli("sheet", "lake", "--crops", "2", "--rows", "seed")

    assert (drawn.code, drawn.out.split()) == (0, ["lake/crops.png"]), drawn.err
    assert refused.code == 2
    assert "--crops: has a row for each job" in refused.err


def test_sheet_goes_where_the_user_says_but_never_over_a_picture(cli: Callable[..., Typed], run: Path) -> None:
    assert cli("sheet", "lake", "--out", "grid.png").out.split() == ["grid.png"]
    before = (run / "lake-s1-d04" / "original.png").read_bytes()
    done = cli("sheet", "lake", "--out", "lake/lake-s1-d04/original.png")

    assert done.code == 2
    assert (run / "lake-s1-d04" / "original.png").read_bytes() == before


@pytest.mark.parametrize("command", ["report", "sheet", "suggest"])
def test_a_folder_that_is_no_run_is_an_error(cli: Callable[..., Typed], command: str) -> None:
    done = cli(command, "nowhere")

    assert done.code == 5
    assert done.err.startswith("error: nowhere: no such run folder")


@pytest.mark.slow
def test_a_run_that_ends_writes_its_report(server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path, sweep={"upscale.denoise": [0.5, 0.7]})
    done = typed("run", "lake.yaml", "--server", server.url, folder=tmp_path, COMFY_RUNNER_REPORT="1")

    assert done.code == 0, done.err
    assert re.fullmatch(r"2 done, 4 pictures in \d+ s: runs/lake/report.html", done.err.splitlines()[-1])
    assert sorted(path.name for path in (tmp_path / "runs" / "lake").glob("[a-z]*.*")) == [
        "ledger.sqlite",
        "metrics.csv",
        "metrics.json",
        "report.html",
    ]


@pytest.mark.slow
def test_a_report_that_is_current_is_not_written_again(server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    command = ("run", "lake.yaml", "--server", server.url)
    typed(*command, folder=tmp_path, COMFY_RUNNER_REPORT="1")
    page = tmp_path / "runs" / "lake" / "report.html"
    before = page.stat().st_ino
    done = typed(*command, folder=tmp_path, COMFY_RUNNER_REPORT="1")

    assert re.fullmatch(r"1 done \(1 already\), 2 pictures in \d+ s: runs/lake/report.html", done.err.splitlines()[-1])
    assert page.stat().st_ino == before


@pytest.mark.slow
def test_a_metric_that_cannot_be_used_is_told_and_the_run_has_gone_well(server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    place = _announced(tmp_path / "broken", "import nowhere\n")
    done = typed("run", "lake.yaml", "--server", server.url, folder=tmp_path, COMFY_RUNNER_REPORT="1", PYTHONPATH=place)

    assert done.code == 0
    assert "error: metric red (my_metrics:red): cannot be imported" in done.err


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_an_error_of_the_run_folder(server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    (tmp_path / "runs" / "lake" / "report.html").mkdir(parents=True)
    done = typed("run", "lake.yaml", "--server", server.url, folder=tmp_path, COMFY_RUNNER_REPORT="1")

    assert done.code == 5
    assert "1 done" in done.err
    assert len(done.out.split()) == 2


def test_so_many_jobs_are_reported_on_only_if_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [JobResult(str(number), "done", {"upscaled": (tmp_path / "x.png",)}) for number in range(3001)]

    assert _report(tmp_path, results, 0, quiet=False) == (None, 0)
    assert (
        capsys.readouterr().err
        == "warning: no report is written for more than 3000 jobs unless you ask for it: comfy-runner report\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_no_report_is_written_where_none_is_wanted(server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    typed("run", "lake.yaml", "--server", server.url, "--no-report", folder=tmp_path, COMFY_RUNNER_REPORT="1")

    assert not (tmp_path / "runs" / "lake" / "report.html").exists()


@pytest.mark.slow
def test_without_the_extra_the_page_is_written_and_says_what_is_missing(run: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    finder = "import sys\nfor name in ('numpy',): sys.modules[name] = None\n"
    (blocked / "sitecustomize.py").write_text(finder, encoding="utf-8")
    done = typed("report", "lake", folder=run.parent, PYTHONPATH=str(blocked))

    assert done.code == 0, done.err
    assert done.out.split() == ["lake/report.html"]
    assert "comfy-runner[report]" in done.err
    refused = typed("suggest", "lake", folder=run.parent, PYTHONPATH=str(blocked))
    assert refused.code == 2
    assert "hint: pip install 'comfy-runner[report]'" in refused.err


def _announced(folder: Path, code: str) -> str:
    """Install a package with a metric called ``red`` into a folder, and return the folder."""
    (folder / "my_metrics-1.dist-info").mkdir(parents=True)
    (folder / "my_metrics-1.dist-info" / "METADATA").write_text("Name: my-metrics\nVersion: 1\n", encoding="utf-8")
    (folder / "my_metrics-1.dist-info" / "entry_points.txt").write_text(
        "[comfy_runner.metrics]\nred = my_metrics:red\n", encoding="utf-8"
    )
    (folder / "my_metrics.py").write_text(code, encoding="utf-8")
    return str(folder)


@pytest.mark.slow
def test_a_metric_that_a_package_announces_stands_beside_ours(run: Path, tmp_path: Path) -> None:
    place = _announced(tmp_path / "site", "def red(original, plain, upscaled):\n    return upscaled[..., 0].mean()\n")
    done = typed("report", "lake", folder=run.parent, PYTHONPATH=place)

    assert done.code == 0, done.err
    jobs = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["jobs"]
    assert all(0 < job["measures"]["red"] < 1 for job in jobs)
    assert "red" in (run / "metrics.csv").read_text(encoding="utf-8").splitlines()[0].split(",")


@pytest.mark.slow
def test_a_metric_that_fails_is_told_once_and_one_that_cannot_be_imported_is_an_error(run: Path, tmp_path: Path) -> None:
    fails = _announced(tmp_path / "fails", "def red(*pictures):\n    raise OSError('no weights')\n")
    done = typed("report", "lake", folder=run.parent, PYTHONPATH=fails)
    assert (done.code, done.err.count("metric red failed (OSError: no weights)")) == (0, 1)

    broken = _announced(tmp_path / "broken", "import nowhere\n")
    done = typed("report", "lake", folder=run.parent, PYTHONPATH=broken)
    assert done.code == 2
    assert done.err.startswith("error: metric red (my_metrics:red): cannot be imported (ModuleNotFoundError")


def test_the_curve_has_a_column_per_value_and_marks_what_is_named() -> None:
    run = material({DENOISE: [0.4, 0.5, 0.6]})
    found = measured(run, {(0.4,): measures(0.1, 0.05), (0.5,): measures(0.6, 0.2), (0.6,): measures(1.0, 0.9)})
    lines = curve(suggest(run, found, run.axes[0], limits=Limits(drift=0.3)), width=80)

    assert lines[0].startswith("1.00 │")
    where = [line.index("●") for line in lines[:11] if "●" in line]
    assert where == sorted(where, reverse=True)
    label, mark = lines[-3], lines[-2]
    assert abs(mark.index("▲") - label.index("0.5")) <= 2
    assert all(len(line) <= 80 for line in lines)


def test_a_curve_fits_the_terminal_however_many_values_there_are() -> None:
    run = material({"prompt": [f"a lake of number {number}" for number in range(60)]})
    found = measured(run, {(value,): measures(0.5) for value in run.axes[0].values})

    assert all(len(line) <= 60 for line in curve(suggest(run, found, run.axes[0]), width=60))
