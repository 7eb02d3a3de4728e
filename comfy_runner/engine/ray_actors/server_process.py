"""The ComfyUI of one actor: started on a free port of 127.0.0.1, started anew where it dies, and ended with the actor.

It is the local ComfyUI of this machine or the user's own command. `guard` ends it where the actor has no time to.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from comfy_runner.engine.comfyui.address import Address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.local.child_process import exists
from comfy_runner.engine.local.loopback import choose_port, url_of
from comfy_runner.engine.local.process import prepared_command
from comfy_runner.engine.local.state_files import tail
from comfy_runner.engine.ray_actors.messages import ServerSetup
from comfy_runner.errors import LocalError, ServerError
from comfy_runner.ray_options import PORT

_GUARD: Final = Path(__file__).with_name("guard.py")
_POLL_SECONDS: Final = 0.1
_END_SECONDS: Final = 10.0
_LONGEST_PAUSE: Final = 60.0
_TAIL_LINES: Final = 15


class ServerProcess:
    """A ComfyUI that runs for as long as this object is not closed, and the process that has it lives.

    Args:
        setup: Which ComfyUI.
        say: Takes sentences about slow preparations.

    Attributes:
        url: Where it answers, or will.
        folder: A folder of its own, which goes with it.
        log: The file with its output.
    """

    def __init__(self, setup: ServerSetup, *, say: Callable[[str], None]) -> None:
        self._setup, self._say = setup, say
        port = choose_port(None, remembered=None)
        self.url = url_of(port)
        self._port, self._http = port, ComfyHttp(Address(self.url))
        name = f"ray-{uuid.uuid4()}"
        self._local = replace(setup.local, instance=name)
        # One of its own: what other actors of this machine save must not get in between.
        self.folder = Path(tempfile.gettempdir()) / f"comfy-runner-{name}" if setup.command else self._local.folder
        self.log = self.folder / "output.log"
        self._guard: _Guard | None = None
        self._has_answered, self._closed = threading.Event(), threading.Event()

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers; from then on it is started anew where it ends.

        Raises:
            LocalError: It ends before it answers, or does not answer in time.
        """
        if self._has_answered.is_set():
            return
        guard = self._spawn()
        try:
            self._wait(guard)
        except BaseException:
            guard.end()
            # Whoever cannot start a server ends its actor, mostly.
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._has_answered.set()
        threading.Thread(target=self._keep, args=(guard,), name="comfyui", daemon=True).start()

    def close(self) -> None:
        """End it, and remove what it has left."""
        self._closed.set()
        if self._guard is not None:
            self._guard.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self) -> _Guard:
        if self._setup.command:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            command = ["/bin/sh", "-c", self._setup.command.replace(PORT, str(self._port))]
        else:
            command = prepared_command(self._local, port=self._port, say=self._say)
        guard = self._guard = _Guard(self.folder, command, self.log)
        if self._closed.is_set():
            guard.end()
        return guard

    def _wait(self, guard: _Guard) -> None:
        until = time.monotonic() + self._setup.start_timeout
        while True:
            with contextlib.suppress(ServerError):
                self._http.system_stats()
                # Another server may answer there, while ours has not found its port.
                if guard.wait(0) is None:
                    return
            if (code := guard.wait(0)) is not None:
                raise LocalError(f"ComfyUI ended during its start (exit code {code}){self._said()}", where=self.url)
            if time.monotonic() >= until or self._closed.is_set():
                what = f"ComfyUI does not answer (waited {self._setup.start_timeout:g} s){self._said()}"
                raise LocalError(what, where=self.url, hint="give it more time: start_timeout in the config file, under ray")
            time.sleep(_POLL_SECONDS)

    def _keep(self, guard: _Guard) -> None:
        """Start the server anew where it has ended, on the same port, after a pause that grows."""
        pause = _POLL_SECONDS
        while True:
            began = time.monotonic()
            guard.wait()
            guard.end()
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = _POLL_SECONDS
            if self._closed.wait(pause):
                return
            pause = min(_LONGEST_PAUSE, pause * 2)
            # A disk that is full just now may be less so at the next attempt.
            with contextlib.suppress(OSError, LocalError):
                guard = self._spawn()

    def _said(self) -> str:
        last = tail(self.log, lines=_TAIL_LINES)
        return f"\n{last}" if last else ""


class _Guard:
    """A guard with the server that it has started."""

    def __init__(self, folder: Path, command: Sequence[str], log: Path) -> None:
        # Neither sites nor the user's own modules: the guard needs nothing but Python.
        line = [sys.executable, "-I", "-S", str(_GUARD), str(folder), *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, start_new_session=True
            )
        self._process.wait()  # it leaves itself behind
        self._lock = threading.Lock()
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code of the server, 1 where nobody knows it, when guard and server have ended; None where they have not.

        Args:
            timeout: Seconds to wait; None for no limit.
        """
        stdout = self._process.stdout
        if stdout is None:
            raise ValueError("started without a pipe")
        if self._code is None and select.select([stdout], [], [], timeout)[0]:
            with self._lock:
                if self._code is None:
                    self._code = int(stdout.read() or 1)
        return self._code

    def end(self) -> None:
        """End the guard and all that it has started."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self.wait(_END_SECONDS)
        # Where the guard was killed, its group may have others. While it has, no new process gets the group's number.
        if not exists(self._process.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
