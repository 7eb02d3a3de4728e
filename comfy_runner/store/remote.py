"""Artifacts in an object store, by fsspec: ``s3://``, and what other packages of fsspec bring (``gs://``, ``az://``, ``memory://``).

What is put is spooled on this disk, uploaded, and held against its checksum before it counts. An object is replaced as a whole or
not at all, as stores have it, so that nobody sees half of one. Credentials come from where the store's own tools look for them.

What may pass is asked for again, by the one rule of `comfy_runner.errors`; everything else is a `RunFolderError` that names the
object. That holds for reading as well: a picture that cannot be looked at just now is not one that is gone.

Each request takes time and may be charged for. Whoever is alone with a run, by its lease, or looks at all of it once, has the
objects listed at the beginning (`RemoteStore.keep_listing`), a thousand with each request, and asks for none of them afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar, cast
from urllib.parse import quote

from comfy_runner.errors import BrokenDownload, RunFolderError, ServerError
from comfy_runner.store.filesystem import S3, checked, md5_of, open_filesystem, stat_of
from comfy_runner.store.interface import ArtifactStore, Spooled, Stat, is_key
from comfy_runner.store.store_faults import code_of, fault_of, status_of, store_error
from comfy_runner.text_files import on_one_line, reason_of, scheme_of
from comfy_runner.wording import MIB

RETRY_SECONDS: Final = 60.0
"""How long a store may fail to answer before it is given up."""

ANSWER_SECONDS: Final = 60.0
"""How long a store may be silent while it is asked."""

_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_PART = 32 * MIB
"""How much of an object is read at a time; what is larger lies on the disk while it is read."""

_NO_SUCH_PART = 416  # HTTP's "Range Not Satisfiable": the object ends before

_Answer = TypeVar("_Answer")


class RemoteStore:
    """An `ArtifactStore` below a URL, where several machines may write.

    Args:
        address: The URL, such as ``s3://bucket/runs/lake``. No credentials, no query.
        spool: The local folder that files wait in until they are put; made when it is needed.
        retry_seconds: How long the store may fail to answer before it is given up.
        answer_seconds: How long an S3 may be silent before it counts as one that does not answer.

    Attributes:
        retry_seconds: How long the store may fail to answer before it is given up.
        guard: Called before anything is changed; raises where this process must not write any more (`comfy_runner.store.lease`).

    Raises:
        UsageError: The URL is no place for a run, or the package for its scheme is not installed.
    """

    def __init__(
        self, address: str, *, spool: Path, retry_seconds: float = RETRY_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self.address = checked(address)
        self.guard: Callable[[], None] = unguarded
        self._spool, self.retry_seconds = spool, retry_seconds
        self._fs, self._root = open_filesystem(self.address, answer_seconds)
        self._kept: dict[str, Stat] | None = None
        self._last: tuple[str, bytes] | None = None

    def keep_listing(self) -> None:
        """List what is there, and answer from that from now on what is asked about artifacts, with what is changed here itself.

        It is for whoever holds the lease, and for whoever looks at everything once. What others may change nevertheless, keys that
        begin with a dot, is asked for all the same.

        Raises:
            RunFolderError: The store cannot be read.
        """
        self._kept = {key: stat for key, stat in self._listed("") if not key.startswith(".")}

    def drop_listing(self) -> None:
        """Ask the store again from now on."""
        self._kept = self._last = None

    @property
    def is_shared(self) -> bool:
        """Return whether other processes find the same there."""
        return scheme_of(self.address) != "memory"

    def spool(self, key: str) -> tuple[BinaryIO, Path]:
        """See `ArtifactStore.spool`."""
        start = self._spool_start(key)
        try:
            self._spool.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._spool, prefix=start, delete=False) as made:
                path = Path(made.name)
            return path.open("wb"), path
        except OSError as error:
            what = f"nothing can be spooled for {on_one_line(self.location(key))} ({reason_of(error)})"
            raise RunFolderError(
                what, where=str(self._spool), hint="make room there, or name another folder: COMFY_RUNNER_STATE"
            ) from error

    def put(self, files: Sequence[Spooled]) -> None:
        """See `ArtifactStore.put`. Each is uploaded until it is there with its checksum, or the store is given up."""
        for spooled in files:
            path = self._path(spooled.key)
            self.guard()
            # A spooled file that is gone is no fault of the store's.
            spooled.path.stat()
            self._keep(spooled.key, self._ask(spooled.key, partial(self._upload, path, spooled)))
            spooled.path.unlink()

    def create(self, key: str, content: bytes) -> bool:
        """Put a small artifact where there is none; return whether it is there now with this content, which nobody else's has.

        It is one conditional request where the store has such (S3's ``If-None-Match``, and what other stores have for it). A store
        that does not know the condition writes in any case, so what is there is read afterwards.

        Args:
            key: Its key.
            content: Unlike that of anybody else.

        Raises:
            RunFolderError: The store cannot be written.
        """
        path = self._path(key)

        def attempt() -> None:
            try:
                self._fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                return
            except OSError as error:
                if error.errno != errno.ENOSYS and status_of(error) not in (409, 412, 501):
                    raise
                if status_of(error) == 501 or error.errno == errno.ENOSYS:  # it knows no condition, and says so
                    if self._fs.exists(path):
                        return
                    self._fs.pipe_file(path, content)

        self._ask(key, attempt)
        try:
            with self.open(key) as file:
                return file.read() == content
        except FileNotFoundError:
            return False

    def overwrite(self, key: str, content: bytes) -> None:
        """Put a small artifact, whatever is there and whoever may write.

        Raises:
            RunFolderError: The store cannot be written.
        """
        path = self._path(key)
        self._ask(key, lambda: self._fs.pipe_file(path, content))

    def open(self, key: str) -> BinaryIO:
        """See `ArtifactStore.open`. It is fetched as a whole: into memory, or to the disk for temporary files if it is large."""
        if (last := self._last) is not None and last[0] == key and self._listing_of(key) is not None:
            return io.BytesIO(last[1])
        parts = self._parts(key)
        first = next(parts)
        if len(first) < _PART:
            # A picture is read several times in a row: for its checksum, its size, its texts, its pixels.
            self._last = (key, first) if self._listing_of(key) is not None else None
            return io.BytesIO(first)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        try:
            for part in itertools.chain([first], parts):
                file.write(part)
            file.seek(0)
        except OSError as error:
            file.close()
            what = f"cannot be fetched to the folder for temporary files ({reason_of(error)})"
            raise RunFolderError(what, where=self.location(key), hint="make room there, or name another one: TMPDIR") from error
        except BaseException:
            file.close()
            raise
        return cast(BinaryIO, file)

    def read(self, key: str, start: int, end: int) -> bytes:
        """Return a part of an artifact.

        Args:
            key: Its key.
            start: The first byte, from 0.
            end: The first byte behind the part, which is not beyond the artifact's end.

        Raises:
            FileNotFoundError: There is none.
            RunFolderError: The store cannot be read.
        """
        path = self._path(key)
        return bytes(self._ask(key, lambda: self._fs.cat_file(path, start=start, end=end)))

    def stat(self, key: str) -> Stat | None:
        """See `ArtifactStore.stat`.

        Raises:
            RunFolderError: The store does not say, which is not the same as that there is none.
        """
        if (kept := self._listing_of(key)) is not None:
            return kept.get(key)
        try:
            found = self._info(key)
        except FileNotFoundError:
            return None
        return stat_of(found) if found.get("type") == "file" else None

    def copy(self, key: str, to: str) -> None:
        """See `ArtifactStore.copy`. The store copies, and nothing is transferred."""
        source, target = self._path(key), self._path(to)
        self.guard()
        try:
            original = self.stat(key)
            if original is None:
                raise FileNotFoundError
            self._ask(to, lambda: self._fs.cp_file(source, target))
            copied = stat_of(self._info(to))
        except FileNotFoundError as error:
            raise RunFolderError("is gone", where=self.location(key), hint="run the same command again") from error
        if original.size_bytes != copied.size_bytes:
            raise RunFolderError(f"arrived with {copied.size_bytes} bytes of {original.size_bytes}", where=self.location(to))
        self._keep(to, copied)

    def archive(self, key: str, to: str) -> bool:
        """See `ArtifactStore.archive`. A copy that is whole comes first, so that an end in between loses nothing."""
        self._path(to)
        if self.stat(key) is None:
            return False
        self.copy(key, to)
        self.remove(key)
        return True

    def list(self, prefix: str = "") -> Iterator[str]:
        """See `ArtifactStore.list`. What others have put there under names that are no keys is left out."""
        if (kept := self._listing_of(prefix)) is not None:
            yield from sorted(key for key in list(kept) if key.startswith(prefix))
        else:
            yield from sorted(key for key, _ in self._listed(prefix))

    def folders(self) -> Iterator[str]:
        """Yield what keys begin with, up to their first ``/``, in order, with one request for a thousand; no hidden ones.

        Raises:
            RunFolderError: The store cannot be read.
        """
        try:
            found = self._ask("", lambda: self._fs.ls(self._root, detail=True))
        except FileNotFoundError:
            return
        names = (str(each["name"]).rstrip("/").rpartition("/")[2] for each in found if each["type"] == "directory")
        yield from sorted(name for name in names if is_key(name) and not name.startswith("."))

    def remove(self, key: str) -> None:
        """See `ArtifactStore.remove`."""
        path = self._path(key)
        self.guard()
        with contextlib.suppress(FileNotFoundError):
            self._ask(key, lambda: self._fs.rm_file(path))
        if (kept := self._listing_of(key)) is not None:
            kept.pop(key, None)
            self._last = None

    def remove_spooled(self, key: str) -> None:
        """See `ArtifactStore.remove_spooled`."""
        with contextlib.suppress(OSError):
            for path in self._spool.glob(f"{self._spool_start(key)}*"):
                path.unlink()

    def clear_spool(self) -> None:
        """Remove all that waits to be put, for whoever has locked the local part: those who spooled it are gone."""
        with contextlib.suppress(OSError):
            for path in self._spool.iterdir():
                path.unlink()

    def url(self, key: str) -> str:
        """See `ArtifactStore.url`. It is relative: the page is put beside the pictures (`publish` in `report/target.py`)."""
        return "/".join(quote(segment, safe="") for segment in key.split("/"))

    def local_path(self, key: str) -> Path | None:
        """See `ArtifactStore.local_path`: nowhere."""
        self._path(key)
        return None

    def location(self, key: str) -> str:
        """See `ArtifactStore.location`."""
        return on_one_line(f"{self.address}/{key}" if key else self.address)

    def _upload(self, path: str, spooled: Spooled) -> Stat:
        self._fs.put_file(str(spooled.path), path)
        found = self._fs.info(path)
        if int(found["size"] or 0) != spooled.size_bytes:
            raise BrokenDownload(f"arrived with {found['size']} bytes of {spooled.size_bytes}")
        told = md5_of(found)
        with spooled.path.open("rb") as file:
            if told and told == hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest():
                return stat_of(found)
        # The store tells no checksum of the bytes, or one of something else, as where it encrypts them.
        digest, start = hashlib.sha256(), 0
        while start < spooled.size_bytes and (part := self._part(path, start)):
            digest.update(part)
            start += len(part)
        if digest.hexdigest() != spooled.sha256:
            raise BrokenDownload("arrived damaged")
        return stat_of(found)

    def _parts(self, key: str) -> Iterator[bytes]:
        """Yield the content of an object in parts of `_PART` bytes, at least one, the last of which is shorter.

        Raises:
            FileNotFoundError: There is no such object.
            RunFolderError: The store cannot be read.
        """
        path, start, length = self._path(key), 0, _PART
        if (kept := self._listing_of(key)) is not None and key not in kept:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.location(key))
        while length == _PART:
            part = self._ask(key, partial(self._part, path, start))
            yield part
            length = len(part)
            start += length

    def _part(self, path: str, start: int) -> bytes:
        try:
            return bytes(self._fs.cat_file(path, start=start, end=start + _PART))
        except Exception as error:
            if status_of(error) == _NO_SUCH_PART:
                return b""
            raise

    def _listed(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """Yield the keys that begin so, and what is known of each; what others have put there under no keys is left out."""
        if scheme_of(self.address) == S3:
            # Its prefixes are those of names. Where it finds nothing in a folder, it would ask for that twice more.
            top, _, name = self._root.rpartition("/")
            top, start = (top, f"{name}/{prefix}") if top else (name, prefix)
            question = partial(self._fs.find, top, prefix=start, detail=True)
        else:
            inner = prefix.rpartition("/")[0]
            question = partial(self._fs.find, f"{self._root}/{inner}" if inner else self._root, detail=True)
        try:
            found: dict[str, dict[str, Any]] = self._ask("", question)
        except FileNotFoundError:
            return
        for name, info in found.items():
            key = str(name).removeprefix(f"{self._root}/")
            if key.startswith(prefix) and key != name and is_key(key):
                yield key, stat_of(info)

    def _listing_of(self, key: str) -> dict[str, Stat] | None:
        """Return the listing that is kept, if it may be asked about a key, or about keys that begin so."""
        return None if key.startswith(".") else self._kept

    def _keep(self, key: str, stat: Stat) -> None:
        if (kept := self._listing_of(key)) is not None:
            kept[key] = stat
            self._last = None

    def _info(self, key: str) -> dict[str, Any]:
        path = self._path(key)
        return self._ask(key, lambda: self._fs.info(path))

    def _ask(self, key: str, question: Callable[[], _Answer]) -> _Answer:
        """Return what the store answers; it is asked again after what may pass.

        Raises:
            FileNotFoundError: There is no such object.
            RunFolderError: The store refuses, or is given up.
        """
        began, failures = time.monotonic(), 0
        while True:
            try:
                return question()
            except FileNotFoundError as error:
                if code_of(error) == "NoSuchBucket":
                    raise store_error(error, fault_of(error), where=self.location(key)) from error
                raise
            except Exception as error:  # the libraries of stores raise what they like
                fault = error if isinstance(error, ServerError) else fault_of(error)
                if not fault.is_transient or time.monotonic() - began > self.retry_seconds:
                    raise store_error(error, fault, where=self.location(key)) from error
                time.sleep(min(_PAUSES[min(failures, len(_PAUSES) - 1)], self.retry_seconds))
                failures += 1

    def _path(self, key: str) -> str:
        if not is_key(key):
            raise RunFolderError(f"must be a relative path inside of it (got {key!r})", where=self.address)
        return f"{self._root}/{key}"

    def _spool_start(self, key: str) -> str:
        """Return what the names of spooled files of one key have in common, by which they are found again."""
        self._path(key)
        return f"{hashlib.sha256(key.encode()).hexdigest()[:16]}-"


@contextmanager
def listed_once(store: ArtifactStore) -> Iterator[None]:
    """Have a store say at once what is there, as far as it can, for whoever is about to ask for all of it.

    Args:
        store: The store, whose listing nobody else keeps.

    Raises:
        RunFolderError: The store cannot be read.
    """
    if not isinstance(store, RemoteStore):
        yield
        return
    store.keep_listing()
    try:
        yield
    finally:
        store.drop_listing()


def unguarded() -> None:
    """Let everything be changed: the guard of a store for which nobody has taken a lease."""
