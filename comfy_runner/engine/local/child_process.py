"""Processes that are started here: the pid file, how the process it names is recognised and ended, and tools that are waited for.

A pid alone proves nothing, since the system gives it to another program some day. Pid and creation time together do.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

from comfy_runner.engine.local.options import LocalOptions
from comfy_runner.engine.local.state_files import read_json, remove_secrets, tail, without_secrets, write_json
from comfy_runner.errors import LocalError

# The system derives a process's creation time from its own clock, which may be set while the process runs.
_CLOCK_SLACK_SECONDS: Final = 2.0
_SAY_EVERY_SECONDS: Final = 15.0
_TAIL_LINES: Final = 15

Hints = Sequence[tuple[Sequence[str], str]]
"""Ways out, each with the words that tell that it is the one; an empty word is in every text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """A process that this package started.

    Attributes:
        pid: Its process id.
        created: When the system says that it was created, in seconds since the epoch.
        port: The TCP port that it was told to listen on; 0 for a process that is no server.
        version: Version of ComfyUI; empty for a process that is no server.
        flags: Flags that ComfyUI was started with, without the port.
    """

    pid: int
    created: float
    port: int = 0
    version: str = ""
    flags: tuple[str, ...] = ()


def write_record(path: Path, record: ProcessRecord) -> None:
    """Write a pid file, whole or not at all."""
    write_json(path, asdict(record))


def read_record(path: Path) -> ProcessRecord | None:
    """Return what a pid file says; None if there is none, or none that makes sense."""
    data = read_json(path)
    pid, created, port = data.get("pid"), data.get("created"), data.get("port")
    version, flags = data.get("version"), data.get("flags")
    # A negative pid or 0 means whole groups of processes to the system.
    if not isinstance(pid, int) or pid <= 0 or not isinstance(created, int | float):
        return None
    return ProcessRecord(
        pid=pid,
        created=float(created),
        port=port if isinstance(port, int) else 0,
        version=version if isinstance(version, str) else "",
        flags=tuple(str(flag) for flag in flags) if isinstance(flags, list) else (),
    )


def find_process(record: ProcessRecord | None) -> psutil.Process | None:
    """Return the running process that a record means; None if it has ended, even if its pid has a new owner."""
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        ours = abs(process.create_time() - record.created) <= _CLOCK_SLACK_SECONDS
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        # We can always look at our own processes.
        return None


def end_process(process: psutil.Process, *, timeout: float) -> None:
    """End a process and its children: politely, and by force after ``timeout`` seconds."""
    family = [process]
    with contextlib.suppress(psutil.NoSuchProcess):
        family += process.children(recursive=True)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, stubborn = psutil.wait_procs(family, timeout=timeout)
    for member in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(stubborn, timeout=timeout)


def exists(process: int) -> bool:
    """Return whether there is a process of this number, be it a zombie."""
    return psutil.pid_exists(process)


def group_runs(group: int) -> bool:
    """Return whether any process of a process group runs. In containers, those that have ended may stay on as zombies for ever."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def run_tool(command: Sequence[str], doing: str, options: LocalOptions, *, say: Callable[[str], None], hints: Hints) -> None:
    """Run a command of a setup and wait for it.

    Args:
        command: Program and arguments.
        doing: What it is for, such as ``installing PyTorch``; used for progress and errors.
        options: Where its output is added to the setup's log, and the pid file that names it while it runs.
        say: Told every 15 seconds that it still runs.
        hints: Ways out by what the last lines of its output have; the last one is for whatever they say.

    Raises:
        LocalError: If the command fails; with the last lines of its output.
    """
    log, record = options.setup_log, options.setup_record
    with log.open("ab") as output:
        output.write(f"\n$ {without_secrets(' '.join(command))}\n".encode())
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
                remove_secrets(log, start=start)
    if code != 0:
        said = tail(log, lines=_TAIL_LINES, start=start)
        hint = next(hint for words, hint in hints if any(word in said for word in words))
        raise LocalError(f"{doing} failed (got exit code {code})\n{said}", where=str(log), hint=hint)
