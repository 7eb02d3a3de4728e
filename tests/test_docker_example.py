"""The image of examples/docker as its files say it: a linter finds nothing, and the build is given all that the package is made of.

Nothing here builds it, which takes a Docker daemon.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_DOCKERFILE = _ROOT / "examples" / "docker" / "Dockerfile"
_TEXT = _DOCKERFILE.read_text(encoding="utf-8")


def _found(text: str) -> list[str]:
    """Return the rules that a Dockerfile breaks, by hadolint."""
    linter = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    assert linter
    done = subprocess.run([linter, "--no-color", "-"], input=text, capture_output=True, text=True, encoding="utf-8", check=False)
    return re.findall(r"\bDL\d+", done.stdout)


def test_the_linter_finds_nothing_and_would_find_a_root_and_an_image_of_no_version() -> None:
    assert _found(_TEXT) == []
    assert _found(_TEXT.replace("USER 1000", "USER 0")) == ["DL3002"]
    assert _found(_TEXT.replace("python:3.13-slim\nCOPY", "python\nCOPY")) == ["DL3006"]


def test_the_build_gets_what_the_package_is_made_of_and_nothing_else() -> None:
    ignored = _DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "LICENSE", "pyproject.toml"}

    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == needed
    assert "*" in ignored


def test_its_python_is_one_that_the_package_is_for() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = set(re.findall(r"FROM python:([\d.]+)-slim", _TEXT))

    assert len(versions) == 1
    assert f"Programming Language :: Python :: {versions.pop()}" in project["classifiers"]
