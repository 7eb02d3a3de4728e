"""Runs held against a baseline and what recipes expect at once: whose limit counts, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.baseline.folder import read_baseline
from comfy_runner.baseline.update import update_baseline
from comfy_runner.check.results import CheckedRun, Outcome
from comfy_runner.config import Config
from comfy_runner.gates.check_folder import check_folder
from tests.baseline.support import edit, painted, repaint, run_of


def _checked(folder: Path, **given: Any) -> CheckedRun:
    """Check a run of which a picture has a red mark that the baseline's has not."""
    run = run_of(folder / "run", {"seed": [1, 2]}, **given)
    update_baseline(run, folder / "base")
    repaint(run, "lake-s2", "upscaled", painted(run, "lake-s2"))
    return check_folder(run, None, config=Config(), baseline=read_baseline(folder / "base"))


@pytest.mark.parametrize(("expect", "outcome"), [({}, Outcome.FAILED), ({"similarity": {"min": 0.0}}, Outcome.PASSED)])
def test_the_recipes_limit_counts_where_there_is_one(tmp_path: Path, expect: dict[str, Any], outcome: Outcome) -> None:
    first, second = _checked(tmp_path, recipe={"expect": expect}).jobs

    assert (first.outcome, first.metrics["similarity"]) == (Outcome.PASSED, 1.0)
    # That the file has changed since it was collected is another matter.
    assert second.metrics["similarity"] < 0.95
    assert {found.passed for found in second.findings if found.check == "baseline"} == {True, outcome is Outcome.PASSED}


def test_the_place_of_the_limit_is_told(tmp_path: Path) -> None:
    checked = _checked(tmp_path, recipe={"expect": {"similarity": {"min": 0.9}}})

    (found,) = [found for found in checked.jobs[1].failures if found.check == "baseline"]
    assert (found.limit, found.where) == (0.9, str(tmp_path / "run" / "lake-s2" / "job.json"))
    assert checked.baseline == tmp_path / "base"


def test_a_job_that_is_not_done_is_an_error_whatever_the_baseline_says(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    update_baseline(run, tmp_path / "base")
    run = run_of(tmp_path / "worse", failed=["lake-s2"])

    checked = check_folder(run, None, config=Config(), baseline=read_baseline(tmp_path / "base"))

    assert [job.outcome for job in checked.jobs] == [Outcome.PASSED, Outcome.ERROR]
    assert checked.jobs[1].comparisons == ()
    assert checked.orphans == ()


def test_similarity_without_a_baseline_is_said_to_be_of_no_use(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", recipe={"expect": {"similarity": {"min": 0.9}}})

    assert "name one with --baseline" in check_folder(run, None, config=Config()).notes[0]


@pytest.mark.parametrize(("cached", "told"), [(["lake-s1", "lake-s2"], True), (["lake-s1"], False)])
def test_pictures_that_all_came_from_a_cache_prove_nothing_and_it_is_said(tmp_path: Path, cached: list[str], told: bool) -> None:
    run = run_of(tmp_path / "run", {"seed": [1, 2]})
    update_baseline(run, tmp_path / "base")
    for job_id in cached:
        edit(run, job_id, lambda sidecar: sidecar.update(cached_nodes=[*sidecar["workflow"]]))

    notes = check_folder(run, None, config=Config(), baseline=read_baseline(tmp_path / "base")).notes

    assert any("all of these pictures came from the server's cache" in note for note in notes) is told
    assert not any("cache" in note for note in check_folder(run, None, config=Config()).notes)
