"""Checks by their function in Python: of a run that has ended, of a folder, with recipes of today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfy_runner import CheckedRun, Outcome, check_run
from comfy_runner.config import Config
from comfy_runner.errors import RecipeError, UsageError
from tests.running.support import begin, small, sweep
from tests.standin import StandIn


def _outcomes(checked: CheckedRun) -> dict[str, Outcome]:
    return {job.job_id: job.outcome for job in checked.jobs}


def test_a_run_knows_what_was_expected_of_it(server: StandIn, tmp_path: Path) -> None:
    rendering = begin(server, tmp_path, sweep({"seed": [1, 2]}, expect={"outputs": {"min": 3}}), only=["*-s2"])
    rendering.results()

    assert _outcomes(check_run(rendering, config=Config())) == {"lake-s2": Outcome.FAILED}
    assert _outcomes(check_run(rendering, [small(name="lake-s2")], config=Config())) == {"lake-s2": Outcome.PASSED}


def test_of_several_recipes_in_one_folder_each_is_held_against_its_own(server: StandIn, tmp_path: Path) -> None:
    one, other = small(name="a", expect={"outputs": {"min": 3}}), small(name="b", seed=2)
    begin(server, tmp_path, one, other).results()

    assert _outcomes(check_run(tmp_path, config=Config())) == {"a": Outcome.FAILED, "b": Outcome.PASSED}
    assert _outcomes(check_run(tmp_path, [other], config=Config())) == {"b": Outcome.PASSED}


def test_passes_of_several_recipes_are_counted_each_for_itself(server: StandIn, tmp_path: Path) -> None:
    one = sweep({"upscale.denoise": [0.4, 0.5]}, name="a", expect={"passes": {"first": {"max": 1}, "second": {"max": 2}}})
    other = sweep({"seed": [2, 3]}, name="b", expect={"passes": {"first": {"max": 1}, "second": {"max": 2}}})
    begin(server, tmp_path, one, other).results()

    found = {each.message: each.measured for each in check_run(tmp_path, config=Config()).failures}

    assert found == {"b: first passes 2, at most 1 expected": 2}


def test_the_report_learns_what_was_found_wrong(server: StandIn, tmp_path: Path) -> None:
    begin(server, tmp_path, small(expect={"outputs": {"min": 3}})).results()

    check_run(tmp_path, config=Config())

    kept = json.loads((tmp_path / "report_files" / "checked.json").read_text(encoding="utf-8"))
    assert kept["lake"]["what"] == [["", "outputs 2, at least 3 expected"]]


def test_overrides_need_a_recipe_and_a_recipe_has_to_be_right(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="overrides change recipes"):
        check_run(tmp_path, sets=["expect.drift.max=1"], config=Config())
    with pytest.raises(RecipeError, match=r"expect\.drft: unknown field"):
        check_run(tmp_path, [small(expect={"drft": {"max": 1}})], config=Config())
