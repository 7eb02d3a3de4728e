"""Run folders held against what is expected of their jobs: what is measured, what is missing, what was changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.check.results import CheckedRun, Outcome
from comfy_runner.config import Config
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.expect import Expect
from comfy_runner.gates import measured
from comfy_runner.gates.check_folder import check_folder
from tests.report.support import make_run, photo

_TWO = {"upscale.denoise": [0.4, 0.8]}
"""Of the photographs of these, the first drifts hardly and the second very much."""


def _check(folder: Path, **given: Any) -> CheckedRun:
    return check_folder(folder, None, config=Config(), **given)


def _run(folder: Path, expect: Mapping[str, Any], axes: Mapping[str, list[Any]] = _TWO, **given: Any) -> Path:
    return make_run(folder / "lake", axes, photo, recipe={"expect": expect}, **given)


def _failures(checked: CheckedRun) -> list[tuple[str, str]]:
    return [(job.job_id, found.message) for job in checked.jobs for found in job.failures]


def test_metrics_are_held_against_their_limits(tmp_path: Path) -> None:
    checked = _check(_run(tmp_path, {"drift": {"max": 0.3}, "detail": {"min": 0.01}}))

    first, second = checked.jobs
    assert (first.outcome, first.exit_code, second.outcome, second.exit_code) == (Outcome.PASSED, 0, Outcome.FAILED, 4)
    (found,) = second.failures
    assert (found.check, found.job_id, found.role, found.limit) == ("drift", "lake-d08", "upscaled", 0.3)
    assert found.measured == second.metrics["drift"]
    assert found.where.endswith("lake/lake-d08/job.json")
    assert checked.finished


def test_nothing_is_measured_where_no_metric_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(measured, "measure_all")

    checked = _check(_run(tmp_path, {"seconds": {"max": 2}, "outputs": {"min": 3, "max": 3}}))

    assert _failures(checked)[:2] == [
        ("lake-d04", "outputs 2, at least 3 expected"),
        ("lake-d04", "seconds 2.5, at most 2 expected"),
    ]


def test_a_metric_that_cannot_be_measured_has_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(tmp_path, {"drift": {"max": 0.3}, "vetoes": {"max": 0}}, {"seed": [1]})
    monkeypatch.setattr(measured, "can_measure", lambda: False)

    assert [what.partition(" is not")[0] for _, what in _failures(_check(run))] == [
        "drift could not be measured: numpy",
        "vetoes could not be measured: numpy",
    ]


def test_a_file_that_was_changed_or_removed_is_told_whatever_is_expected(tmp_path: Path) -> None:
    run = _run(tmp_path, {})
    cut = run / "lake-d04" / "upscaled.png"
    cut.write_bytes(cut.read_bytes()[:-100])
    (run / "lake-d08" / "original.png").unlink()

    checked = _check(run)

    assert _failures(checked) == [
        ("lake-d04", "lake-d04/upscaled.png has changed since it was collected"),
        ("lake-d08", "lake-d08/original.png is gone"),
    ]
    assert checked.notes == ("nothing is expected of these jobs except that they are done: set limits under expect in a recipe",)


def test_a_job_that_has_failed_could_not_be_done_and_is_not_judged(tmp_path: Path) -> None:
    checked = _check(_run(tmp_path, {"outputs": {"min": 9}}, failed=["lake-d08"]))

    job = checked.jobs[1]
    assert (job.outcome, job.problem, job.exit_code, job.findings) == (Outcome.ERROR, "out of memory", 1, ())


def test_sizes_are_those_of_every_picture_but_the_original(tmp_path: Path) -> None:
    checked = _check(_run(tmp_path, {"width": {"min": 200}, "height": {"max": 100}, "bytes": {"min": 10}}, {"seed": [1]}))

    assert _failures(checked) == [("lake-s1", "height 144, at most 100 expected")]
    assert {found.role for found in checked.jobs[0].findings if found.check == "width"} == {"upscaled"}


def test_seeds_that_change_nothing_are_told_where_that_is_expected(tmp_path: Path) -> None:
    def alike(values: Mapping[str, Any]) -> Any:
        return photo({**values, "seed": 1 if values["seed"] < 3 else 3})

    run = make_run(tmp_path / "lake", {"seed": [1, 2, 3]}, alike, recipe={"expect": {"distinct": True}})

    assert _failures(_check(run)) == [("lake-s2", "has the same pixels as lake-s1, which differs only in seeds")]


def test_passes_are_counted_for_all_jobs_of_a_recipe(tmp_path: Path) -> None:
    checked = _check(_run(tmp_path, {"passes": {"first": {"max": 1}, "second": {"max": 0}, "loads": {"max": 0}}}))

    # The graph of these sidecars is a single sampler.
    assert [found.message for found in checked.failures] == ["lake: first passes 2, at most 1 expected"]
    assert all(job.outcome is Outcome.PASSED for job in checked.jobs)


def test_passes_that_cannot_be_counted_have_not_passed(tmp_path: Path) -> None:
    run = _run(tmp_path, {"passes": {"first": {"max": 9}}})
    sidecar = run / "lake-d08" / "job.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text(encoding="utf-8")), "workflow": {"a": 3}}), encoding="utf-8")

    (found,) = _check(run).failures

    assert found.message.startswith("lake: first passes could not be measured: lake-d08")


def test_a_job_of_which_nobody_knows_what_was_expected_has_not_passed(tmp_path: Path) -> None:
    run = _run(tmp_path, {}, {"seed": [1, 2, 3, 4]})
    (run / "lake-s1" / "job.json").unlink()
    (run / "lake-s2" / "job.json").write_text("{", encoding="utf-8")
    sidecar = run / "lake-s3" / "job.json"
    values = json.loads(sidecar.read_text(encoding="utf-8"))
    sidecar.write_text(json.dumps({**values, "recipe": {"expect": {"lpips": {"max": 1}}}}), encoding="utf-8")

    checked = _check(run)

    assert _failures(checked) == [
        ("lake-s1", "lake-s1/job.json is gone"),
        ("lake-s2", "lake-s2/job.json: is damaged"),
        ("lake-s3", "lake-s3/job.json: its expectations cannot be understood (expect.lpips: unknown field)"),
    ]
    assert checked.jobs[3].outcome is Outcome.PASSED


def test_jobs_are_chosen_by_patterns(tmp_path: Path) -> None:
    run = _run(tmp_path, {})

    assert [job.job_id for job in _check(run, only=["*-d08"]).jobs] == ["lake-d08"]
    assert [job.job_id for job in _check(run, skip=["*-d08"]).jobs] == ["lake-d04"]
    with pytest.raises(UsageError, match="--only"):
        _check(run, only=["*-d09"])


def test_a_folder_that_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError):
        _check(tmp_path)


def test_what_is_expected_is_what_is_said_not_what_was(tmp_path: Path) -> None:
    config = Config(expect=Expect.model_validate({"seconds": {"max": 1}}))

    checked = check_folder(_run(tmp_path, {"seconds": {"max": 9}}, {"seed": [1]}), None, config=config)

    assert _failures(checked) == []
