"""The server of an actor: started on a free port, started anew where it dies, ended with what has started it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from comfy_runner.engine.comfyui.address import Address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.local import LocalOptions
from comfy_runner.engine.ray_actors.messages import ServerSetup
from comfy_runner.engine.ray_actors.server_process import ServerProcess
from comfy_runner.errors import LocalError, ServerError
from tests.engine.ray_actors.support import command_of, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")]

STANDIN = f"echo a stand-in; exec env PYTHONPATH={Path(__file__).parents[3]} {sys.executable} -m tests.standin {{port}}"
"""The command of a stand-in."""


def _process(tmp_path: Path, command: str = STANDIN, timeout: float = 60.0) -> ServerProcess:
    setup = ServerSetup(command=command, local=LocalOptions(home=tmp_path), start_timeout=timeout)
    return ServerProcess(setup, say=lambda _sentence: None)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServerProcess]:
    process = _process(tmp_path)
    try:
        process.start()
        yield process
    finally:
        process.close()


def _answers(served: ServerProcess) -> bool:
    try:
        ComfyHttp(Address(served.url)).system_stats()
    except ServerError:
        return False
    return True


def _server_of(served: ServerProcess) -> psutil.Process:
    port = served.url.rpartition(":")[2]
    (server,) = (each for each in psutil.process_iter() if command_of(each)[1:] == ["-m", "tests.standin", port])
    return server


def test_one_that_is_killed_is_started_anew_at_the_same_address(served: ServerProcess) -> None:
    server = _server_of(served)

    server.send_signal(signal.SIGKILL)
    server.wait(120)

    until(lambda: _answers(served), seconds=120)
    assert _server_of(served).pid != server.pid


def test_one_whose_guard_is_killed_is_ended_and_started_anew(served: ServerProcess) -> None:
    server = _server_of(served)
    guard = server.parent()
    assert guard is not None
    assert "guard.py" in " ".join(guard.cmdline())

    guard.kill()

    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, seconds=120)
    until(lambda: _answers(served), seconds=120)


def test_nothing_of_it_is_left_when_it_is_closed(served: ServerProcess) -> None:
    server = _server_of(served)

    served.close()

    until(lambda: not server.is_running(), seconds=120)
    assert not served.folder.exists()
    assert not _answers(served)


def test_one_that_ends_at_once_is_told_of_with_what_it_printed(tmp_path: Path) -> None:
    process = _process(tmp_path, "echo no GPU; exit 3; : {port}")

    with pytest.raises(LocalError, match=r"ended during its start \(exit code 3\)\nno GPU"):
        process.start()
    assert not process.folder.exists()
    process.close()


def test_one_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    process = _process(tmp_path, "sleep 600; : {port}", timeout=0.2)

    with pytest.raises(LocalError, match=r"does not answer \(waited 0.2 s\)"):
        process.start()
    process.close()
    assert not process.folder.exists()
