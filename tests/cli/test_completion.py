"""Completion in shells: what is offered after Tab, by the script that a real bash reads, and quickly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.cli.completing import FIELDS
from comfy_runner.recipe.schema import json_schema
from tests.cli.support import Typed
from tests.test_imports import _HEAVY

Cli = Callable[..., Typed]

# Settings that files alone have, and what takes the place of --set.
_NOT_SET = {"extends", "sweep", "find", "models", "retry", "expect"}


def offered(folder: Path, line: str) -> list[str]:
    """Return what completing a command line offers, each with its kind; fails where that imports what takes long."""
    words = line.split(" ")
    code = f"""
import sys
from comfy_runner.cli.main import main
try:
    main()
except SystemExit:
    slow = [name for name in {_HEAVY!r} if name in sys.modules]
    sys.exit(f"imports {{slow}}" if slow else 0)
"""
    variables = {"_COMFY_RUNNER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recipe, a template, a run folder and a folder that is none."""
    (tmp_path / "quiet.yaml").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "lakes.json.j2").touch()
    for name in ("runs/lake", "runs/lake-shards/1-of-2", "runs/other"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("runs/lake", "runs/lake-shards/1-of-2"):
        (tmp_path / name / "ledger.sqlite").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("comfy-runner val", ["plain,validate"]),
        ("comfy-runner run --notif", ["plain,--notify"]),
        ("comfy-runner run qui", ["plain,quiet.yaml", "plain,quickstart"]),
        ("comfy-runner run recipes/for", ["file,recipes/for"]),
        ("comfy-runner run quiet.yaml --set upscale.de", ["plain,upscale.denoise="]),
        ("comfy-runner find quiet.yaml --over upscale.de", ["plain,upscale.denoise="]),
        ("comfy-runner plan quiet.yaml --sweep par", ["plain,params."]),
        ("comfy-runner status runs/", ["plain,runs/lake", "plain,runs/lake-shards/1-of-2"]),
        ("comfy-runner status /nowhere/", ["dir,/nowhere/"]),
        ("comfy-runner templates la", ["plain,lakes", "plain,latent_upscale"]),
    ],
)
def test_tab_offers_what_fits_without_slow_imports(folder: Path, line: str, expected: list[str]) -> None:
    assert [each for each in offered(folder, line) if "latent_upscale_" not in each] == expected


def test_the_fields_are_those_of_the_schema() -> None:
    schema = json_schema()

    def leaves(properties: Mapping[str, Any], above: str) -> Iterator[str]:
        for name, prop in properties.items():
            inner = next((option["$ref"] for option in prop.get("anyOf", [prop]) if "$ref" in option), "").rpartition("/")[2]
            if inner and "properties" in schema["$defs"][inner]:
                yield from leaves(schema["$defs"][inner]["properties"], f"{above}{name}.")
            else:
                yield above + name + ("." if prop.get("type") == "object" else "")

    settable = {name: prop for name, prop in schema["properties"].items() if name not in _NOT_SET}
    assert list(FIELDS) == list(leaves(settable, ""))


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_with_the_script_that_is_installed(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASH_COMPLETION_USER_DIR", str(folder / "bash"))
    monkeypatch.setenv("SHELL", "/bin/bash")

    installed = cli("completion", "--install")

    script = folder / "bash" / "completions" / "comfy-runner"
    assert installed.err == f"wrote {script}; it takes effect in new shells that load bash-completion\n"
    lines = f"""
        source {script}; COMP_WORDS=(comfy-runner run qui); COMP_CWORD=2
        _comfy_runner_completion comfy-runner; printf '%s\\n' "${{COMPREPLY[@]}}"; complete -p comfy-runner
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(shutil.which("bash")), "--norc", "-c", lines],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "quiet.yaml",
        "quickstart",
        "complete -o nosort -F _comfy_runner_completion comfy-runner",
    ]


@pytest.mark.parametrize(("shell", "place"), [("fish", "fish/completions/comfy-runner.fish"), ("zsh", ".zfunc/_comfy-runner")])
def test_other_shells_have_their_own_places(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert cli("completion", shell, "--install").code == 0

    assert (tmp_path / place).read_text(encoding="utf-8").strip() == cli("completion", shell).out.strip()


def test_what_cannot_be_is_one_error(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/oil")
    unknown = cli("completion")
    (tmp_path / "file").touch()
    monkeypatch.setenv("BASH_COMPLETION_USER_DIR", str(tmp_path / "file"))
    unwritable = cli("completion", "bash", "--install")

    assert (unknown.code, unwritable.code) == (2, 2)
    assert "name one: bash, zsh, fish" in unknown.err
    assert "cannot be written" in unwritable.err
