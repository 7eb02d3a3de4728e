"""The user's commands that bring the server of a version up and down.

The start command may go on as long as the server does, or end once it has left the server in the background. It runs in a process
group of its own, which is ended behind the stop command: what was started is not left running, and nothing else is touched.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comfy_runner.engine.local.child_process import exists, group_runs
from comfy_runner.engine.local.state_files import tail
from comfy_runner.errors import ServerError, UsageError
from comfy_runner.text_files import shown

VARIABLE: Final = "COMFY_RUNNER_BISECT_VERSION"
"""The variable that tells commands which version is wanted."""

START_SECONDS: Final = 300.0
"""Seconds that a server may take until it answers, where the user does not say."""

_PLACE: Final = "{version}"
_POLL_SECONDS: Final = 0.1
_TAIL_LINES: Final = 8


@dataclass(frozen=True, kw_only=True)
class ServerCommands:
    """How a server is started and stopped.

    Attributes:
        start: The start command, for the shell; ``{version}`` in it stands for the version.
        stop: The stop command, likewise; empty for none.
        silence: Tells why no server answers at the address where it is waited for; empty where one does.
        url: That address, for messages.
        timeout: Seconds that it may take until it answers.
        stop_timeout: Seconds that the stop command may take, then the start command to end, then the server to be silent.
    """

    start: str
    stop: str
    silence: Callable[[], str]
    url: str
    timeout: float = START_SECONDS
    stop_timeout: float = 30.0

    @contextlib.contextmanager
    def serving(self, version: str, log: Path) -> Iterator[None]:
        """Have a version's server running, from its first answer on.

        Args:
            version: The version.
            log: The file for what the commands print; what was in it is replaced.

        Raises:
            UsageError: Another server answers there already, or this one still does after it was stopped: nobody could tell whose
                pictures they are.
            CannotStart: The server does not come up.
        """
        if not self.silence():
            hint = "stop it; the start command starts each version, which is then stopped again"
            raise UsageError("a server is already answering", where=self.url, hint=hint)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            group = _Group(_command(self.start, version), output.fileno())
            try:
                self._wait(group, log)
                yield
            finally:
                try:
                    if self.stop:
                        self._run(_command(self.stop, version), output.fileno())
                finally:
                    group.end(self.stop_timeout)
        if not _until(lambda: bool(self.silence()), self.stop_timeout):
            hint = "give a --stop command that ends it" if not self.stop else "check why the stop command leaves it running"
            raise UsageError("the server still answers after it was stopped", where=self.url, hint=hint)

    def _wait(self, group: _Group, log: Path) -> None:
        until = time.monotonic() + self.timeout
        while silence := self.silence():
            if group.code:  # one that ends well has left its server in the background
                raise CannotStart(f"the start command ended with exit code {group.code}{_said(log)}", where=shown(log))
            if time.monotonic() >= until:
                what = f"no server answers within {self.timeout:g} s of the start command (got {silence}){_said(log)}"
                raise CannotStart(what, where=shown(log))
            time.sleep(_POLL_SECONDS)

    def _run(self, command: str, output: int) -> None:
        group = _Group(command, output)
        try:
            _until(lambda: group.code is not None, self.stop_timeout)
        finally:
            group.end(self.stop_timeout)


class CannotStart(ServerError):
    """The server of a version does not come up."""


class _Group:
    """A command in a process group of its own."""

    def __init__(self, command: str, output: int) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def end(self, timeout: float) -> None:
        """End all processes of the group: politely, and by force after so many seconds."""
        leader = self._process.pid
        # While any of the group is left, no new process gets its number; one that has it is a stranger's.
        if self.code is not None and exists(leader):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # some systems say the second of nothing but zombies
                os.killpg(leader, number)
            if _until(lambda: self.code is not None and not group_runs(leader), timeout):
                return


def require_commands() -> None:
    """Make sure that commands can be run here.

    Raises:
        UsageError: The system has neither a POSIX shell nor process groups.
    """
    if sys.platform == "win32":
        raise UsageError("versions cannot be started on Windows", hint="use Linux or macOS, or WSL")


def _command(command: str, version: str) -> str:
    quoted = shlex.quote(version)
    return f"export {VARIABLE}={quoted}\n{command.replace(_PLACE, quoted)}"


def _until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; return whether it is, after so many seconds at most."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _said(log: Path) -> str:
    last = tail(log, lines=_TAIL_LINES)
    return f"\n{last}" if last else ""
