"""The built wheel, installed into a clean environment and used from an empty folder without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from comfy_runner import __version__

pytestmark = pytest.mark.slow  # and asks the package index for what the package needs

_ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source archive beside it."""
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--outdir", str(out), str(_ROOT), folder=out)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that has only the wheel and what it needs."""
    environment = tmp_path_factory.mktemp("clean")
    venv.create(environment, with_pip=True)
    programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
    _run(str(programs / "python"), "-m", "pip", "install", "--quiet", str(wheel), folder=environment)
    return programs


def _run(*command: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_carries_recipes_templates_the_manual_types_and_the_font_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "comfy_runner/_shipped/recipes/quickstart.yaml" in names
    assert "comfy_runner/_shipped/templates/latent_upscale.json.j2" in names
    assert "comfy_runner/_shipped/docs/troubleshooting.md" in names
    assert "comfy_runner/py.typed" in names
    assert {"DejaVuSans.ttf", "DejaVuSans.LICENSE.txt"} <= {Path(name).name for name in names if "/report/sheet/" in name}
    assert not [name for name in names if not name.startswith(("comfy_runner/", "comfy_runner-"))]


def test_the_archives_are_such_as_pypi_takes(wheel: Path) -> None:
    archives = sorted(map(str, wheel.parent.iterdir()))

    said = _run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *archives, folder=wheel.parent)

    assert [archive.endswith((".whl", ".tar.gz")) for archive in archives] == [True, True]
    assert said.count("PASSED") == 2


def test_the_installed_command_tells_its_version(installed: Path, tmp_path: Path) -> None:
    assert _run(str(installed / "comfy-runner"), "--version", folder=tmp_path) == f"comfy-runner {__version__}\n"
    assert _run(str(installed / "python"), "-m", "comfy_runner", "--version", folder=tmp_path).endswith(f"{__version__}\n")


@pytest.mark.parametrize("runner", [["pipx", "run", "--spec"], ["uvx", "--from"]], ids=["pipx", "uvx"])
def test_it_runs_without_being_installed(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: list[str]) -> None:
    monkeypatch.setenv("PIPX_HOME", str(tmp_path / "pipx"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    program, *arguments = runner
    found = shutil.which(program, path=sysconfig.get_path("scripts"))
    assert found

    assert _run(found, *arguments, str(wheel), "comfy-runner", "--version", folder=tmp_path) == f"comfy-runner {__version__}\n"


@pytest.mark.parametrize("recipe", ["quickstart", "forest-sunrise", "urban_skyline"])
def test_shipped_recipes_are_found_by_name_from_an_empty_folder(installed: Path, tmp_path: Path, recipe: str) -> None:
    workflow = json.loads(_run(str(installed / "comfy-runner"), "render", recipe, folder=tmp_path))

    assert workflow["save_upscaled"]["class_type"] == "SaveImage"
    assert not list(tmp_path.iterdir())
