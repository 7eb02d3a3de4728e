"""Calibrations that the user keeps: for which checkpoints they count, and that a damaged file is told rather than passed over."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import ConfigError, UsageError, VerificationError
from comfy_runner.report.calibrations import (
    Calibration,
    checkpoints_of,
    keep_calibration,
    limits_kept_for,
    outdated_note,
    told_limits,
)
from comfy_runner.report.run_data import read_material
from comfy_runner.report.suggest import Limits
from tests.report.support import make_run, photo
from tests.sources import FILES, PACKAGE, nodes

MINE = Limits(drift=0.12, local_drift=0.4, colour_shift=3.0, drift_cost=0.5)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", str(tmp_path / "settings" / "config.yaml"))
    return tmp_path / "settings" / "calibrations.json"


def calibration(**changes: Any) -> Calibration:
    usual: dict[str, Any] = {"limits": MINE, "ranges": {}, "compared": 60, "implied": 0, "opinions": 60.0, "originals": 6}
    usual |= {"usual_agreement": 0.6, "agreement": 0.8, "problem": ""}
    return Calibration(**{**usual, **changes})


def named(*names: str) -> Callable[[], Iterable[str]]:
    return lambda: names


def test_nothing_is_kept_unasked_and_the_usual_limits_hold(file: Path) -> None:
    def never() -> Iterable[str]:
        raise AssertionError

    assert limits_kept_for(never) == Limits()
    assert not file.exists()


def test_what_is_kept_is_found_again_and_says_so(file: Path) -> None:
    assert keep_calibration(calibration()) == file

    found = limits_kept_for(named("anything.safetensors"))
    assert found == Limits(drift=0.12, local_drift=0.4, colour_shift=3.0, drift_cost=0.5, calibration="*")
    assert told_limits(found) == (
        "limits calibrated by your own picks: drift at most 0.12, local drift at most 0.4, colour shift at most 3, "
        "each drift of 0.1 costs 0.05 of detail (--no-calibration: the usual ones)"
    )
    assert told_limits(Limits()) == ""
    assert outdated_note() == ""


def test_the_longest_pattern_that_all_checkpoints_match_counts() -> None:
    for pattern, drift in (("*", 0.1), ("*xl*", 0.2), ("*xl*turbo*", 0.3)):
        keep_calibration(calibration(limits=Limits(drift=drift)), pattern)

    wanted = {
        ("SDXL/base.safetensors",): 0.2,
        ("sdxl-turbo.safetensors",): 0.3,
        ("sd15.ckpt",): 0.1,
        ("sdxl.safetensors", "sdxl-turbo.safetensors"): 0.2,
        ("sdxl.safetensors", "sd15.ckpt"): 0.1,
    }
    assert {names: limits_kept_for(named(*names)).drift for names in wanted} == wanted


def test_a_pattern_that_nothing_matches_leaves_the_usual_limits() -> None:
    keep_calibration(calibration(), "*xl*")

    assert limits_kept_for(named("sd15.ckpt")) == Limits()


def test_the_same_pattern_again_replaces_what_was_kept(file: Path) -> None:
    keep_calibration(calibration(), "*XL*")
    keep_calibration(calibration(limits=Limits(drift=0.2)), "*xl*")

    (kept,) = json.loads(file.read_text(encoding="utf-8"))["calibrations"]
    assert (kept["checkpoints"], kept["drift"], kept["opinions"]) == ("*xl*", 0.2, 60.0)


def test_what_predicts_no_better_is_not_kept(file: Path) -> None:
    with pytest.raises(VerificationError, match="not kept: 12 pairs"):
        keep_calibration(calibration(problem="12 pairs say too little: you need about 40"))
    assert not file.exists()


def test_what_decides_whether_a_run_passes_knows_nothing_of_calibrations() -> None:
    judges = [path for path in FILES if path.relative_to(PACKAGE).parts[0] in ("baseline", "bisecting", "check", "gates")]
    named = {alias.name for path in judges for node in nodes(path) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert len(judges) > 20
    assert not named & {"limits_kept_for", "kept_limits", "calibrations", "calibrations_file"}


@pytest.mark.parametrize("pattern", ["", " ", "a\nb", "x" * 501])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="--models"):
        keep_calibration(calibration(), pattern)


def test_one_that_was_made_with_other_metrics_does_not_count(file: Path) -> None:
    keep_calibration(calibration())
    told = json.loads(file.read_text(encoding="utf-8"))
    told["calibrations"][0]["metrics"] += 1
    file.write_text(json.dumps(told), encoding="utf-8")

    assert limits_kept_for(named("a")) == Limits()
    assert outdated_note() == (
        "1 calibration does not count, because it was made with other metrics (*): "
        "calibrate again: comfy-runner suggest --calibrate"
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"format": 2}', b'{"format": 1, "calibrations": [{"checkpoints": "*"}]}', b"\xff", b"[" * 100_000],
)
def test_a_damaged_file_is_told(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"calibrations\.json: is damaged"):
        limits_kept_for(named("a"))


@pytest.mark.parametrize("drift", ["-1", "0", "1e999", "NaN", '"0.3"'])
def test_limits_that_are_none_are_refused(file: Path, drift: str) -> None:
    keep_calibration(calibration())
    file.write_text(file.read_text(encoding="utf-8").replace('"drift": 0.12', f'"drift": {drift}'), encoding="utf-8")

    with pytest.raises(ConfigError, match=r"damaged \(calibrations\.0\.drift"):
        limits_kept_for(named("a"))


def test_without_a_place_for_settings_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", os.devnull)

    assert limits_kept_for(named("a")) == Limits()
    with pytest.raises(ConfigError, match="no config folder"):
        keep_calibration(calibration())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("in the way", encoding="utf-8")

    with pytest.raises(ConfigError, match="cannot be"):
        keep_calibration(calibration())


def test_the_checkpoints_of_a_run_are_those_of_its_recipes_or_of_its_sweep(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", {"upscale.denoise": [0.4, 0.5]}, photo)
    swept = make_run(tmp_path / "swept", {"checkpoint": ["a.ckpt", "b.ckpt"]}, photo)

    assert checkpoints_of(read_material(one)) == ["tiny.safetensors"]
    assert checkpoints_of(read_material(swept)) == ["a.ckpt", "b.ckpt"]
