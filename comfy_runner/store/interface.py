"""The interface of stores, which keep finished files, called artifacts: pictures, other outputs and sidecars, each with a key.

`local.LocalStore` keeps artifacts in the run folder; `registry` finds other stores by the scheme of their address. Stores contain
nothing else: the ledger, the lock and the control files of a run are always in its local folder (`run_folder`).

To add an artifact, a caller writes and verifies the temporary local file that `ArtifactStore.spool` returns, flushes it to the
disk, and moves it to its key with `ArtifactStore.put`. A job's sidecar is put last; files that it does not name are not finished.
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
    """What a store knows about an artifact. Only the size and the checksum decide whether it is the file that was put there.

    Attributes:
        size_bytes: The length in bytes.
        sha256: The SHA-256 of the bytes, hex; None if the store would have to read the whole artifact.
        modified_ns: When the artifact was last changed, in nanoseconds since 1970; 0 if the store does not know. If this time is
            unchanged, the bytes need not be read again; a different time proves nothing.
    """

    size_bytes: int
    sha256: str | None = None
    modified_ns: int = 0


@dataclass(frozen=True, slots=True)
class Spooled:
    """A complete local file, flushed to the disk, that a store can put to its key.

    Attributes:
        path: The path that `ArtifactStore.spool` returned for the key.
        key: The key in the store.
        sha256: The SHA-256 of the bytes as they were written, hex.
        size_bytes: The length in bytes.
    """

    path: Path
    key: str
    sha256: str
    size_bytes: int


class ArtifactStore(Protocol):
    """A place for finished files. Several threads may call its methods at the same time.

    Keys are relative paths with ``/`` that `is_key` accepts. Methods raise `RunFolderError` if a key is not valid or the store
    cannot be written, `FileNotFoundError` if the artifact to read does not exist, and `OSError` if it cannot be read.
    """

    def spool(self, key: str) -> tuple[BinaryIO, Path]:
        """Return a new local file, open for writing, and its path; `put` moves it from there to this key."""
        ...

    def put(self, files: Sequence[Spooled]) -> None:
        """Move files to their keys, in this order, and replace existing ones. All of them survive a power cut after this returns.

        Readers see either the old file or the whole new one. After a crash, if one of the files was moved, so were all before it.

        Args:
            files: The files, which no longer exist at their local paths afterwards. A store that transfers them compares what
                arrives with their checksums.
        """
        ...

    def open(self, key: str) -> BinaryIO:
        """Open an artifact for reading, as a seekable file."""
        ...

    def stat(self, key: str) -> Stat | None:
        """Return what is known about an artifact; None if it does not exist or cannot be read."""
        ...

    def copy(self, key: str, to: str) -> None:
        """Copy an artifact to another key, with the guarantees of `put`; later changes to one do not affect the other."""
        ...

    def archive(self, key: str, to: str) -> bool:
        """Move the artifact with this key to a free key; return whether there was one."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with a prefix, in order, without spooled files."""
        ...

    def remove(self, key: str) -> None:
        """Remove an artifact, if it exists."""
        ...

    def remove_spooled(self, key: str) -> None:
        """Remove the files that a process killed between `spool` and `put` left for this key, as far as possible."""
        ...

    def url(self, key: str) -> str:
        """Return the URL of an artifact for a page in the run folder, relative to that folder or absolute."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Return the path of an artifact if it is a file on this machine, for programs that need files; None otherwise."""
        ...

    def location(self, key: str) -> str:
        """Return the name of an artifact in messages."""
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """One artifact of a store; it can be opened for reading like a `Path`.

    Attributes:
        store: The store.
        key: The artifact's key in the store.
    """

    store: ArtifactStore
    key: str

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:  # noqa: ARG002 - as that of `Path`
        """Open the artifact for reading.

        Raises:
            OSError: The artifact does not exist or cannot be read.
        """
        return self.store.open(self.key)

    def __str__(self) -> str:
        """Return the artifact's name in messages."""
        return self.store.location(self.key)


def is_key(value: object) -> bool:
    """Return whether a value is a key: a relative path with ``/`` that can be written and stays inside the store on every system.

    All keys from sidecars, ledgers and submissions are checked here.
    """
    if not isinstance(value, str) or {"", ".", ".."} & set(value.split("/")) or set(value) & set("\\:\0"):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def checksum(store: ArtifactStore, key: str) -> str:
    """Return the SHA-256 of an artifact's bytes, hex; the artifact is read unless the store knows its checksum.

    Raises:
        OSError: The artifact does not exist or cannot be read.
    """
    known = store.stat(key)
    if known is not None and known.sha256 is not None:
        return known.sha256
    digest = hashlib.sha256()
    with store.open(key) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
