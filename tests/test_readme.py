"""The README against the program: its help blocks, its example in Python, its table of exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from comfy_runner import errors
from comfy_runner.cli.exit_codes import MEANINGS
from comfy_runner.engine.local import LocalServer
from comfy_runner.recipe.load import shipped_recipes
from comfy_runner.yaml_loader import parse
from tests.cli.support import typed

_README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
_HELP = re.findall(r"```console\n\$ comfy-runner ([^\n]*--help)\n(.*?)```", _README, flags=re.DOTALL)
_PYTHON = re.findall(r"```python\n(.*?)```", _README, flags=re.DOTALL)


@pytest.mark.parametrize(("command", "block"), _HELP, ids=[command for command, _ in _HELP])
def test_each_help_block_is_what_the_program_prints(command: str, block: str, tmp_path: Path) -> None:
    assert typed(*command.split(), folder=tmp_path, COLUMNS="80").out.rstrip() == block.rstrip()


def test_there_are_help_blocks_to_check() -> None:
    assert {"--help", "run --help", "local --help"} <= {command for command, _ in _HELP}


def test_the_example_in_python_runs_as_it_stands(comfyui_server: LocalServer, tmp_path: Path) -> None:
    assert len(_PYTHON) == 1

    done = subprocess.run(
        [sys.executable, "-c", _PYTHON[0].replace('server="local"', f'server="{comfyui_server.url}"')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["quickstart done", str(Path("runs/quickstart/quickstart/upscaled.png"))]


def test_the_exit_codes_are_those_of_the_errors_and_mean_what_the_program_says() -> None:
    documented = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| (.*) \|$", _README, flags=re.MULTILINE)}
    raised = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ComfyRunnerError)
    }

    assert documented == MEANINGS
    assert set(documented) == raised | {0}


def test_the_recipe_in_the_readme_is_right_and_every_shipped_recipe_is_listed(tmp_path: Path) -> None:
    block = re.findall(r"```yaml\n(name:.*?)```", _README, flags=re.DOTALL)[0]
    assert parse(block, name="README.md").value["upscale"]["denoise"] == 0.55
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(block, encoding="utf-8")

    assert typed("validate", str(recipe), folder=tmp_path).code == 0

    listed = {name for row in re.findall(r"^\| (`.*?) \|", _README, flags=re.MULTILINE) for name in re.findall(r"`(.*?)`", row)}
    assert set(shipped_recipes()) - listed == set()
