"""What GitHub and GitLab do with the scripts of a pipeline: read them, run them in order, skip what a failure skips."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[1] / "examples" / "ci"

INSTALL = 'pip install "comfy-runner[report]"'
"""The one line that is replaced: the package is installed already, from this checkout."""

_ALWAYS = "${{ !cancelled() }}"
_INPUT = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}")


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """A script of a pipeline.

    Attributes:
        name: What it is called.
        script: What the shell runs.
        always: Whether it runs also after another one has failed.
        environment: Its own variables.
    """

    name: str
    script: str
    always: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def example(name: str) -> dict[str, Any]:
    """Return what an example says."""
    found = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def github_steps(name: str) -> list[dict[str, Any]]:
    """Return all steps of an example for GitHub, those of other people's actions among them."""
    found = example(name)
    steps: list[dict[str, Any]] = (found["jobs"]["pictures"] if "jobs" in found else found["runs"])["steps"]
    return steps


def github_scripts(name: str, **inputs: str) -> Iterator[ScriptStep]:
    """Yield the scripts of a workflow, or of an action with these inputs."""
    found = example(name)
    given = {key: str(each["default"]) for key, each in found.get("inputs", {}).items()} | inputs
    for step in github_steps(name):
        if "run" not in step:
            continue
        # GitHub would paste what an expression gives into the script.
        assert "${{" not in step["run"]
        assert step.get("if", _ALWAYS) == _ALWAYS
        environment = found.get("env", {}) | step.get("env", {})
        filled = {key: _INPUT.sub(lambda match: given[match[1]], value) for key, value in environment.items()}
        yield ScriptStep(step["name"], step["run"], "if" in step, filled)


def gitlab_scripts(name: str, **variables: str) -> Iterator[ScriptStep]:
    """Yield the scripts of a pipeline, with some of its variables changed as its users do.

    What goes before runs in one shell with what it is about, what comes after in its own.
    """
    job = example(name)["pictures"]
    job["variables"] |= variables
    yield ScriptStep("script", "\n".join([*job["before_script"], *job["script"]]), environment=job["variables"])
    yield ScriptStep("after_script", "\n".join(job["after_script"]), always=True, environment=job["variables"])


def run_scripts(steps: Iterable[ScriptStep], folder: Path, environment: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """Run scripts in a folder as those systems do: after one that has failed, only those that always run.

    Args:
        steps: In their order.
        folder: What is checked out, and what they leave there.
        environment: The variables that the system sets; steps' own may name them.

    Returns:
        Of each that was run, its exit code, and what it printed.
    """
    done: dict[str, tuple[int, str]] = {}
    for step in steps:
        if any(code for code, _ in done.values()) and not step.always:
            continue
        own = {name: value.replace("$CI_PROJECT_DIR", str(folder)) for name, value in step.environment.items()}
        script = step.script.replace(INSTALL, "pip --version")
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],  # noqa: S607 - the one on the PATH, as there
            cwd=folder,
            env={**environment, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=600,
        )
        done[step.name] = ran.returncode, ran.stdout
    return done
