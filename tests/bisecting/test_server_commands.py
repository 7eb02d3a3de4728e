from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from comfy_runner.bisecting.server_commands import CannotStart, ServerCommands
from comfy_runner.errors import UsageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")

# Says in a file who it is, and listens: whoever gets an answer finds the file.
_SERVER = """
import os, pathlib, signal, socket, sys
if sys.argv[3:] == ["stubborn"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[2]).write_text(str(os.getpid()))
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listening.accept()[0].close()
"""


class _Place:
    """A port for a server, and the files of a test."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.pid_file, self.log, self.folder = folder / "pid", folder / "log", folder
        (folder / "server.py").write_text(_SERVER, encoding="utf-8")

    def server(self, *more: str) -> str:
        return " ".join([sys.executable, "-SE", str(self.folder / "server.py"), str(self.port), str(self.pid_file), *more])

    def answers(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    def commands(self, start: str, stop: str = "", timeout: float = 20.0) -> ServerCommands:
        return ServerCommands(
            start=start,
            stop=stop,
            silence=lambda: "" if self.answers() else "connection refused",
            url="here",
            timeout=timeout,
            stop_timeout=0.5,
        )

    def runs(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(int(self.pid_file.read_text())).status() != psutil.STATUS_ZOMBIE
        return False


@pytest.fixture
def place(tmp_path: Path) -> _Place:
    return _Place(tmp_path)


@pytest.mark.parametrize("start", ["exec {}", "{}; exit 1", "{} & sleep 0"])
def test_a_server_in_the_foreground_or_in_the_background_is_ended_with_its_group(place: _Place, start: str) -> None:
    with place.commands(start.format(place.server())).serving("1.0", place.log):
        assert place.runs()
        assert place.answers()

    assert not place.runs()


def test_a_server_that_does_not_heed_is_ended_by_force(place: _Place) -> None:
    with place.commands(place.server("stubborn")).serving("1.0", place.log):
        pass

    assert not place.runs()


def test_an_error_while_it_serves_leaves_nothing_running(place: _Place) -> None:
    with pytest.raises(KeyboardInterrupt), place.commands(place.server()).serving("1.0", place.log):
        raise KeyboardInterrupt

    assert not place.runs()


def test_commands_are_told_the_version_in_both_ways_and_no_version_is_a_command(place: _Place) -> None:
    version = "1.0'; touch harm; '"
    start = f'echo start {{version}} "$COMFY_RUNNER_BISECT_VERSION"; exec {place.server()}'

    with place.commands(start, 'echo stop {version} "$COMFY_RUNNER_BISECT_VERSION"').serving(version, place.log):
        pass

    assert place.log.read_text().splitlines() == [f"start {version} {version}", f"stop {version} {version}"]
    assert not Path("harm").exists()


def test_what_the_start_command_says_is_told_where_it_fails_and_the_stop_command_tidies_up(place: _Place) -> None:
    with (
        pytest.raises(CannotStart, match="exit code 3\nno module named torch") as caught,
        place.commands("echo no module named torch; exit 3", "echo tidied").serving("1.0", place.log),
    ):
        pytest.fail("it was said to serve")

    assert caught.value.problems[0].where.endswith("log")
    assert place.log.read_text().endswith("tidied\n")


def test_a_server_that_does_not_answer_in_time_is_ended(place: _Place) -> None:
    start = f"echo $$ > {place.pid_file}; exec sleep 1000"

    with (
        pytest.raises(CannotStart, match=r"no server answers within 0\.3 s of the start command \(got connection refused\)"),
        place.commands(start, timeout=0.3).serving("1.0", place.log),
    ):
        pytest.fail("it was said to serve")

    assert not place.runs()


def test_nothing_is_started_where_another_server_answers(place: _Place) -> None:
    with (
        socket.create_server(("127.0.0.1", place.port)),
        pytest.raises(UsageError, match="here: a server is already answering"),
        place.commands(f"touch {place.pid_file}").serving("1.0", place.log),
    ):
        pytest.fail("it was said to serve")

    assert not place.pid_file.exists()


@pytest.mark.parametrize(("stop", "hint"), [("", "give a --stop command"), ("true", "check why the stop command")])
def test_a_server_that_goes_on_in_a_group_of_its_own_is_told_of(place: _Place, stop: str, hint: str) -> None:
    leave = f"{sys.executable} -SEc 'import os, sys; os.fork() and os._exit(0); os.setsid(); os.execv(sys.argv[1], sys.argv[1:])'"
    try:
        with (
            pytest.raises(UsageError, match="still answers") as caught,
            place.commands(f"{leave} {place.server()}", stop).serving("1.0", place.log),
        ):
            pass
    finally:
        os.kill(int(place.pid_file.read_text()), signal.SIGKILL)

    assert hint in caught.value.problems[0].hint


def test_a_stop_command_ends_such_a_server(place: _Place) -> None:
    leave = f"{sys.executable} -SEc 'import os, sys; os.fork() and os._exit(0); os.setsid(); os.execv(sys.argv[1], sys.argv[1:])'"

    with place.commands(f"{leave} {place.server()}", f"kill $(cat {place.pid_file})").serving("1.0", place.log):
        assert place.answers()

    assert not place.answers()
