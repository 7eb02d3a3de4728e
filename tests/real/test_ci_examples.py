"""The examples for CI systems, run as they stand in empty folders, on the engine that they set up and start themselves.

Two things are not as there: the line that installs the package is replaced (`tests.ci_systems`), and the engine is in the cache
already, as after a first run. Other people's actions, which check out, cache, upload and publish, do not run. The workflow renders
the quickstart that its file names; the others are given a smaller recipe, as their users give them theirs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from junitparser import JUnitXml

from comfy_runner.engine.local import InstalledEngine, LocalOptions
from tests.ci_systems import ScriptStep, github_scripts, gitlab_scripts, run_scripts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_Ran = dict[str, tuple[int, str]]
_SMALL = """\
extends: quickstart
name: lake
seed: 7
size: {width: 128, height: 72}
sampler: {steps: 4}
"""


@pytest.fixture
def restore(local_options: LocalOptions, local_engine: InstalledEngine) -> Callable[[Path], None]:
    """Put the engine into a cache, as links; its servers are those of whoever has the cache."""
    assert local_engine.managed

    def restored(home: Path) -> None:
        home.mkdir(parents=True)
        for part in local_options.root.iterdir():
            if part.name not in ("instances", "tmp", "setup.lock", "setup.log"):
                (home / part.name).symlink_to(part)

    return restored


@pytest.fixture
def pipeline(restore: Callable[[Path], None], tmp_path: Path) -> Iterator[Callable[..., _Ran]]:
    """Run scripts in a folder with the variables of a CI system; the servers that they leave are stopped in the end."""
    home = tmp_path / "home"
    restore(home / ".cache" / "comfy-runner" / "local")
    plain = {name: os.environ[name] for name in ("LANG", "TMPDIR", "OMP_NUM_THREADS") if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    used: list[dict[str, str]] = []

    def run(steps: Iterable[ScriptStep], folder: Path, **given: str) -> _Ran:
        folder.mkdir(exist_ok=True)
        used.append({**plain, "PATH": path, "HOME": str(home), "CI": "true", **given})
        return run_scripts(steps, folder, used[-1])

    yield run
    for environment in used:
        subprocess.run([sys.executable, "-m", "comfy_runner", "local", "stop"], env=environment, check=False, capture_output=True)


def _github(folder: Path) -> dict[str, str]:
    files = {"GITHUB_OUTPUT": folder / "outputs", "GITHUB_STEP_SUMMARY": folder / "summary.md"}
    return {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(folder), **{name: str(path) for name, path in files.items()}}


def _codes(ran: _Ran) -> list[int]:
    return [code for code, _ in ran.values()]


def _cases(file: Path) -> dict[str, str]:
    """Return what became of each case: empty where it is as expected."""
    return {
        case.name: " ".join(type(each).__name__ for each in case.result) for suite in JUnitXml.fromfile(str(file)) for case in suite
    }


def _has_pictures(report: Path) -> bool:
    return len(re.findall(r'<script type="image/[a-z]+" id="picture-', report.read_text(encoding="utf-8"))) >= 2


def test_the_workflow_as_it_stands_is_red_until_its_baseline_is_committed_and_then_green(
    pipeline: Callable[..., _Ran], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    red = pipeline(github_scripts("github-workflow.yml"), first, **_github(first))
    # What the artifact has.
    shutil.copytree(first / "baseline", second / "baseline")
    green = pipeline(github_scripts("github-workflow.yml"), second, **_github(second))

    assert _codes(red) == [0, 0, 4, 0, 0], red
    assert "::error" in red["Render and compare"][1]
    assert _cases(first / "results" / "junit.xml") == {"quickstart": "Failure"}
    assert _codes(green) == [0, 0, 0, 0, 0], green
    assert "::error" not in green["Render and compare"][1]
    assert _cases(second / "results" / "junit.xml") == {"quickstart": ""}
    for folder in (first, second):
        assert _has_pictures(folder / "results" / "report.html")
        assert re.fullmatch(r"version=comfy-runner-\d+\.\d+\.\d+\n", (folder / "outputs").read_text(encoding="utf-8"))
        assert "quickstart" in (folder / "summary.md").read_text(encoding="utf-8")
    # Nothing is to be committed where nothing has changed.
    assert _files(second / "baseline") == _files(first / "baseline")


def test_the_pipeline_is_red_until_its_baseline_is_committed_and_then_green(
    pipeline: Callable[..., _Ran], restore: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    cache = folder / ".cache" / "comfyui"
    restore(cache)
    given = {"GITLAB_CI": "true", "CI_PROJECT_DIR": str(folder), "COMFY_RUNNER_LOCAL_HOME": str(cache)}
    (folder / "lake.yaml").write_text(_SMALL, encoding="utf-8")
    scripts = [*gitlab_scripts("gitlab-ci.yml", RECIPES="*.yaml")]

    red = pipeline(scripts, folder, **given)
    for name in ("runs", "results"):
        shutil.move(folder / name, tmp_path / f"first {name}")
    green = pipeline(scripts, folder, **given)

    assert _codes(red) == [4, 0], red
    assert _cases(tmp_path / "first results" / "junit.xml") == {"lake": "Failure"}
    assert (tmp_path / "first results" / "code-quality.json").stat().st_size > 100
    assert _codes(green) == [0, 0], green
    assert _cases(folder / "results" / "junit.xml") == {"lake": ""}
    assert (folder / "results" / "code-quality.json").read_text(encoding="utf-8").strip() == "[]"
    assert _has_pictures(folder / "results" / "report.html")


def test_the_action_finds_a_changed_picture_and_hands_out_what_to_look_at_and_what_to_accept(
    pipeline: Callable[..., _Ran], tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    recipe = folder / "my recipes" / "lake.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(_SMALL, encoding="utf-8")
    inputs = {"recipes": "my*/*.yaml", "out": "runs/my pictures", "results": "my results"}

    uncompared = pipeline(github_scripts("action.yml", **inputs), folder, **_github(folder))
    (folder / "baseline").rename(folder / "wanted")
    recipe.write_text(_SMALL.replace("seed: 7", "seed: 8"), encoding="utf-8")
    changed = pipeline(github_scripts("action.yml", **inputs, baseline="wanted"), folder, **_github(folder))
    accepted = pipeline(github_scripts("action.yml", **inputs, baseline="wanted"), folder, **_github(folder))

    assert _codes(uncompared) == [0, 0, 0, 0, 0], uncompared
    assert _codes(changed) == [0, 0, 4, 0, 0], changed
    assert re.search(r"::error .*file=my recipes/lake.yaml", changed["Render and compare"][1]), changed
    assert _codes(accepted) == [0, 0, 0, 0, 0], accepted
    assert _cases(folder / "my results" / "junit.xml") == {"lake": ""}
    assert _has_pictures(folder / "my results" / "report.html")


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
