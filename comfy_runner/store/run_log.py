"""What a run that has no terminal says: a file of its run folder, and whether somebody still writes it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import filelock

from comfy_runner.errors import RunFolderError
from comfy_runner.store.local import folder_errors
from comfy_runner.text_files import shown

LOG = "run.log"
"""The name of the log in the run folder."""

LOG_LOCK = ".run-log-lock"
"""The name of the file whose lock its writer holds for as long as it lives."""

_TAKE_SECONDS = 5.0  # somebody who only looks whether it is free holds it for an instant
_END = "exit code: "
_CODE = re.compile(rb"exit code: (\d{1,3})\n?\Z")


class RunLog:
    """The log of a run, which this process writes from now on; what an earlier run has said there is gone.

    Args:
        folder: The run folder, or its local part, which must be there.

    Raises:
        RunFolderError: The folder cannot be written, or another process writes this log.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = filelock.FileLock(folder / LOG_LOCK, timeout=_TAKE_SECONDS, thread_local=False)
        with folder_errors(folder / LOG):
            try:
                self._lock.acquire()
            except filelock.Timeout as error:
                hint = "wait until its report is written: comfy-runner attach " + shown(folder)
                raise RunFolderError("another process is writing it", where=shown(folder / LOG), hint=hint) from error
            # No link is followed to a file of somebody else.
            (folder / LOG).unlink(missing_ok=True)
            self._file = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    def take(self, *descriptors: int) -> None:
        """Have what is written to these descriptors of the process go into the log."""
        for descriptor in descriptors:
            os.dup2(self._file, descriptor)

    def end(self, code: int) -> None:
        """Say how the run has ended; nothing is written after that.

        Args:
            code: The exit code of its process.
        """
        os.write(self._file, f"{_END}{code}\n".encode())
        self._lock.release()


def is_written(folder: Path) -> bool:
    """Return whether a process writes the log of a run folder now."""
    if not (folder / LOG_LOCK).exists():
        return False
    try:
        with filelock.FileLock(folder / LOG_LOCK, timeout=0):
            return False
    except filelock.Timeout:
        return True


def log_lines(folder: Path) -> Iterator[str | int | None]:
    """Yield the lines of a log as they are written, without their ends; None where there is none yet; at last the exit code.

    It ends without an exit code where the process was killed.

    Args:
        folder: The run folder, or its local part.

    Raises:
        RunFolderError: There is no log, or it cannot be read.
    """
    path = folder / LOG
    if not path.is_file():
        hint = "`comfy-runner watch` follows a run that has a terminal, and `comfy-runner status` shows its state"
        raise RunFolderError("was not begun with `comfy-runner run --detach`", where=shown(folder), hint=hint)
    with folder_errors(path), path.open("rb") as file:
        rest = b""
        while True:
            # Asked before reading: what is written afterwards is read next time.
            is_live = is_written(folder)
            read = file.read()
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                if found := _CODE.match(line):
                    yield int(found[1])
                    return
                yield line.decode(errors="replace")
            if not read:
                if not is_live:
                    return
                yield None
