"""The instrument kills where it is told to, and changes nothing otherwise."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.kill.instrument import POINTS, SEAMS, Seam, arm
from tests.kill.support import Kill, Scenario

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


@pytest.mark.parametrize("seam", SEAMS, ids=[seam.point for seam in SEAMS])
def test_the_program_has_the_function_at_which_it_is_to_be_killed(seam: Seam) -> None:
    assert callable(getattr(getattr(importlib.import_module(seam.module), seam.owner), seam.name))


@pytest.mark.parametrize("point", POINTS)
def test_the_command_dies_at_each_point(tmp_path: Path, point: str) -> None:
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


def test_an_unknown_point_is_no_silent_survival(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such point \(got rename\.sideways:1\)"):
        arm("rename.sideways:1", tmp_path / "killed-at")
