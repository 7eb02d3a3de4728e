"""The files of each job in a store, and the sidecar beside them that says which of them are good, and of what.

The sidecar is put last: it is what makes a job done, or partial. Does not know the ledger (`run_folder`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from comfy_runner.errors import RunFolderError
from comfy_runner.store.about import metadata_of
from comfy_runner.store.interface import Artifact, ArtifactStore, Spooled, checksum
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.local import folder_errors, write_spool
from comfy_runner.store.media_types import has_media_type
from comfy_runner.store.sidecar import FileRecord, Sidecar, parse_sidecar
from comfy_runner.wording import MIB

SUPERSEDED = "superseded"
"""What the keys of replaced files begin with."""

SIDECAR = "job.json"
"""The sidecar, in its job's folder."""

_MOST_BYTES = 64 * MIB  # of a sidecar; one of a large graph has some hundred KiB
_DEPTH = 3
"""Slashes in the key of a replaced sidecar: ``superseded/<job_id>/<content hash>/job.json``."""


class JobFiles:
    """What a store has of the jobs of a run. Its methods may be called by several threads, for different jobs.

    Args:
        store: Where the files are.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store

    def sidecar_key(self, job_id: str) -> str:
        """Return the key of a job's sidecar."""
        return f"{job_id}/{SIDECAR}"

    def sidecar(self, job_id: str) -> Sidecar | None:
        """Return a job's sidecar; None where it has none.

        Raises:
            RunFolderError: It is damaged, cannot be read, or was written by a newer version.
        """
        return self._sidecar_at(self.sidecar_key(job_id))

    def job_ids(self) -> Iterator[str]:
        """Yield the ids of the jobs that have a sidecar, in order, whether it can be read or not."""
        for key in self.store.list():
            job_id, _, name = key.partition("/")
            if name == SIDECAR:
                yield job_id

    def superseded(self) -> Iterator[Sidecar]:
        """Yield the sidecars of files that were replaced, as far as they can be read."""
        yield from (sidecar for _, sidecar in self.superseded_by_key())

    def superseded_by_key(self) -> Iterator[tuple[str, Sidecar]]:
        """Yield what `superseded` does, each with its key: the files that it records lie beside it, under their own paths."""
        for key in self.store.list(f"{SUPERSEDED}/"):
            if key.endswith(f"/{SIDECAR}") and key.count("/") == _DEPTH:
                with contextlib.suppress(RunFolderError):
                    sidecar = self._sidecar_at(key)
                    if sidecar is not None:
                        yield key, sidecar

    def put(self, sidecar: Sidecar, files: Sequence[Spooled] = ()) -> None:
        """Put new files of a job to their keys, then its sidecar; from now on the job is known to be done, or partial.

        Raises:
            RunFolderError: The store cannot be written; the old sidecar is untouched.
        """
        key, put = self.sidecar_key(sidecar.job_id), list(files)
        try:
            put.append(write_spool(self.store, key, [sidecar.to_bytes()]))
        finally:
            self.store.put(put)

    def reusable_files(
        self, job_id: str, content_hash: str, outputs: Mapping[str, str], *, metadata: tuple[str, ...] | None = None
    ) -> dict[str, tuple[FileRecord, ...]]:
        """Return the files of a job that need not be made again, by output role.

        They are recorded as good for the very same content, are where the recipe wants them, have the media type that it wants,
        say of themselves what it wants, and have not been changed since.

        Args:
            job_id: The job.
            content_hash: What it is now.
            outputs: Where each role's picture is to be.
            metadata: What pictures are to say of themselves; None for what they say now.

        Raises:
            RunFolderError: As `sidecar`.
        """
        sidecar = self.sidecar(job_id)
        if sidecar is None or sidecar.content_hash != content_hash:
            return {}
        is_as_told = metadata is None or metadata == metadata_of(sidecar.recipe)
        return {
            role: records
            for role, records in sidecar.files.items()
            if role in outputs
            and _stem(outputs[role]) == _stem(records[0].path)
            and all(not record.problem and has_media_type(record, outputs[role]) for record in records)
            and all((is_as_told or record.width is None) and self.has(record) for record in records)
        }

    def artifact(self, file: FileRecord | FileRow) -> Artifact:
        """Return a file, to be read."""
        return Artifact(self.store, file.path)

    def has(self, file: FileRecord | FileRow) -> bool:
        """Return whether a file is there as it is recorded, by its size and checksum."""
        found = self.store.stat(file.path)
        try:
            return found is not None and found.size_bytes == file.size_bytes and checksum(self.store, file.path) == file.sha256
        except OSError:
            return False

    def is_untouched(self, row: FileRow) -> bool:
        """Return whether a file is there as the ledger knows it; it is not read where its time is still the same."""
        found = self.store.stat(row.path)
        if found is None or found.size_bytes != row.size_bytes:
            return False
        return found.modified_ns == row.mtime_ns != 0 or self.has(row)

    def archive(self, job_id: str, keys: Iterable[str], *, keep: Collection[str] = ()) -> None:
        """Move what is at these keys, and what the job's old sidecar records, to `SUPERSEDED`.

        Args:
            job_id: The job.
            keys: Where new files are about to go.
            keep: Files that stay. Where there are any, the old sidecar stays too, to be completed.

        Raises:
            RunFolderError: The store cannot be written, or the old sidecar is damaged.
        """
        old, own = self.sidecar(job_id), self.sidecar_key(job_id)
        recorded = [record.path for records in old.files.values() for record in records] if old else []
        # Whoever has spoiled a sidecar may name a folder in it, or the sidecar itself.
        recorded = [key for key in recorded if key != own and self.store.stat(key) is not None]
        replaced = [key for key in dict.fromkeys([*keys, *recorded]) if key not in keep and self._is_taken(key)]
        if old is None and not replaced:
            return
        shelf = self._shelf(job_id, old.content_hash[:8] if old else "unknown")
        for key in replaced:
            self.store.archive(key, f"{shelf}/{key}")
        if old is not None and not keep:
            self.store.archive(own, f"{shelf}/{SIDECAR}")

    def archive_copies(self, job_id: str, keys: Iterable[str]) -> None:
        """Put copies of what is at these keys into `SUPERSEDED`, for files that are about to be replaced where they are.

        Raises:
            RunFolderError: The store cannot be written, or the sidecar is damaged.
        """
        old = self.sidecar(job_id)
        shelf = self._shelf(job_id, old.content_hash[:8] if old else "unknown")
        for key in keys:
            self.store.copy(key, f"{shelf}/{key}")

    def restore(self, job_id: str, file: FileRecord) -> None:
        """Take a file back from `SUPERSEDED` that is not as it is recorded, if there is such a copy.

        A process that was killed between replacing a file where it was and recording that has left it so.

        Raises:
            RunFolderError: The store cannot be written, or the sidecar is damaged.
        """
        copies = (key for key in self.store.list(f"{SUPERSEDED}/{job_id}/") if key.endswith(f"/{file.path}"))
        copy = next((key for key in copies if self.has(replace(file, path=key))), None)
        if copy is not None:
            self.store.archive(file.path, f"{self._shelf(job_id, 'unknown')}/{file.path}")
            self.store.copy(copy, file.path)

    def remove_leftovers(self, job_id: str, keys: Iterable[str]) -> None:
        """Remove what a process that was killed while it wrote a job's files or its sidecar has left of them."""
        for key in (self.sidecar_key(job_id), *keys):
            self.store.remove_spooled(key)

    def rows(self, files: Mapping[str, tuple[FileRecord, ...]]) -> list[FileRow]:
        """Return what the ledger is to know of files that are in their places.

        Raises:
            RunFolderError: One of them is gone.
        """
        found = []
        for role, records in files.items():
            for number, record in enumerate(records):
                stat = self.store.stat(record.path)
                with folder_errors(self.artifact(record)):
                    if stat is None:
                        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                found.append(FileRow(role, number, record.path, record.size_bytes, stat.modified_ns, record.sha256))
        return found

    def _sidecar_at(self, key: str) -> Sidecar | None:
        artifact = Artifact(self.store, key)
        try:
            with artifact.open() as file:
                content = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError:
            with folder_errors(artifact):
                raise
        if len(content) > _MOST_BYTES:
            hint = "move it away to have the job rendered again; its pictures stay"
            raise RunFolderError(
                f"is larger than {_MOST_BYTES // MIB} MiB, more than any sidecar has", where=str(artifact), hint=hint
            )
        return parse_sidecar(content, where=artifact)

    def _is_taken(self, key: str) -> bool:
        """Return whether anything is where a file is about to go: an artifact, or in a local folder whatever has its name."""
        path = self.store.local_path(key)
        return self.store.stat(key) is not None if path is None else path.exists()

    def _shelf(self, job_id: str, name: str) -> str:
        """Return what the keys of a job's replaced files begin with, which is new."""
        first = shelf = f"{SUPERSEDED}/{job_id}/{name}"
        number = 1
        while next(self.store.list(f"{shelf}/"), None) is not None:
            number += 1
            shelf = f"{first}-{number}"
        return shelf


def _stem(path: str) -> PurePosixPath:
    """Return a path without its suffix, which may be the server's choice."""
    return PurePosixPath(path).with_suffix("")
