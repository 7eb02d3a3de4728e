"""The port behind which finished files lie: pictures, other outputs and sidecars, each called by a key.

`local.LocalStore` keeps them in the run folder; `registry` finds others by the scheme of their address. A store holds artifacts
alone: the ledger, the lock and control files of a run always lie in its local folder (`run_folder`).

How an artifact gets into a store: `ArtifactStore.spool` gives a local temporary file, which is filled, verified and written to the
disk; `ArtifactStore.put` moves it to its key. A job's sidecar is put last, and what it does not name is not finished.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store knows of an artifact. Whether it is what was put is decided by its size and its checksum alone.

    Attributes:
        size_bytes: Its length.
        sha256: Of its bytes, hex; None where the store would have to read all of it to tell.
        modified_ns: When it was last changed, nanoseconds since 1970; 0 where the store does not tell. The same time says that
            the bytes need not be read once more; another time says nothing.
    """

    size_bytes: int
    sha256: str | None = None
    modified_ns: int = 0


@dataclass(frozen=True, slots=True)
class Spooled:
    """A local file that a store can take, whole, and written to the disk.

    Attributes:
        path: Where it lies: what `ArtifactStore.spool` gave for its key.
        key: Where it goes.
        sha256: Of its bytes, hex, as they were written.
        size_bytes: Its length.
    """

    path: Path
    key: str
    sha256: str
    size_bytes: int


class ArtifactStore(Protocol):
    """A place for finished files. Its methods may be called by several threads at a time.

    Keys are relative paths with ``/`` as `is_key` has them; any other one is a `RunFolderError`, as is a store that cannot be
    written. Reading raises `OSError`, and `FileNotFoundError` where there is no such artifact.
    """

    def spool(self, key: str) -> tuple[BinaryIO, Path]:
        """Return a new local file, open for writing, and its path, from where `put` takes it to this key."""
        ...

    def put(self, files: Sequence[Spooled]) -> None:
        """Move files to their keys, in this order, and replace what is there; all of them are durable on return.

        Whoever looks sees what was there before, or the whole file. After a crash there is none of which an earlier one is missing.

        Args:
            files: They are gone from where they were spooled afterwards. A store that transfers them holds what arrives against
                their checksums.
        """
        ...

    def open(self, key: str) -> BinaryIO:
        """Open an artifact for reading; it can be seeked."""
        ...

    def stat(self, key: str) -> Stat | None:
        """Return what is known of an artifact; None where there is none, or none that can be read."""
        ...

    def copy(self, key: str, to: str) -> None:
        """Put the bytes of an artifact to another key as well, as `put` does; later changes of one are not those of the other."""
        ...

    def archive(self, key: str, to: str) -> bool:
        """Move what has this key out of the way, to a key that is free; return whether there was anything."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin so, in order; no spooled files."""
        ...

    def remove(self, key: str) -> None:
        """Remove an artifact; nothing where there is none."""
        ...

    def remove_spooled(self, key: str) -> None:
        """Remove what a process that was killed between `spool` and `put` has left for this key, as far as that is possible."""
        ...

    def url(self, key: str) -> str:
        """Return where a page that lies in the run folder finds an artifact: a URL, relative to that folder or absolute."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Return where on this machine an artifact is a file of its own, for what takes files alone; None where it is none."""
        ...

    def location(self, key: str) -> str:
        """Return what messages call an artifact."""
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """One artifact of a store, which can be read where a `Path` can.

    Attributes:
        store: Where it is.
        key: Its key there.
    """

    store: ArtifactStore
    key: str

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:  # noqa: ARG002 - as that of `Path`
        """Open it for reading.

        Raises:
            OSError: It is not there, or cannot be read.
        """
        return self.store.open(self.key)

    def __str__(self) -> str:
        """Return what messages call it."""
        return self.store.location(self.key)


def is_key(value: object) -> bool:
    """Return whether this is a key: a relative path with ``/`` that stays inside, on every system, and that can be written.

    The one check for what sidecars, ledgers and submissions say.
    """
    if not isinstance(value, str) or {"", ".", ".."} & set(value.split("/")) or set(value) & set("\\:\0"):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def checksum(store: ArtifactStore, key: str) -> str:
    """Return the hex SHA-256 of an artifact's bytes, which are read unless the store knows it.

    Raises:
        OSError: It is not there, or cannot be read.
    """
    known = store.stat(key)
    if known is not None and known.sha256 is not None:
        return known.sha256
    digest = hashlib.sha256()
    with store.open(key) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
