"""The command in a process of its own that need not import anything: forked from one that has.

A new Python takes most of a second to import what a run needs. Tests that are about how Python or the program starts and ends,
about encodings, limits or another user, start a new one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from multiprocessing import connection, reduction
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import IO, Any

import comfy_runner
from comfy_runner.__main__ import main

_PACKAGE = Path(comfy_runner.__file__).parent
_OTHERS = ("tiny_models", "launcher.py", "__main__.py")  # run by other programs, or when it begins
_MODULES = [
    ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in _PACKAGE.rglob("*.py")
    if not {*path.parts} & {*_OTHERS}
]
_CONTEXT = ForkServerContext() if sys.platform != "win32" else SpawnContext()
# And pytest, since multiprocessing has each process import what this one was started with.
_CONTEXT.set_forkserver_preload(["pytest", __name__, *_MODULES])
# Starting one looks after all others, which must not happen while they are looked after themselves.
_LOOKING_AFTER = threading.Lock()


class _Descriptor:
    """An open file on its way to another process."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _arrived, (reduction.DupFd(self._number),)


def _arrived(sent: Any) -> int:
    return int(sent.detach())


def _run(
    args: tuple[str, ...], folder: str, environment: dict[str, str], streams: list[int], first: Callable[[], None] | None
) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = (open(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rw"))  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["comfy-runner", *args]
    if first is not None:
        first()
    main()


class Forked:
    """The command while it runs, with the methods of `subprocess.Popen`.

    Args:
        args: The command line.
        folder: Where it runs.
        environment: All of its environment.
        stderr: An open file that it is to write to instead.
        first: What is called in the process before the command starts.
    """

    def __init__(
        self,
        *args: str,
        folder: Path,
        environment: Mapping[str, str],
        stderr: int | None = None,
        first: Callable[[], None] | None = None,
    ) -> None:
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed when they are read
        with Path(os.devnull).open("rb") as nothing, _LOOKING_AFTER:
            streams = [nothing.fileno(), self._out.fileno(), self._err.fileno() if stderr is None else stderr]
            call = (args, str(folder), dict(environment), [_Descriptor(number) for number in streams], first)
            self._process = _CONTEXT.Process(target=_run, args=call)
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        with _LOOKING_AFTER:
            return self._process.exitcode

    def communicate(self, timeout: float) -> tuple[bytes, bytes]:
        """Wait for its end, at most so many seconds, and return what it printed on stdout and stderr."""
        if not connection.wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired("comfy-runner", timeout)
        with _LOOKING_AFTER:
            self._process.join()
        assert self._process.exitcode is not None
        self.returncode = self._process.exitcode
        return self._printed(self._out), self._printed(self._err)

    def _printed(self, stream: IO[bytes]) -> bytes:
        with stream:
            stream.seek(0)
            return stream.read()
