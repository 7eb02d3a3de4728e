"""The lock of a run folder, and who holds it.

The lock is the system's, so it is free the moment its process is gone, however that went. The note of who holds it is only
talk: nothing is decided by it, and nothing goes wrong where it is missing, stale or damaged.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import filelock

from comfy_runner._version import __version__
from comfy_runner.atomic_files import open_plain, remove_leftovers, write_atomically
from comfy_runner.errors import RunFolderError
from comfy_runner.store.local import folder_errors
from comfy_runner.text_files import shown
from comfy_runner.wording import now

LOCK = ".lock"
"""The name of the lock's file in the run folder."""

HOLDER = ".lock-holder.json"
"""The name of the note beside it."""

BRIEF = ".brief-lock"
"""The name of the file of `brief_lock` there."""

_LONGEST = 4096
_LONGEST_SHOWN = 100

# Somebody who only looks whether the lock is free holds it for an instant; that must turn nobody away.
_ACQUIRE_SECONDS = 0.2
_BRIEF_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a run folder's lock, as far as that is known.

    Attributes:
        pid: The process; 0 where it is not known.
        host: The name of its computer; empty where it is not known.
        since: When it took the lock, ISO 8601 with offset; empty where it is not known.
        version: Its comfy_runner; empty where it is not known.
    """

    pid: int = 0
    host: str = ""
    since: str = ""
    version: str = ""

    def __str__(self) -> str:
        """Return ``process 1234 on HOST, since 2026-11-23 06:20`` (local time); empty where it is not known."""
        if not self.pid:
            return ""
        since = datetime.fromisoformat(self.since).astimezone()
        return f"process {self.pid} on {self.host or 'this computer'}, since {since:%Y-%m-%d %H:%M}"


class FolderLock:
    """A run folder's lock, held from now on. It may be released in another thread.

    Args:
        path: The run folder, which must be there.

    Raises:
        RunFolderError: Another client holds it.
        OSError: The folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _lock(path)
        try:
            self._lock.acquire(timeout=_ACQUIRE_SECONDS)
        except filelock.Timeout as error:
            who = str(_noted(path))
            what = f"is used by another comfy-runner{': ' if who else ''}{who}"
            hint = f"wait for it, end it with `comfy-runner cancel {shown(path)}`, or choose another folder with --out"
            raise RunFolderError(what, where=shown(path), hint=hint) from error
        # Of holders that were killed; whoever has the lock is alone here.
        remove_leftovers(path / HOLDER)
        me = Holder(os.getpid(), platform.node(), now(), __version__)
        with contextlib.suppress(OSError):
            write_atomically(path / HOLDER, (json.dumps(asdict(me)) + "\n").encode())

    def close(self) -> None:
        """Release the lock; once is enough."""
        if self._lock.is_locked:
            # While it is still ours: afterwards the note may be that of the next holder.
            with contextlib.suppress(OSError):
                (self._path / HOLDER).unlink(missing_ok=True)
            self._lock.release()


def holder(path: Path) -> Holder | None:
    """Return who holds a run folder's lock now; None where nobody does, or that cannot be told.

    It asks the lock, so the note of a client that was killed deceives nobody. It makes no file in a folder that has no lock.
    """
    lock = _lock(path)
    try:
        if not (path / LOCK).exists():
            return None
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return _noted(path)
    except OSError:
        return None
    lock.release()
    return None


@contextmanager
def brief_lock(path: Path) -> Iterator[None]:
    """Keep other threads and processes out while a file of a run folder is read, changed and written; a run may go on meanwhile.

    Args:
        path: The run folder, or its local part, which must be there.

    Raises:
        RunFolderError: The folder cannot be written, or another process keeps it locked, as one may that was stopped.
    """
    lock = filelock.FileLock(path / BRIEF, timeout=_BRIEF_SECONDS)
    with folder_errors(path / BRIEF):
        try:
            lock.acquire()
        except filelock.Timeout as error:
            what = f"another process has kept it locked for {_BRIEF_SECONDS:.0f} s"
            raise RunFolderError(what, where=shown(path / BRIEF), hint="end that process, then try again") from error
    try:
        yield
    finally:
        lock.release()


def _lock(path: Path) -> filelock.BaseFileLock:
    # Taken in one thread and released in another, which the default would not do.
    return filelock.FileLock(path / LOCK, thread_local=False)


def _noted(path: Path) -> Holder:
    """Return what the note says; nothing of it where any of it cannot be."""
    try:
        with open_plain(path / HOLDER) as file:
            noted = json.loads(file.read(_LONGEST))
        pid, host, since, version = (noted[name] for name in ("pid", "host", "since", "version"))
        datetime.fromisoformat(since).astimezone()
        if type(pid) is int and pid > 0 and all(text.isprintable() and len(text) <= _LONGEST_SHOWN for text in (host, version)):
            return Holder(pid, host, since, version)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        pass
    return Holder()
