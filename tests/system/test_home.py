"""Users without a home, with one that is not there, with one that they may not read, without a name."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.support import recipe_file
from tests.standin import StandIn
from tests.system.support import BOUND_BY_PERMISSIONS, is_tidy, pictures, shell, succeeds

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no homes of this kind")

# What says where a user's files are. Without it, only HOME and the list of users do.
_SAYS_WHERE = ("COMFY_RUNNER_CONFIG", "COMFY_RUNNER_LOCAL_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
_NAMELESS = ("unshare", "--map-user=54321")


@dataclass(frozen=True, slots=True)
class _User:
    """A user whose home is odd; ``{}`` in a variable is the test's folder."""

    changes: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()


_USERS = {
    "none": _User(without=("HOME",)),
    "missing": _User({"HOME": "{}/nowhere", "TMPDIR": "{}/nowhere"}),
    "a file": _User({"HOME": "{}/file"}),
    "unreadable": _User({"HOME": "{}/forbidden"}, prefix=BOUND_BY_PERMISSIONS),
    "read-only": _User({"HOME": "{}/read-only"}, prefix=BOUND_BY_PERMISSIONS),
    **({"a user without a name": _User(without=("HOME",), prefix=_NAMELESS)} if succeeds(*_NAMELESS, "true") else {}),
}


@pytest.fixture(params=_USERS.values(), ids=list(_USERS))
def user(request: pytest.FixtureRequest, tmp_path: Path) -> _User:
    found: _User = request.param
    (tmp_path / "file").touch()
    (tmp_path / "forbidden").mkdir(mode=0)
    (tmp_path / "read-only").mkdir(mode=0o555)
    return _User({name: value.format(tmp_path) for name, value in found.changes.items()}, found.without, found.prefix)


def test_a_run_needs_no_home(server: StandIn, tmp_path: Path, user: _User) -> None:
    args = ("run", str(recipe_file(tmp_path)), "--server", server.url, "--out", "out")
    done = shell('"$@"', *args, folder=tmp_path, prefix=user.prefix, without=(*_SAYS_WHERE, *user.without), changes=user.changes)

    assert done.code == 0, done.err
    assert is_tidy(done)
    assert pictures(tmp_path / "out") == ["lake/original.png", "lake/upscaled.png"]


def test_the_local_comfyui_can_be_looked_at_without_a_home(tmp_path: Path, user: _User) -> None:
    done = shell(
        '"$@"', "local", "status", folder=tmp_path, prefix=user.prefix, without=(*_SAYS_WHERE, *user.without), changes=user.changes
    )

    assert done.code in (0, 3), done.err
    assert done.code == 0 or "error: local ComfyUI: this user has no home folder" in done.err
    assert is_tidy(done)


@pytest.mark.parametrize("home", ["file", "forbidden", "read-only"])
def test_a_local_comfyui_that_cannot_be_kept_is_refused_with_the_place(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "forbidden").mkdir(mode=0)
    (tmp_path / "read-only").mkdir(mode=0o555)
    changes = {"COMFY_RUNNER_LOCAL_HOME": str(tmp_path / home)}

    started = shell('"$@"', "local", "start", folder=tmp_path, prefix=BOUND_BY_PERMISSIONS, changes=changes)
    stopped = shell('"$@"', "local", "stop", folder=tmp_path, prefix=BOUND_BY_PERMISSIONS, changes=changes)

    assert (started.code, stopped.code) in {(3, 0), (3, 3)}
    assert f"{os.sep}{home}" in started.err
    assert "hint: choose another home" in started.err
    assert is_tidy(started)
    assert is_tidy(stopped)
