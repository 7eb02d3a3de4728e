"""A server never outlives the actor that has started it, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from comfy_runner.engine.ray_actors import guard
from tests.engine.ray_actors.support import command_of, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")

_SERVER = "import pathlib, sys, time; pathlib.Path('ready').touch(); time.sleep(600)"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_SERVER}"


def _started(folder: Path, code: str) -> tuple[subprocess.Popen[bytes], psutil.Process, psutil.Process]:
    """Return what starts a guard, the guard, and its server."""
    folder.mkdir()
    command = [sys.executable, "-I", "-S", str(guard.__file__), str(folder), sys.executable, "-c", code]
    starter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    starter.wait(120)
    until((folder / "ready").exists, seconds=120)
    (found,) = (each for each in psutil.process_iter() if str(folder) in command_of(each))
    (server,) = found.children()
    return starter, found, server


def _ended(*processes: psutil.Process) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def _leave(starter: subprocess.Popen[bytes]) -> None:
    """Do what the system does when the one that holds the stdin is killed."""
    assert starter.stdin is not None
    assert starter.stdout is not None
    starter.stdin.close()
    starter.stdout.close()


def test_it_ends_the_server_and_removes_its_folder_when_nobody_holds_its_stdin(tmp_path: Path) -> None:
    starter, found, server = _started(tmp_path / "work", _SERVER)

    _leave(starter)

    until(lambda: _ended(found, server), seconds=120)
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
def test_it_ends_a_server_by_force_that_does_not_end(tmp_path: Path) -> None:
    starter, found, server = _started(tmp_path / "work", _STUBBORN)

    _leave(starter)

    until(lambda: _ended(found, server), seconds=120)


def test_it_is_no_child_of_what_has_started_it(tmp_path: Path) -> None:
    starter, found, server = _started(tmp_path / "work", _SERVER)

    assert found.ppid() not in (starter.pid, psutil.Process().pid)
    assert found not in psutil.Process().children()

    _leave(starter)
    until(lambda: _ended(found, server), seconds=120)


def test_it_ends_with_the_server_and_tells_how_that_has_ended(tmp_path: Path) -> None:
    starter, found, server = _started(tmp_path / "work", _SERVER)

    server.send_signal(signal.SIGKILL)

    assert starter.stdout is not None
    assert starter.stdout.read() == str(-signal.SIGKILL).encode()
    until(lambda: _ended(found), seconds=120)
    _leave(starter)
