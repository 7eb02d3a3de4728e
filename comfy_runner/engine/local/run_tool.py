"""Run one tool of the setup (venv, pip, a script) to its end, with its output in a log and its failure as a LocalError.

Which tools there are is told in `installation`. The server is not started by this, since it is meant to outlive us.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil

from comfy_runner.engine.local.pid_file import ProcessRecord, write_record
from comfy_runner.engine.local.state_files import tail
from comfy_runner.errors import LocalError

_TAIL_LINES: Final = 15
_SAY_EVERY_SECONDS: Final = 15.0


def run_tool(
    command: Sequence[str],
    *,
    doing: str,
    log: Path,
    record: Path,
    say: Callable[[str], None],
    hint: Callable[[str], str],
) -> None:
    """Run a command and wait for it.

    Args:
        command: Program and arguments.
        doing: What it is for, such as ``installing PyTorch``; used for progress and errors.
        log: File that its output is added to.
        record: Pid file that names the command while it runs.
        say: Told every 15 seconds that it still runs.
        hint: Makes the error's hint out of the last lines of output.

    Raises:
        LocalError: If the command fails; with the last lines of its output.
    """
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(command)}\n".encode())
        output.flush()
        start = output.tell()
        began = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT) as child:
            try:
                write_record(record, ProcessRecord(pid=child.pid, created=psutil.Process(child.pid).create_time()))
                while True:
                    try:
                        code = child.wait(timeout=_SAY_EVERY_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        say(f"{doing}, {time.monotonic() - began:.0f} s so far")
            except BaseException:
                child.kill()
                raise
            finally:
                record.unlink(missing_ok=True)
    if code != 0:
        said = tail(log, lines=_TAIL_LINES, start=start)
        raise LocalError(f"{doing} failed (got exit code {code})\n{said}", where=str(log), hint=hint(said))


def pip_hint(said: str) -> str:
    """Return the most likely way out for what pip said."""
    if "No space left" in said or "Disk quota" in said:
        return "free some disk space: the engine needs about 2.5 GB, several GB more with CUDA; or choose another home"
    if "No matching distribution" in said or "ResolutionImpossible" in said:
        return "your package index has no fitting version: pass pip options for another index, or use another Python"
    if any(word in said for word in ("Connection", "timed out", "Max retries", "resolve host", "SSL", "ProxyError")):
        return "check the network and the proxy, or pass pip options for an index that can be reached; then try again"
    return "check the pip options for the package index, the disk space and the network; then try again"


def venv_hint(said: str) -> str:
    """Return the most likely way out for what ``python -m venv`` said."""
    if "ensurepip" in said:
        return "this Python comes without venv: install the package python3-venv, or choose another Python"
    return "choose another Python"


def models_hint(said: str) -> str:
    """Return the most likely way out for what the script that makes the tiny models said."""
    if "No space left" in said:
        return "free some disk space: the tiny models need about 340 MB"
    return "remove the venv folder beside the log and set up again"
