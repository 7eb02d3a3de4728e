"""The files of several runs as one store to read from: their keys begin with the name of their run."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from comfy_runner.errors import RunFolderError
from comfy_runner.report.target import url_from
from comfy_runner.store.interface import ArtifactStore, Spooled, Stat


class JoinedStore:
    """An `ArtifactStore` to read from.

    ``lake/lake-s1/upscaled.png`` is ``lake-s1/upscaled.png`` of the run that is called ``lake``.

    Args:
        folder: Where the page lies that shows the files.
        stores: The store of each run, by its name, which has no ``/``.
        moved: Keys that are to be found elsewhere in the store of their run, with their keys there.
    """

    def __init__(self, folder: Path, stores: Mapping[str, ArtifactStore], moved: Mapping[str, str]) -> None:
        self._folder = folder
        self._stores = stores
        self._moved = moved

    def _found(self, key: str) -> tuple[ArtifactStore, str]:
        run, _, inner = key.partition("/")
        if run not in self._stores or not inner:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
        return self._stores[run], self._moved.get(key, inner)

    def open(self, key: str) -> BinaryIO:
        """See `ArtifactStore.open`."""
        store, inner = self._found(key)
        return store.open(inner)

    def stat(self, key: str) -> Stat | None:
        """See `ArtifactStore.stat`."""
        try:
            store, inner = self._found(key)
        except FileNotFoundError:
            return None
        return store.stat(inner)

    def list(self, prefix: str = "") -> Iterator[str]:
        """See `ArtifactStore.list`."""
        for run, store in sorted(self._stores.items()):
            yield from (key for inner in store.list() if (key := f"{run}/{inner}").startswith(prefix))

    def url(self, key: str) -> str:
        """See `ArtifactStore.url`; empty where no page on this disk finds it, for it lies in an object store."""
        path = self.local_path(key)
        return "" if path is None else url_from(self._folder, path)

    def local_path(self, key: str) -> Path | None:
        """See `ArtifactStore.local_path`."""
        try:
            store, inner = self._found(key)
        except FileNotFoundError:
            return None
        return store.local_path(inner)

    def location(self, key: str) -> str:
        """See `ArtifactStore.location`."""
        try:
            store, inner = self._found(key)
        except FileNotFoundError:
            return key
        return store.location(inner)

    def spool(self, key: str) -> tuple[BinaryIO, Path]:
        """Refuse to be written, as the methods below do."""
        self._refuse(key)

    def put(self, files: Sequence[Spooled]) -> None:
        """See `spool`."""
        self._refuse(files[0].key if files else "")

    def copy(self, key: str, to: str) -> None:  # noqa: ARG002 - the store's signature
        """See `spool`."""
        self._refuse(to)

    def archive(self, key: str, to: str) -> bool:  # noqa: ARG002 - the store's signature
        """See `spool`."""
        self._refuse(key)

    def remove(self, key: str) -> None:
        """See `spool`."""
        self._refuse(key)

    def remove_spooled(self, key: str) -> None:
        """See `spool`."""
        self._refuse(key)

    def _refuse(self, key: str) -> NoReturn:
        raise RunFolderError("is read-only, because it is one of several runs", where=key)
