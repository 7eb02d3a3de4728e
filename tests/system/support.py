"""The command under troubles of the machine: programs that start it with something taken away, disks of a few kilobytes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import pty

from tests.cli.support import COMMAND, Running, Typed, environment, recipe_file
from tests.standin import Gate, StandIn

_IS_ROOT = sys.platform != "win32" and os.geteuid() == 0

# Without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, permissions bind root as they bind everybody.
_DROP = "import ctypes; prctl = ctypes.CDLL(None).prctl; assert [prctl(24, 1), prctl(24, 2)] == [0, 0]"

# A session of its own with its controlling terminal, as a shell in a window has.
_TAKE_TERMINAL = "import fcntl, termios; os.setsid(); fcntl.ioctl(2, termios.TIOCSCTTY, 0)"


def launcher(statements: str) -> tuple[str, ...]:
    """Return a program that does something to itself and then becomes the command that follows."""
    return (sys.executable, "-c", f"import os, sys; {statements}; os.execv(sys.argv[1], sys.argv[1:])")


BOUND_BY_PERMISSIONS = launcher(_DROP) if _IS_ROOT and sys.platform == "linux" else ()
"""Starts a program that may not read and write everything; for users other than root that is so anyway."""


def largest_file(count: int) -> tuple[str, ...]:
    """Return a program that starts another one whose files cannot grow beyond so many bytes."""
    return launcher(f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({count}, {count}))")


def succeeds(*command: str) -> bool:
    """Return whether a program is there and ends well, for tests that need what not every machine allows."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except OSError:
        return False


class Window:
    """The command in a terminal window of its own, which can be closed.

    Args:
        args: The command line.
        folder: Where it runs.
    """

    def __init__(self, *args: str, folder: Path) -> None:
        self._reading, terminal = pty.openpty()
        self._process = subprocess.Popen(
            [*launcher(_TAKE_TERMINAL), *COMMAND, *args],
            cwd=folder,
            env=environment(TERM="xterm-256color", COLUMNS="150", PYTHONPATH=str(Path(__file__).parents[2])),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)

    def wait_for(self, text: str) -> None:
        """Return when the window shows something."""
        shown = b""
        while text.encode() not in shown:
            shown += os.read(self._reading, 65536)

    def close(self) -> int:
        """Close the window, and return the command's exit code."""
        os.close(self._reading)
        return self._process.wait(timeout=240)


CAN_MOUNT = _IS_ROOT and sys.platform == "linux" and succeeds("unshare", "--mount", "true")
"""Whether this process may mount a disk in memory."""


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """Mount a disk in memory with so many KiB; needs `CAN_MOUNT`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)], check=True)  # noqa: S607 - root's PATH
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - root's PATH


def shell(
    line: str,
    *args: str,
    folder: Path,
    prefix: Sequence[str] = (),
    without: Sequence[str] = (),
    changes: Mapping[str, str] | None = None,
) -> Typed:
    """Run a line of shell in which ``"$@"`` is the command.

    Args:
        line: The line.
        args: The command's arguments.
        folder: Where it runs.
        prefix: What starts the command.
        without: Variables that the environment lacks.
        changes: Of the environment.
    """
    found = {name: value for name, value in environment(**(changes or {})).items() if name not in without}
    done = subprocess.run(
        ["/bin/sh", "-c", line, "sh", *prefix, *COMMAND, *args],
        cwd=folder,
        env={**found, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        timeout=240,
        check=False,
    )
    return Typed(done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "replace"))


def held(
    server: StandIn, folder: Path, *args: str, place: str = "second_pass", prefix: tuple[str, ...] = ()
) -> tuple[Running, Gate]:
    """Return a run of a small recipe, in the folder ``out``, whose job stands at a node."""
    gate = server.state.hold(place)
    line = ("run", str(recipe_file(folder)), "--server", server.url, "--out", "out", *args)
    running = Running(*line, folder=folder, prefix=prefix)
    gate.wait()
    running.wait_for("submitted")
    return running, gate


def pictures(folder: Path) -> list[str]:
    """Return the pictures in a folder, relative to it, without those that were replaced."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    return sorted(name for name in found if not name.startswith("superseded/"))


def is_tidy(done: Typed) -> bool:
    """Return whether nothing that a user should not see was printed."""
    said = done.out + done.err
    return not any(word in said for word in ("Traceback", "internal:", "Exception ignored"))
