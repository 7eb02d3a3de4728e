"""A second artifact store, in memory: what the tests hold the interface against, and as short as a store can be."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from comfy_runner.errors import RunFolderError
from comfy_runner.store.interface import Spooled, Stat, is_key


class MemoryStore:
    """Artifacts in memory; it knows their checksums, and no times.

    Args:
        address: What it is called, such as ``memory://run``.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._contents: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._spool = Path(tempfile.mkdtemp(prefix="memory-store-"))
        weakref.finalize(self, shutil.rmtree, self._spool, ignore_errors=True)

    def spool(self, key: str) -> tuple[BinaryIO, Path]:
        """See `ArtifactStore.spool`."""
        # The names of one key have their beginning in common, by which they are found again.
        with tempfile.NamedTemporaryFile(dir=self._spool, prefix=self._start(key), delete=False) as made:
            path = Path(made.name)
        return path.open("wb"), path

    def put(self, files: Sequence[Spooled]) -> None:
        """See `ArtifactStore.put`."""
        for spooled in files:
            content = spooled.path.read_bytes()
            if hashlib.sha256(content).hexdigest() != spooled.sha256:
                raise RunFolderError("arrived damaged", where=self.location(spooled.key))
            self._set(spooled.key, content)
            spooled.path.unlink()

    def open(self, key: str) -> BinaryIO:
        """See `ArtifactStore.open`."""
        return io.BytesIO(self._get(key))

    def stat(self, key: str) -> Stat | None:
        """See `ArtifactStore.stat`."""
        try:
            content = self._get(key)
        except FileNotFoundError:
            return None
        return Stat(len(content), hashlib.sha256(content).hexdigest())

    def copy(self, key: str, to: str) -> None:
        """See `ArtifactStore.copy`."""
        try:
            content = self._get(key)
        except FileNotFoundError as error:
            raise RunFolderError("is gone", where=self.location(key)) from error
        self._set(to, content)

    def archive(self, key: str, to: str) -> bool:
        """See `ArtifactStore.archive`."""
        with self._lock:
            content = self._contents.pop(self._checked(key), None)
            if content is not None:
                self._contents[self._checked(to)] = content
            return content is not None

    def list(self, prefix: str = "") -> Iterator[str]:
        """See `ArtifactStore.list`."""
        with self._lock:
            found = sorted(key for key in self._contents if key.startswith(prefix))
        yield from found

    def remove(self, key: str) -> None:
        """See `ArtifactStore.remove`."""
        with self._lock:
            self._contents.pop(self._checked(key), None)

    def remove_spooled(self, key: str) -> None:
        """See `ArtifactStore.remove_spooled`."""
        for path in self._spool.glob(f"{self._start(key)}*"):
            path.unlink()

    def url(self, key: str) -> str:
        """See `ArtifactStore.url`."""
        return f"{self._address}/{key}"

    def local_path(self, key: str) -> Path | None:
        """See `ArtifactStore.local_path`."""
        self._checked(key)
        return None

    def location(self, key: str) -> str:
        """See `ArtifactStore.location`."""
        return f"{self._address}/{key}"

    def _start(self, key: str) -> str:
        return f"{hashlib.sha256(self._checked(key).encode()).hexdigest()[:16]}-"

    def _get(self, key: str) -> bytes:
        with self._lock:
            content = self._contents.get(self._checked(key))
        if content is None:
            raise FileNotFoundError(key)
        return content

    def _set(self, key: str, content: bytes) -> None:
        with self._lock:
            self._contents[self._checked(key)] = content

    def _checked(self, key: str) -> str:
        if not is_key(key):
            raise RunFolderError(f"is no key (got {key!r})", where=self._address)
        return key
