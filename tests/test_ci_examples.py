"""The examples for CI systems as files: what those systems say such files have to be like, and that all do the same.

That they work is tried in ``tests/real/test_ci_examples.py``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.ci_systems import EXAMPLES, INSTALL, example, github_scripts, github_steps, gitlab_scripts

_SCHEMAS = {"github-workflow.yml": "github-workflows", "action.yml": "github-actions", "gitlab-ci.yml": "gitlab-ci"}
_SPOILT = {
    "github-workflow.yml": ("runs-on:", "runs_on:"),
    "action.yml": ("using:", "use:"),
    "gitlab-ci.yml": ("always", "allways"),
}
_GITHUB = ["github-workflow.yml", "action.yml"]
_ROOT = Path(__file__).parents[1]
_OURS = _ROOT / ".github" / "workflows" / "tests.yml"


def _refused(schema: str, file: Path) -> str:
    """Return what is wrong with a file by a published schema; empty where nothing is."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode in (0, 1)
    return done.stdout + done.stderr if done.returncode else ""


def test_every_example_has_a_schema() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == set(_SCHEMAS)


@pytest.mark.slow
@pytest.mark.parametrize("name", _SCHEMAS)
def test_each_is_right_by_the_published_schema_and_would_not_be_with_a_misspelt_word(name: str, tmp_path: Path) -> None:
    right, wrong = _SPOILT[name]
    (tmp_path / name).write_text((EXAMPLES / name).read_text(encoding="utf-8").replace(right, wrong), encoding="utf-8")

    assert _refused(_SCHEMAS[name], EXAMPLES / name) == ""
    assert "Schema validation errors" in _refused(_SCHEMAS[name], tmp_path / name)


@pytest.mark.parametrize("name", _SCHEMAS)
def test_each_installs_the_package_by_one_line_which_trying_them_replaces(name: str) -> None:
    assert (EXAMPLES / name).read_text(encoding="utf-8").count(INSTALL) == 1


def _commands(scripts: list[str]) -> list[str]:
    """Return which commands of ours there are, in order."""
    return re.findall(r"comfy-runner ((?:local |baseline )?[a-z]+) ", "\n".join(scripts))


def test_all_do_the_same_in_the_same_order() -> None:
    github = {name: _commands([step.script for step in github_scripts(name)]) for name in _GITHUB}
    gitlab = _commands([step.script for step in gitlab_scripts("gitlab-ci.yml")])

    assert gitlab == ["local setup", "run", "report", "baseline update"]
    assert github == dict.fromkeys(_GITHUB, gitlab)


def test_the_workflow_and_the_action_take_the_same_steps() -> None:
    workflow, action = ([step.get("name", step.get("uses")) for step in github_steps(name)] for name in _GITHUB)

    assert workflow == ["actions/checkout@v6", *action]


@pytest.mark.parametrize("name", _GITHUB)
def test_what_scripts_write_is_kept_and_published_whatever_has_failed(name: str) -> None:
    steps = {step["name"]: step for step in github_steps(name) if "name" in step}
    kept = [
        steps[name] for name in ("Keep the report, which opens in the browser", "Keep the new baseline", "Publish the test results")
    ]
    results, baseline = (
        ("results", "baseline") if "workflow" in name else ("${{ inputs.results }}", "${{ inputs.baseline || 'baseline' }}")
    )

    assert [step["if"] for step in kept] == ["${{ !cancelled() }}"] * 3
    assert [step["with"].get("path", step["with"].get("report_paths")) for step in kept] == [
        *(f"{results}/report.html", baseline, f"{results}/junit.xml"),
    ]
    # Unpacked, so that it can be looked at without a download.
    assert kept[0]["with"]["archive"] is False


@pytest.mark.parametrize("name", _GITHUB)
def test_what_comfyui_is_made_of_is_restored_and_saved_by_one_key_where_the_program_has_it(name: str) -> None:
    steps = {step["name"]: step for step in github_steps(name) if "name" in step}
    restored, saved = steps["Restore ComfyUI"], steps["Save ComfyUI"]

    assert restored["with"]["path"] == saved["with"]["path"] == "~/.cache/comfy-runner"
    assert saved["with"]["key"] == "${{ steps.comfyui.outputs.cache-primary-key }}"
    assert restored["id"] == "comfyui"
    for step in re.findall(r"steps\.(\w+)\.", restored["with"]["key"]):
        assert step in {each.get("id") for each in github_steps(name)}


def test_gitlab_keeps_and_publishes_what_its_scripts_write_and_caches_what_lies_in_the_project() -> None:
    job = example("gitlab-ci.yml")["pictures"]
    scripts = " ".join(step.script for step in gitlab_scripts("gitlab-ci.yml"))

    assert all(path.rstrip("/") in scripts for path in (*job["artifacts"]["paths"][:2], *job["artifacts"]["reports"].values()))
    assert (job["artifacts"]["when"], job["cache"]["when"]) == ("always", "always")
    assert job["variables"]["COMFY_RUNNER_LOCAL_HOME"].startswith(f"$CI_PROJECT_DIR/{job['cache']['paths'][0]}")


def test_what_the_action_is_given_never_becomes_a_part_of_a_script() -> None:
    plain = [step.script for step in github_scripts("action.yml")]

    assert [step.script for step in github_scripts("action.yml", out="$(touch x)", recipes="`touch y`")] == plain


@pytest.mark.slow
def test_the_workflow_of_this_repository_is_right_by_the_published_schema() -> None:
    assert _refused("github-workflows", _OURS) == ""


def test_it_tries_each_system_with_each_python_that_the_package_is_for_on_the_tests_that_need_nothing() -> None:
    job = yaml.safe_load(_OURS.read_text(encoding="utf-8"))["jobs"]["quick"]
    classifiers = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    pythons = [found[1] for each in classifiers if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))]
    chosen = re.findall(r"^NEEDS_NOTHING := (.*)$", (_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert job["strategy"]["matrix"] == {"os": ["ubuntu-latest", "windows-latest", "macos-latest"], "python": pythons}
    assert [f'-m "{chosen[0]}"' in step["run"] for step in job["steps"] if step.get("name") == "Test"] == [True]
