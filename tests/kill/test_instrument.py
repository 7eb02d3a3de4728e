"""The instrument kills where it is told to, and changes nothing otherwise."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kill.instrument.sitecustomize import POINTS, SEAMS, Seam
from tests.kill.support import COMMAND, Kill, Scenario

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

INSTRUMENT = str(Path(__file__).parent / "instrument")


def python(*args: str, folders: tuple[str, ...] = (INSTRUMENT,), **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), **changes}
    return subprocess.run([sys.executable, *args], env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("seam", SEAMS, ids=[seam.point for seam in SEAMS])
def test_the_program_has_the_function_at_which_it_is_to_be_killed(seam: Seam) -> None:
    assert callable(getattr(getattr(importlib.import_module(seam.module), seam.owner), seam.name))


@pytest.mark.parametrize("point", POINTS)
def test_the_installed_command_dies_at_each_point(tmp_path: Path, point: str) -> None:
    with Scenario(tmp_path) as scenario:
        ending = scenario.command(Kill(point))
        assert (ending.code, ending.point) == (-9, point), ending


def test_a_kill_from_outside_is_told_too(tmp_path: Path) -> None:
    with Scenario(tmp_path) as scenario:
        ending = scenario.command(Kill("time", seconds=0.02))
        assert (ending.code, ending.point) == (-9, "time")


def test_a_point_that_is_passed_too_seldom_kills_nobody(tmp_path: Path) -> None:
    with Scenario(tmp_path) as scenario:
        ending = scenario.command(Kill("sidecar.after", scenario.jobs + 1))
        assert (ending.code, ending.point) == (0, "")
        assert scenario.problems(restarted=False) == []


def test_an_unknown_point_is_no_silent_survival() -> None:
    done = python("-c", "print('went on')", KILL_AT="rename.sideways:1")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "KILL_AT: no such point (got rename.sideways:1)" in done.stderr


def test_without_an_order_to_kill_nothing_is_wrapped() -> None:
    code = "import sys; from comfy_runner.store.local import LocalStore; print(hasattr(LocalStore._place, '__wrapped__'))"
    assert python("-c", code).stdout.strip() == "False"
    assert python("-c", code, KILL_AT="put.before:99").stdout.strip() == "True"


def test_a_sitecustomize_behind_it_is_imported_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('behind')", encoding="utf-8")
    assert python("-c", "print('main')", folders=(INSTRUMENT, str(tmp_path))).stdout.split() == ["behind", "main"]


def test_the_command_is_the_installed_one() -> None:
    assert COMMAND.is_file()
