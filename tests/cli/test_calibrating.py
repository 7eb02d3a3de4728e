"""``suggest --calibrate``, typed as a user types it: what it says, that it keeps nothing unasked, and where kept limits count."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfy_runner.cli.run import _report
from comfy_runner.report.measure_run import measure_all
from comfy_runner.report.picks import FILE
from comfy_runner.report.run_data import read_material
from comfy_runner.report.suggest import Limits
from comfy_runner.running.events import JobResult
from tests.cli.support import Typed
from tests.report.simulated_users import with_limits
from tests.report.strengths import painted
from tests.report.support import make_run

AXES: dict[str, list[Any]] = {"seed": [0, 1, 2, 4, 7], "upscale.denoise": [0.3, 0.5, 0.7, 0.9]}


def _photo(values: Mapping[str, Any]) -> dict[str, Image.Image]:
    original, (upscaled,) = painted(values["seed"], [values["upscale.denoise"]], size=(64, 48))
    return {"original": Image.fromarray(original), "upscaled": Image.fromarray(upscaled)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with what somebody says of its pictures who likes them nearer to the original than the usual limits have them."""
    run = make_run(tmp_path_factory.mktemp("made") / "lake", AXES, _photo)
    measured, _ = measure_all(read_material(run))
    strict = with_limits(Limits(drift=0.02, local_drift=0.08))
    rng = np.random.default_rng(1)
    pairs: list[dict[str, str]] = []
    likes = {name: strict(one.measures) for name, one in measured.items() if one.measures and not one.measures.vetoes}
    while len(pairs) < 80:
        left, right = rng.choice([*likes], 2, replace=False)
        if measured[left].original == measured[right].original:
            pairs.append({"left": left, "right": right, "better": "left" if likes[left] > likes[right] else "right"})
    (run / FILE).write_text(json.dumps({"format": 1, "pairs": pairs}), encoding="utf-8")
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "lake"))


@pytest.fixture
def settled(cli: Callable[..., Typed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Typed]:
    """The command, with a folder of settings."""
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", str(tmp_path / "settings.yaml"))
    (tmp_path / "settings.yaml").touch()
    return cli


def test_it_says_what_it_would_keep_and_keeps_nothing(settled: Callable[..., Typed], run: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = settled("suggest", "--calibrate", "lake")

    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines() if line][1:4] == ["drift", "local", "colour"]
    assert "80 pairs (80 compared) of 5 originals, which count as 80" in done.out
    assert "of originals left out, the usual limits order" in done.out
    assert "nothing is kept; --keep would keep it" in done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert run.is_dir()


def test_kept_limits_count_from_then_on_and_everything_says_so(settled: Callable[..., Typed], run: Path, tmp_path: Path) -> None:
    usual = json.loads(settled("suggest", "lake", "--json").out)
    kept = settled("suggest", "--calibrate", "--keep", "lake")
    mine = settled("suggest", "lake", "--json")
    told, note = json.loads(mine.out), "note: limits calibrated by your own picks: drift at most 0."

    assert kept.code == 0, kept.err
    assert kept.err.endswith("kept in calibrations.json: suggest, report and find use it from now on\n")
    assert usual["limits"]["calibration"] == ""
    assert told["limits"]["calibration"] == "*"
    assert told["chosen"] < usual["chosen"]
    assert mine.err.startswith(note)
    assert json.loads(settled("suggest", "lake", "--json", "--no-calibration").out) == usual
    explicit = json.loads(settled("suggest", "lake", "--json", "--max-drift", "0.3").out)["limits"]
    assert (explicit["drift"], explicit["local_drift"]) == (0.3, told["limits"]["local_drift"])
    assert settled("report", "lake").err.startswith(note)
    assert "limits calibrated by your own picks" in (run / "report.html").read_text(encoding="utf-8")
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))["limits"] == told["limits"]
    assert (tmp_path / "calibrations.json").is_file()


@pytest.mark.usefixtures("run")
def test_what_is_kept_for_other_checkpoints_does_not_count(settled: Callable[..., Typed]) -> None:
    settled("suggest", "--calibrate", "--keep", "--models", "*xl*", "lake")

    assert settled("suggest", "lake").err == ""


def test_the_report_at_the_end_of_a_run_takes_kept_limits_and_says_so(
    settled: Callable[..., Typed], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settled("suggest", "--calibrate", "--keep", "lake")
    results = [JobResult("lake-s0-d03", "done", {"upscaled": (run / "lake-s0-d03" / "upscaled.png",)})]

    # The second time the report already exists.
    for expected in ("note: limits calibrated by your own picks", ""):
        assert _report(Path("lake"), results, 0, quiet=False) == (Path("lake/report.html"), 0)
        assert capsys.readouterr().err.startswith(expected)
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))["limits"]["calibration"] == "*"


def test_several_runs_are_one_calibration_and_json_says_all_of_it(settled: Callable[..., Typed], run: Path) -> None:
    shutil.copytree(run, run.with_name("other"))
    told = json.loads(settled("suggest", "--calibrate", "lake", "other", "--json").out)

    assert (told["compared"], told["implied"], told["originals"], told["runs"]) == (160, 0, 5, ["lake", "other"])
    assert told["usual"]["drift"] == 0.3
    assert told["limits"]["drift"] < 0.1
    assert told["agreement"] > told["usual_agreement"]
    assert (told["kept"], told["problem"]) == (None, "")
    assert set(told["ranges"]) == {"drift", "local_drift", "colour_shift", "drift_cost"}


def test_too_few_pairs_are_told_and_never_kept(settled: Callable[..., Typed], run: Path, tmp_path: Path) -> None:
    stars = {"lake-s1-d03": {"stars": 5}, "lake-s1-d07": {"stars": 1}, "gone": {"stars": 2}}
    (run / FILE).write_text(json.dumps({"format": 1, "picks": stars}), encoding="utf-8")
    done = settled("suggest", "--calibrate", "lake")
    kept = settled("suggest", "--calibrate", "--keep", "lake")

    assert done.code == 0
    assert "1 pair (1 by their stars) of 1 original, which count as 1" in done.out
    assert done.err == (
        "warning: lake/picks.json: left out 1 picture that this run does not have: gone\n"
        "warning: 1 pair says too little: you need about 40\n"
    )
    assert kept.code == 4
    assert "error: the calibration is not kept: 1 pair says too little" in kept.err
    assert not (tmp_path / "calibrations.json").exists()


@pytest.mark.parametrize(
    ("given", "code", "error"),
    [
        (["--calibrate", "lake", "--max-drift", "0.3"], 2, "--calibrate finds the limits"),
        (["lake", "lake"], 2, "several RUNs, --keep and --models need --calibrate"),
        (["lake", "--keep"], 2, "several RUNs, --keep and --models need --calibrate"),
        (["--calibrate", "lake", "--models", "*xl*"], 2, "hint: add --keep"),
        (["--calibrate", "--keep", "lake", "--models", ""], 2, "--models: must be a pattern of checkpoints"),
        (["--calibrate", "nowhere"], 5, "nowhere: no such run folder"),
    ],
)
@pytest.mark.usefixtures("run")
def test_mistakes_are_told(settled: Callable[..., Typed], given: list[str], code: int, error: str) -> None:
    done = settled("suggest", *given)

    assert done.code == code, done.err
    assert error in done.err


@pytest.mark.parametrize(
    ("picks", "error"),
    [
        (None, "error: lake: has no picks.json, which would say which pictures are better"),
        ({"format": 1}, "error: lake/picks.json: it does not rank any two pictures of one original"),
        (
            {"format": 1, "picks": {"a": {"stars": 0}}},
            "error: lake/picks.json: picks.a.stars: should be greater than or equal to 1",
        ),
    ],
)
def test_picks_that_say_nothing_are_told(settled: Callable[..., Typed], run: Path, picks: object, error: str) -> None:
    (run / FILE).unlink()
    if picks is not None:
        (run / FILE).write_text(json.dumps(picks), encoding="utf-8")
    done = settled("suggest", "--calibrate", "lake")

    assert done.code == 2
    assert done.err.startswith(error)


def test_the_schema_of_picks_is_printed(settled: Callable[..., Typed]) -> None:
    assert json.loads(settled("schema", "picks").out)["title"] == "comfy_runner picks"
    assert json.loads(settled("schema").out)["title"] == "comfy_runner recipe"


def test_without_scipy_the_extra_is_named(cli: Callable[..., Typed], made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)

    done = cli("suggest", "--calibrate", str(made))

    assert (done.code, done.out) == (2, "")
    assert done.err == "error: calibrating needs scipy, which is not installed\nhint: pip install 'comfy-runner[picks]'\n"
