"""What is expected of jobs and where that stands: recipes with their sweeps, settings beneath them, sidecars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.check.expected import expected_in, expected_of
from comfy_runner.config import Config, load_config
from comfy_runner.errors import RecipeError, RunFolderError, UsageError
from comfy_runner.expect import CountLimit, Limit
from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.sidecar import Sidecar
from tests.report.support import make_run, photo

_RECIPE = """\
name: fox
checkpoint: tiny.safetensors
prompt: a fox
expect:
  drift: {max: 0.3}
  detail:
    min: 0.1
"""


@pytest.fixture
def fox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fox.yaml"
    path.write_text(_RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    path = tmp_path / "settings.yaml"
    path.write_text("server: local\nexpect:\n  drift: {max: 0.9}\n  seconds: {max: 60}\n", encoding="utf-8")
    return load_config({"COMFY_RUNNER_CONFIG": str(path)})


def test_each_limit_has_its_line(fox: Path) -> None:
    found = expected_of(expand(load(fox)), Config())["fox"]

    assert (found.recipe, found.file, found.line) == ("fox", "fox.yaml", 4)
    assert found.place("drift.max") == "fox.yaml:5"
    assert found.place("detail.min") == "fox.yaml:7"


def test_the_settings_lie_beneath_a_recipe(fox: Path, settings: Config) -> None:
    found = expected_of(expand(load(fox)), settings)["fox"]

    assert (found.expect.drift, found.expect.seconds) == (Limit(max=0.3), Limit(max=60))
    assert found.place("seconds.max") == "settings.yaml:4"
    assert found.place("drift.max") == "fox.yaml:5"


def test_overrides_and_sweeps_are_places_too(fox: Path) -> None:
    loaded = load(fox, sets=["expect.outputs.min=2"], sweeps=["expect.drift.max=0.1,0.2"])
    found = expected_of(expand(loaded), Config())

    assert [each.expect.drift for each in found.values()] == [Limit(max=0.1), Limit(max=0.2)]
    assert list(found) == [each.job_id for each in found.values()] == ["fox-expect-drift-max0p1", "fox-expect-drift-max0p2"]
    one = found["fox-expect-drift-max0p2"]
    assert one.expect.outputs == CountLimit(min=2)
    assert (one.place("outputs.min"), one.place("detail.min")) == ("--set expect.outputs.min", "fox.yaml:7")
    assert one.place("drift.max") == "--sweep expect.drift.max"


def test_single_points_of_a_sweep_can_have_limits_of_their_own(fox: Path) -> None:
    sweep = "sweep:\n  zip: {seed: [1, 2], expect.drift.max: [0.1, 0.2]}\n  include:\n  - {seed: 3, expect.drift: {max: 0.7}}\n"
    fox.write_text(_RECIPE + sweep, encoding="utf-8")

    found = expected_of(expand(load(fox)), Config())

    assert [each.expect.drift for each in found.values()] == [Limit(max=0.1), Limit(max=0.2), Limit(max=0.7)]
    assert next(iter(found.values())).place("drift.max") == "fox.yaml:9"


def test_a_recipe_that_expects_nothing_stands_for_its_jobs_by_its_first_line(fox: Path) -> None:
    fox.write_text("name: fox\nsweep: {seed: [1, 2]}\n", encoding="utf-8")

    found = expected_of(expand(load(fox)), Config())

    assert {(each.file, each.line) for each in found.values()} == {("fox.yaml", 1)}
    assert not any(each.expect.model_fields_set for each in found.values())


def test_a_recipe_of_python_code_has_no_file() -> None:
    found = expected_of(expand(from_mapping({"name": "fox", "expect": {"drift": {"max": 1}}})), Config())["fox"]

    assert (found.file, found.line, found.place("drift.max")) == ("", 0, "recipe: expect.drift.max")


@pytest.mark.parametrize(
    ("given", "what", "hint"),
    [
        ("expect.drft.max=0.1", "--set expect.drft: unknown field", "did you mean expect.drift?"),
        ("expect.drift=0.1", "--set expect.drift: must be a mapping with max, min or both (got 0.1)", "write {max: 0.3}"),
        ("expect.flat=false", "--set expect.flat: unknown field", "did you mean expect.vetoes?"),
        ("expect.xyzzy=1", "--set expect.xyzzy: unknown field", "the fields here are"),
    ],
)
def test_a_mistake_is_told_at_its_place(fox: Path, given: str, what: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(fox, sets=[given])

    assert str(caught.value) == what
    assert caught.value.problems[0].hint.startswith(hint)


@pytest.mark.parametrize("field", ["expect", "expect.passes", "expect.passes.first.max"])
def test_passes_are_of_all_jobs_so_they_cannot_be_swept(fox: Path, field: str) -> None:
    with pytest.raises(UsageError, match="cannot be swept"):
        load(fox, sweeps=[f"{field}=[1, 2]"])


def test_what_a_sidecar_says_is_taken_with_the_settings_beneath(sidecar: Sidecar, settings: Config, tmp_path: Path) -> None:
    found = expected_in(sidecar, settings, where="lake/lake/job.json")

    assert (found.expect.drift, found.expect.seconds) == (Limit(max=0.25), Limit(max=60))
    assert (found.place("drift.max"), found.place("seconds.max")) == ("lake/lake/job.json", f"{tmp_path}/settings.yaml:4")


@pytest.mark.parametrize("given", [{"drift": {"max": "x"}}, {"lpips": {"max": 1}}, [], 3, "drift"])
def test_a_sidecar_that_makes_no_sense_is_refused(sidecar: Sidecar, given: object) -> None:
    with pytest.raises(RunFolderError, match=r"job\.json: its expectations cannot be understood"):
        expected_in(replace(sidecar, recipe={**sidecar.recipe, "expect": given}), Config(), where="job.json")


@pytest.fixture
def sidecar(tmp_path: Path) -> Sidecar:
    run = make_run(tmp_path / "lake", {"seed": [1]}, photo, recipe={"expect": {"drift": {"max": 0.25}}})
    found = FolderView(run).sidecar("lake-s1")
    assert found is not None
    return found
