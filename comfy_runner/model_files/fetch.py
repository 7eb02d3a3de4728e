"""Fetching models into the cache: each once per machine, by whichever process comes first, gone on with where it broke off.

What comes is written to a part that knows from which source and of which version it is, hashed on its way, and counts only once
size, format and checksum are right.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from comfy_runner.atomic_files import move_into_place, sync_folder, write_atomically
from comfy_runner.byte_sizes import told_size
from comfy_runner.errors import BrokenDownload, InputError, ModelError, Problem, ServerError, UsageError
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.file_reading import CHUNK, Reading
from comfy_runner.model_files.formats import FIRST, fault_of_file, fault_of_start
from comfy_runner.model_files.hosts import Hosts
from comfy_runner.model_files.model_file import ModelFile
from comfy_runner.model_files.sources import source_of
from comfy_runner.text_files import reason_of

GIVE_UP_SECONDS: Final = 120.0
"""How long a source may give nothing new before it is given up."""

_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a model has come.

    Attributes:
        name: The model.
        stage: What is done: it is fetched by this process or by ``another`` one, its earlier part is read, or it is ``there``.
        done: How many bytes there are.
        total: How many there are to be; None where that is not known yet.
    """

    name: str
    stage: Literal["fetching", "another", "reading", "there"]
    done: int
    total: int | None


Tell = Callable[[FetchProgress], None]
"""Is told how far a model has come, some hundred times for each gigabyte, by the thread that fetches it."""


def fetch(
    models: Iterable[ModelFile],
    cache: ModelCache,
    hosts: Hosts,
    *,
    tell: Tell | None = None,
    give_up: float = GIVE_UP_SECONDS,
) -> dict[ModelFile, Path]:
    """Return the files of models in the cache, where they stay as long as it is open; what it lacks is fetched.

    Args:
        models: The models.
        cache: The cache.
        hosts: Where they may be fetched from.
        tell: Is told how far each has come; None for nobody.
        give_up: Seconds that a source may give nothing new.

    Raises:
        UsageError: One is to come from where nothing may be fetched from: before anything is fetched.
        ModelError: One cannot be had, is not the one that is meant, or has no room.
    """
    wanted = list(dict.fromkeys(models))
    refuse(wanted, cache, hosts)
    return {model: _Fetching(model, cache, hosts, tell or (lambda _progress: None), give_up).path() for model in wanted}


def refuse(models: Iterable[ModelFile], cache: ModelCache, hosts: Hosts) -> None:
    """Refuse models that the cache lacks and that may not be fetched from where they are.

    Args:
        models: The models.
        cache: The cache.
        hosts: Where models may be fetched from.

    Raises:
        UsageError: There are such; with all of them.
    """
    problems: list[Problem] = []
    for model in models:
        if not cache.file(model.sha256).is_file():
            try:
                source_of(model, hosts)
            except InputError as error:
                problems += error.problems
    if problems:
        raise UsageError.of(dict.fromkeys(problems))


class _Fetching:
    """One model that is wanted."""

    def __init__(self, model: ModelFile, cache: ModelCache, hosts: Hosts, tell: Tell, give_up: float) -> None:
        self._model, self._cache, self._hosts, self._give_up = model, cache, hosts, give_up
        self._tell_all = tell
        self._folder = cache.folder_of(model.sha256)
        self._part, self._about = self._folder / "part", self._folder / "part.json"
        self._total: int | None = None
        self._digest = hashlib.sha256()
        self._start = b""

    def path(self) -> Path:
        """Return its file in the cache."""
        sha256 = self._model.sha256
        try:
            with self._cache.locked(sha256, waiting=self._tell_of_another):
                if self._cache.use(sha256) is None:
                    self._fetch()
                    self._check()
                    self._keep()
                self._cache.add_note(sha256, name=self._model.name)
                path = self._cache.use(sha256)
        except OSError as error:
            raise self._unwritable(error) from error
        if path is None:  # somebody has removed it under its lock
            raise self._error("is gone from the cache", hint="run the same command again")
        self._tell("there", path.stat().st_size)
        return path

    def _fetch(self) -> None:
        read, version = source_of(self._model, self._hosts), self._resume()
        if self._total is not None and self._size() >= self._total:
            return
        began, failures = time.monotonic(), 0
        while True:
            before = self._size()
            try:
                with closing(read(before, version)) as reading:
                    version = self._begun(reading)
                    self._write(reading)
                if self._total is None or self._size() >= self._total:
                    return
                raise BrokenDownload(f"ended after {self._size()} of {self._total} bytes")
            except ModelError:
                raise
            except ServerError as error:
                if self._size() > before:
                    began, failures = time.monotonic(), 0
                pause = max(_PAUSES[min(failures, len(_PAUSES) - 1)], error.retry_after)
                if not error.is_transient or time.monotonic() + pause - began > self._give_up:
                    raise self._failed(error) from error
                time.sleep(pause)
                failures += 1

    def _resume(self) -> str:
        """Take up what an earlier process has left; return the version of the file that it is of, empty where there is nothing."""
        try:
            about = json.loads(self._about.read_bytes())
            version, total = str(about["version"]), about["total"]
            left = self._size()
            if about["source"] != self._model.source or not left:
                raise ValueError("from another source, which may have a different file")
            with self._part.open("rb") as part:
                self._start = part.read(FIRST)
                part.seek(0)
                while chunk := part.read(CHUNK):
                    self._digest.update(chunk)
                    self._tell("reading", part.tell(), left)
        except (OSError, ValueError, KeyError, TypeError):
            self._forget()
            return ""
        self._total = total if isinstance(total, int) else None
        return version

    def _begun(self, reading: Reading) -> str:
        """Make ready for what comes; return the version of the file."""
        if reading.start != self._size():
            self._forget()
        self._total = reading.total
        sizes = self._model.sizes
        if reading.total is not None and sizes is not None and reading.total not in sizes:
            hint = "the URL leads to a different file, or `size` in the recipe is wrong"
            raise self._refused(self._wrong_size(reading.total), hint=hint)
        self._cache.make_room(self._model.sha256, 0 if self._total is None else max(0, self._total - self._size()))
        about = {"source": self._model.source, "version": reading.version, "total": self._total, "names": [self._model.name]}
        write_atomically(self._about, json.dumps(about).encode())
        return reading.version

    def _write(self, reading: Reading) -> None:
        size = self._size()
        most = self._most()
        with self._part.open("ab") as part:
            self._tell("fetching", size)
            for chunk in reading.chunks:
                size += len(chunk)
                if size > most:
                    raise self._refused(f"sends more than {told_size(most)}")
                self._look_at_start(chunk)
                part.write(chunk)
                self._digest.update(chunk)
                self._tell("fetching", size)
            part.flush()
            os.fsync(part.fileno())

    def _look_at_start(self, chunk: bytes) -> None:
        """Give up at once what cannot be the model, such as a page for logging in."""
        if len(self._start) < FIRST:
            self._start = (self._start + chunk)[:FIRST]
            if len(self._start) == FIRST and (fault := fault_of_start(self._model.name, self._start)):
                raise self._refused(fault)

    def _check(self) -> None:
        """Make sure that what has come is the model.

        Raises:
            ModelError: It is something else, which is not kept.
        """
        size, sizes = self._size(), self._model.sizes
        if sizes is not None and size not in sizes:
            raise self._refused(self._wrong_size(size))
        if fault := fault_of_file(self._model.name, self._part):
            raise self._refused(fault)
        found = self._digest.hexdigest()
        if found != self._model.sha256:
            hint = "the file has changed, or the recipe means another one; check where its sha256 comes from"
            raise self._refused(f"sha256 must be {self._model.sha256} (got {found})", hint=hint)

    def _keep(self) -> None:
        self._cache.add_note(self._model.sha256, name=self._model.name, source=self._model.origin or self._model.source)
        # Whoever writes to it by way of a link would change it for all.
        self._part.chmod(0o444)
        move_into_place(self._part, self._cache.file(self._model.sha256))
        sync_folder(self._folder)
        self._about.unlink(missing_ok=True)

    def _most(self) -> int:
        """Return how many bytes may come."""
        known = [self._cache.limit, *([] if self._total is None else [self._total])]
        return min([*known, *([] if self._model.sizes is None else [self._model.sizes[-1]])])

    def _size(self) -> int:
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)
        self._digest, self._start, self._total = hashlib.sha256(), b"", None

    def _tell_of_another(self) -> None:
        self._tell("another", self._size())

    def _tell(self, stage: Literal["fetching", "another", "reading", "there"], done: int, total: int | None = None) -> None:
        known = self._total if self._total is not None or self._model.sizes is None else self._model.sizes[-1]
        self._tell_all(FetchProgress(self._model.name, stage, done, known if total is None else total))

    def _wrong_size(self, size: int) -> str:
        sizes = self._model.sizes or range(1)
        wanted = f"{sizes[0]} bytes" if len(sizes) == 1 else self._model.told_size
        return f"must have {wanted} (got {size} bytes, which is {told_size(size)})"

    def _refused(self, what: str, *, hint: str = "") -> ModelError:
        """Throw away what has come; return the error."""
        self._forget()
        return self._error(what, hint=hint)

    def _failed(self, error: ServerError) -> ModelError:
        problem = error.problems[0]
        hint = problem.hint or ("run the same command again to continue" if self._size() else "")
        return self._error(f"cannot be fetched: {problem}", hint=hint)

    def _error(self, what: str, *, hint: str = "") -> ModelError:
        return ModelError(f"{self._model.name}: {what}", where=self._model.where or self._model.source, hint=hint)

    def _unwritable(self, error: OSError) -> ModelError:
        if error.errno in _FULL:
            # Half a file that fills the disk helps nobody.
            self._forget()
        hint = "free some space there, or name another folder: models.cache in the config file"
        return ModelError(f"cannot be written: {reason_of(error)}", where=str(self._cache.folder), hint=hint)
