"""Artifacts in an object store, by fsspec: ``s3://``, and what other packages of fsspec bring (``gs://``, ``az://``, ``memory://``).

What is put is spooled on this disk, uploaded, and held against its checksum before it counts (`comfy_runner.store.remote_objects`).
An object is replaced as a whole or not at all, as stores have it, so that nobody sees half of one. Credentials come from where the
store's own tools look for them.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

from comfy_runner.errors import RunFolderError
from comfy_runner.store.filesystem import stat_of
from comfy_runner.store.interface import ArtifactStore, Spooled, Stat
from comfy_runner.store.remote_objects import ANSWER_SECONDS, PART, RETRY_SECONDS, RemoteObjects
from comfy_runner.text_files import on_one_line, reason_of


class RemoteStore(RemoteObjects):
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
        super().__init__(address, retry_seconds=retry_seconds, answer_seconds=answer_seconds)
        self.guard: Callable[[], None] = unguarded
        self._spool = spool
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
                what, where=str(self._spool), hint="free some space there, or name another folder: COMFY_RUNNER_STATE"
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

    def open(self, key: str) -> BinaryIO:
        """See `ArtifactStore.open`. It is fetched as a whole: into memory, or to the disk for temporary files if it is large."""
        self._path(key)
        kept = self._listing_of(key)
        if kept is not None and key not in kept:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.location(key))
        if kept is not None and (last := self._last) is not None and last[0] == key:
            return io.BytesIO(last[1])
        parts = self._parts(key)
        first = next(parts)
        if len(first) < PART:
            # A picture is read several times in a row: for its checksum, its size, its texts, its pixels.
            self._last = (key, first) if kept is not None else None
            return io.BytesIO(first)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        try:
            for part in itertools.chain([first], parts):
                file.write(part)
            file.seek(0)
        except OSError as error:
            file.close()
            what = f"cannot be fetched to the folder for temporary files ({reason_of(error)})"
            raise RunFolderError(
                what, where=self.location(key), hint="free some space there, or name another one: TMPDIR"
            ) from error
        except BaseException:
            file.close()
            raise
        return cast(BinaryIO, file)

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

    def _listing_of(self, key: str) -> dict[str, Stat] | None:
        """Return the listing that is kept, if it may be asked about a key, or about keys that begin so."""
        return None if key.startswith(".") else self._kept

    def _keep(self, key: str, stat: Stat) -> None:
        if (kept := self._listing_of(key)) is not None:
            kept[key] = stat
            self._last = None

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
