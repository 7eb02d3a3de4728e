"""README and docs/commands.md against the program; what all pages show is tried in tests/test_snippets.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from comfy_runner import errors
from comfy_runner.cli.exit_codes import MEANINGS
from comfy_runner.engine.local import LocalServer
from comfy_runner.recipe.load import shipped_recipes
from tests.cli.support import typed
from tests.commands_page import PAGE, commands_page
from tests.real.support import pixels, sidecar

_ROOT = Path(__file__).parents[1]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_of_commands_is_what_they_print(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page == commands_page(), "write it again: python -m tests.commands_page"
    assert typed("run", "--help", folder=tmp_path, COLUMNS="80").out.rstrip() in page


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    pictures = [_ROOT / name for name in re.findall(r"!\[.*?\]\((.*?)\)", _README)]

    assert len(_README.splitlines()) <= 150
    assert len(pictures) == 2
    assert all(0 < picture.stat().st_size < 150_000 for picture in pictures)


def test_the_example_in_python_runs_as_it_stands_and_gives_two_pictures_of_the_planned_sizes_and_a_sidecar(
    comfyui_server: LocalServer, tmp_path: Path
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", _README, flags=re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", example.replace('server="local"', f'server="{comfyui_server.url}"')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["quickstart done", str(Path("runs/quickstart/quickstart/upscaled.png"))]
    job = tmp_path / "runs" / "quickstart" / "quickstart"
    assert pixels(job / "original.png").shape == (144, 256, 3)
    assert pixels(job / "upscaled.png").shape == (288, 512, 3)
    found = sidecar(job)
    assert (found["state"], found["server"]["comfyui"], found["recipe"]["seed"]) == ("done", "0.3.75", 42)


def test_the_exit_codes_are_those_of_the_errors() -> None:
    raised = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ComfyRunnerError)
    }

    assert set(MEANINGS) == raised | {0}


def test_every_shipped_recipe_is_listed() -> None:
    page = (_ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    listed = {name for row in re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE) for name in re.findall(r"`(.*?)`", row)}

    assert set(shipped_recipes()) - listed == set()
