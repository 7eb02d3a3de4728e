"""Single objects below a URL, by fsspec: a question that fails is asked again where that may help, and each upload is verified.

Where it may help, `comfy_runner.errors` says; every other failure is a `RunFolderError` that names the object.
That holds for reading as well: a picture that cannot be looked at just now is not one that is gone.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

from comfy_runner.errors import BrokenDownload, RunFolderError, ServerError
from comfy_runner.store.filesystem import S3, checked, md5_of, open_filesystem, stat_of
from comfy_runner.store.interface import Spooled, Stat, is_key
from comfy_runner.store.store_faults import code_of, fault_of, status_of, store_error
from comfy_runner.text_files import on_one_line, scheme_of
from comfy_runner.wording import MIB

RETRY_SECONDS: Final = 60.0
"""How long a store may fail to answer before it is given up."""

ANSWER_SECONDS: Final = 60.0
"""How long a store may be silent while it is asked."""

PART: Final = 32 * MIB
"""How much of an object is read at a time; larger ones are kept on the disk while they are read."""

_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_NO_SUCH_PART = 416  # HTTP's "Range Not Satisfiable": the object ends before

_Answer = TypeVar("_Answer")


class RemoteObjects:
    """The objects below a URL, where several machines may write.

    Args:
        address: The URL, such as ``s3://bucket/runs/lake``. No credentials, no query.
        retry_seconds: How long the store may fail to answer before it is given up.
        answer_seconds: How long an S3 may be silent before it counts as one that does not answer.

    Attributes:
        address: The URL.
        retry_seconds: How long the store may fail to answer before it is given up.

    Raises:
        UsageError: The URL is no place for a run, or the package for its scheme is not installed.
    """

    def __init__(self, address: str, *, retry_seconds: float = RETRY_SECONDS, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.address = checked(address)
        self.retry_seconds = retry_seconds
        self._fs, self._root = open_filesystem(self.address, answer_seconds)

    @property
    def is_shared(self) -> bool:
        """Return whether other processes find the same there."""
        return scheme_of(self.address) != "memory"

    def location(self, key: str) -> str:
        """See `ArtifactStore.location`."""
        return on_one_line(f"{self.address}/{key}" if key else self.address)

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
            return b"".join(self._parts(key)) == content
        except FileNotFoundError:
            return False

    def overwrite(self, key: str, content: bytes) -> None:
        """Put a small artifact, whatever is there and whoever may write.

        Raises:
            RunFolderError: The store cannot be written.
        """
        path = self._path(key)
        self._ask(key, lambda: self._fs.pipe_file(path, content))

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
        """Yield the content of an object in parts of `PART` bytes, at least one, the last of which is shorter.

        Raises:
            FileNotFoundError: There is no such object.
            RunFolderError: The store cannot be read.
        """
        path, start, length = self._path(key), 0, PART
        while length == PART:
            part = self._ask(key, partial(self._part, path, start))
            yield part
            length = len(part)
            start += length

    def _part(self, path: str, start: int) -> bytes:
        try:
            return bytes(self._fs.cat_file(path, start=start, end=start + PART))
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
