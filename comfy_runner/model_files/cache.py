"""The cache of model files on one machine: by checksum, limited in size, shared by processes, which may be killed at any instant.

Of each file there is a folder, named by its SHA-256: ``model`` is the file, whole and checked, or not there; ``note.json`` says
what is known of it, and is as old as its last use; ``part`` with ``part.json`` is what has come of it so far. Whoever makes or
removes one holds its lock; whoever uses one holds a lock in ``users``. The system frees both when a process ends, however it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import filelock

from comfy_runner.atomic_files import write_atomically
from comfy_runner.byte_sizes import told_size
from comfy_runner.errors import ModelError
from comfy_runner.text_files import shown

_HASH = re.compile("[0-9a-f]{64}")
_LOCKS, _USERS = "locks", "users"
_POLL_SECONDS: Final = 0.5
_DISK_RESERVE: Final = 256 << 20
"""Bytes of the disk that stay free."""


@dataclass(frozen=True, slots=True)
class CachedModel:
    """What the cache has of one file.

    Attributes:
        sha256: Its checksum.
        names: What recipes have called it.
        source: Where it came from: a host, or a path; empty where that is not known.
        size_bytes: How large it is; of one that is not whole, what has come of it.
        is_whole: Whether it is there, and not only a part of it.
        used: When it was last used, seconds since 1970.
        in_use: Whether a process uses or fetches it now.
    """

    sha256: str
    names: tuple[str, ...]
    source: str
    size_bytes: int
    is_whole: bool
    used: float
    in_use: bool


class ModelCache:
    """The cache in a folder. What it gives is in use, and is removed by nobody, until it is closed or its process ends.

    Args:
        folder: The folder, which is made when it is needed.
        limit: How many bytes all files together may have.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder.absolute(), limit
        self._held: dict[str, filelock.BaseFileLock] = {}

    def folder_of(self, sha256: str) -> Path:
        """Return the folder of one file."""
        if not _HASH.fullmatch(sha256):
            raise ValueError(f"not a SHA-256 (got {sha256!r})")
        return self.folder / sha256

    def file(self, sha256: str) -> Path:
        """Return where a file is, or would be."""
        return self.folder_of(sha256) / "model"

    def use(self, sha256: str) -> Path | None:
        """Return a file, which is in use from now on; None where there is none. For whoever holds its lock.

        Raises:
            OSError: The cache cannot be written.
        """
        path = self.file(sha256)
        if not path.is_file():
            return None
        if sha256 not in self._held:
            users = self.folder_of(sha256) / _USERS
            users.mkdir(exist_ok=True)
            for left in _entries(users):  # by processes that were killed
                if not _is_held(left):
                    left.unlink(missing_ok=True)
            lock = _lock(users / f"{os.getpid()}-{secrets.token_hex(4)}")
            lock.acquire(timeout=0)
            self._held[sha256] = lock
        with contextlib.suppress(OSError):
            os.utime(self.folder_of(sha256) / "note.json")
        return path

    def close(self) -> None:
        """Use none of the files any more."""
        for lock in self._held.values():
            lock.release()
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink()
        self._held.clear()

    @contextmanager
    def locked(self, sha256: str, *, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the lock of a file, which need not be there yet.

        Args:
            sha256: The file.
            waiting: Called twice a second as long as another process holds it.

        Raises:
            OSError: The cache cannot be written.
        """
        self.folder_of(sha256).mkdir(parents=True, exist_ok=True)
        lock = self._lock_of(sha256)
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except filelock.Timeout:
                waiting()
            with contextlib.suppress(filelock.Timeout):
                lock.acquire(timeout=_POLL_SECONDS)
                break
        try:
            # Whoever held it may have removed the folder.
            self.folder_of(sha256).mkdir(parents=True, exist_ok=True)
            yield
        finally:
            lock.release()

    def note(self, sha256: str) -> dict[str, Any]:
        """Return what is known of a file: ``names``, ``source``, ``links``; nothing where that cannot be read."""
        return _read(self.folder_of(sha256) / "note.json")

    def add_note(self, sha256: str, *, name: str = "", source: str = "", link: str = "") -> None:
        """Take down what is known of a file. For whoever holds its lock.

        Args:
            sha256: The file.
            name: What a recipe calls it.
            source: Where it came from.
            link: The path of a link that leads to it, which goes when it goes.

        Raises:
            OSError: The cache cannot be written.
        """
        known = self.note(sha256)
        names, links = _texts(known.get("names")), _texts(known.get("links"))
        found = {
            "names": list(dict.fromkeys([*names, *([name] if name else [])])),
            "source": source or known.get("source", ""),
            "links": list(dict.fromkeys([*links, *([link] if link else [])])),
        }
        if found != known:
            write_atomically(
                self.folder_of(sha256) / "note.json", json.dumps(found, ensure_ascii=False).encode(errors="backslashreplace")
            )

    def models(self) -> list[CachedModel]:
        """Return what the cache has, what was used last first."""
        folders = [path for path in _entries(self.folder) if _HASH.fullmatch(path.name)]
        found = [model for path in folders if (model := self._model(path.name)) is not None]
        return sorted(found, key=lambda model: -model.used)

    def make_room(self, sha256: str, needed: int) -> None:
        """Remove files that nobody uses, those that were used least recently first, until there is room for more bytes.

        Args:
            sha256: The file that they are of, which stays.
            needed: How many more bytes it is to have.

        Raises:
            ModelError: There is no room: the limit is too low, or the disk too full.
        """
        while True:
            with self._room_lock():
                others = [model for model in self.models() if model.sha256 != sha256]
                taken = sum(map(self._expected, others))
                own = self._model(sha256)
                over = taken + needed + (own.size_bytes if own else 0) - self.limit
                lacking = needed + _DISK_RESERVE - shutil.disk_usage(self.folder).free
                if over <= 0 and lacking <= 0:
                    return
                if not any(self.remove(model.sha256) for model in reversed(others)):
                    raise self._no_room(others, needed, is_disk=over <= 0)

    def remove(self, sha256: str) -> bool:
        """Remove a file that nobody uses, with all that belongs to it and the links that lead to it; return whether it is gone.

        Raises:
            OSError: It cannot be removed.
        """
        lock, folder = self._lock_of(sha256), self.folder_of(sha256)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return False
        try:
            if any(_is_held(path) for path in _entries(folder / _USERS)):
                return False
            for link in map(Path, _texts(self.note(sha256).get("links"))):
                with contextlib.suppress(OSError):
                    if link.is_symlink() and link.readlink() == self.file(sha256):
                        link.unlink()
            shutil.rmtree(folder)
            return True
        finally:
            lock.release()

    def _model(self, sha256: str) -> CachedModel | None:
        folder = self.folder_of(sha256)
        for name in ("model", "part"):
            with contextlib.suppress(OSError):
                path = folder / name
                stat = path.stat()
                is_whole = name == "model"
                note = self.note(sha256) if is_whole else _read(folder / "part.json")
                used = (folder / "note.json").stat().st_mtime if is_whole and (folder / "note.json").exists() else stat.st_mtime
                in_use = _is_held(self._lock_file(sha256)) or any(map(_is_held, _entries(folder / _USERS)))
                source = str(note.get("source", ""))
                return CachedModel(sha256, _texts(note.get("names")), source, stat.st_size, is_whole, used, in_use)
        return None

    def _expected(self, model: CachedModel) -> int:
        """Return how many bytes a file will have once it is whole."""
        total = None if model.is_whole or not model.in_use else _read(self.folder_of(model.sha256) / "part.json").get("total")
        return max(model.size_bytes, total) if isinstance(total, int) else model.size_bytes

    def _no_room(self, others: list[CachedModel], needed: int, *, is_disk: bool) -> ModelError:
        if is_disk:
            free = told_size(shutil.disk_usage(self.folder).free)
            hint = "free some disk space, or name another folder: models.cache in the config file"
            return ModelError(f"{told_size(needed)} are needed, but the disk has only {free}", where=shown(self.folder), hint=hint)
        used = told_size(sum(map(self._expected, others)))
        what = f"{told_size(needed)} does not fit into the cache of {told_size(self.limit)}, of which {used} are in use"
        return ModelError(what, where=shown(self.folder), hint="raise models.cache_size in the config file")

    @contextmanager
    def _room_lock(self) -> Iterator[None]:
        self._locks().mkdir(parents=True, exist_ok=True)
        with _lock(self._locks() / "room"):
            yield

    def _locks(self) -> Path:
        return self.folder / _LOCKS

    def _lock_file(self, sha256: str) -> Path:
        return self._locks() / sha256

    def _lock_of(self, sha256: str) -> filelock.BaseFileLock:
        self._locks().mkdir(parents=True, exist_ok=True)
        return _lock(self._lock_file(sha256))


def _lock(path: Path) -> filelock.BaseFileLock:
    # Not thread-local: two threads of one program wait for each other as two programs do.
    return filelock.FileLock(path, thread_local=False)


def _is_held(path: Path) -> bool:
    """Return whether a process holds a lock."""
    if not path.exists():
        return False
    lock = _lock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()
