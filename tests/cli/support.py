"""The command as a process of its own: what it prints, its exit code, its terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import pty

from tests.forked import Forked
from tests.running.support import small
from tests.standin import HELD

COMMAND = (sys.executable, "-m", "comfy_runner")


@dataclass(frozen=True, slots=True)
class Typed:
    """What a command did.

    Attributes:
        code: Its exit code.
        out: What it printed on stdout.
        err: What it printed on stderr.
    """

    code: int
    out: str
    err: str


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what would change how the command behaves."""
    unwanted = ("COMFY_RUNNER_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "PYTHONIOENCODING", "PYTHONUNBUFFERED")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    # A report takes longer than all the rest of a small run.
    return {**plain, "COMFY_RUNNER_CONFIG": os.devnull, "COMFY_RUNNER_REPORT": "0", **changes}


def typed(*args: str, folder: Path, **changes: str) -> Typed:
    """Run the command in a folder to its end."""
    process = _started(*args, folder=folder, changes=changes)
    out, err = process.communicate(timeout=240)
    return Typed(process.returncode, out.decode("utf-8"), err.decode("utf-8"))


def _started(
    *args: str, folder: Path, changes: Mapping[str, str], prefix: tuple[str, ...] = (), stderr: int | None = None
) -> Forked | subprocess.Popen[bytes]:
    """Start the command; by a new Python, if anything is said to Python itself or to a program that starts it."""
    if sys.platform != "win32" and not prefix and not any(name.startswith(("PYTHON", "LC_")) for name in changes):
        return Forked(*args, folder=folder, environment=environment(**changes), stderr=stderr)
    return subprocess.Popen(
        [*prefix, *COMMAND, *args],
        cwd=folder,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if stderr is None else stderr,
    )


def recipe_file(folder: Path, **changes: Any) -> Path:
    """Return the file of a small recipe."""
    values = small(**changes)
    path = folder / f"{values['name']}.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


class Running:
    """The command while it runs, its stderr a pipe or a terminal, read as it comes.

    Args:
        args: The command line.
        folder: Where it runs.
        terminal: Whether its stderr is a terminal.
        prefix: A program that starts it.
        changes: Of the environment.
    """

    def __init__(
        self,
        *args: str,
        folder: Path,
        terminal: bool = False,
        prefix: tuple[str, ...] = (),
        changes: Mapping[str, str] | None = None,
    ) -> None:
        reading, writing = pty.openpty() if terminal else os.pipe()
        variables = {"TERM": "xterm-256color", "COLUMNS": "150", **(changes or {})}
        self.process = _started(*args, folder=folder, changes=variables, prefix=prefix, stderr=writing)
        os.close(writing)
        self._reading = reading
        self._said = bytearray()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_for(self, text: str) -> None:
        """Return when stderr has said something."""
        with self._news:
            assert self._news.wait_for(lambda: text.encode() in self._said, HELD), bytes(self._said).decode("utf-8", "replace")

    @property
    def said(self) -> str:
        """What stderr has said so far."""
        with self._news:
            return bytes(self._said).decode("utf-8", "replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> Typed:
        """Wait for its end."""
        out, _ = self.process.communicate(timeout=240)
        self._thread.join(HELD)
        return Typed(self.process.returncode, out.decode("utf-8"), bytes(self._said).decode("utf-8"))

    def _listen(self) -> None:
        while True:
            try:
                chunk = os.read(self._reading, 65536)
            except OSError:  # how a terminal says that nobody writes to it any more
                chunk = b""
            if not chunk:
                break
            with self._news:
                self._said += chunk
                self._news.notify_all()
        os.close(self._reading)
