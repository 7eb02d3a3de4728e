"""The run folder: locked while it is used, what is done in it, where replaced pictures go, the seeds that were drawn.

Layout: ``ledger.sqlite`` (every job's state), ``run.json`` (seeds), ``<job_id>/job.json`` (sidecar), the pictures where the recipe
wants them, ``superseded/``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from comfy_runner.atomic_files import leftovers, sync_folder, write_atomically
from comfy_runner.errors import RunFolderError
from comfy_runner.recipe.job import draw_seed
from comfy_runner.store.ledger_rebuild import open_or_rebuild
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.lock import FolderLock
from comfy_runner.store.run_folder_view import SUPERSEDED, FolderView, folder_errors
from comfy_runner.store.sidecar import FORMAT, FileRecord, Sidecar
from comfy_runner.text_files import shown

__all__ = ["RunFolder", "folder_errors"]

_GIB = 1024**3


class RunFolder(FolderView):
    """A run folder that this process holds the lock of.

    Args:
        path: The folder; made if it is not there.

    Attributes:
        ledger: Its record of every job, for one thread at a time.

    Raises:
        RunFolderError: Another process uses it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with folder_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(path)
        try:
            self.ledger = open_or_rebuild(path)
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Close the ledger and release the lock."""
        self.ledger.close()
        self._lock.close()

    def require_space(self, needed: int) -> None:
        """Make sure that so many bytes can be written. A disk that does not tell how much is free is believed to have enough.

        Raises:
            RunFolderError: There is less.
        """
        try:
            disk = shutil.disk_usage(self.path)
        except OSError:
            return
        # Some network file systems say 0 of 0.
        if disk.total and disk.free < needed:
            what = f"the planned pictures may need {needed / _GIB:.3f} GiB of free space (got {disk.free / _GIB:.3f} GiB)"
            raise RunFolderError(what, where=shown(self.path), hint="free some space, or choose another folder with --out")

    def seed(self, name: str) -> int:
        """Return the random seed of a recipe: drawn once per run folder and recorded in ``run.json``."""
        seeds = self.seeds()
        if name not in seeds:
            seeds[name] = draw_seed()
            with folder_errors(self.path):
                write_atomically(self._record, (json.dumps({"format": FORMAT, "seeds": seeds}, indent=2) + "\n").encode())
        return seeds[name]

    def put_away(self, job_id: str, paths: Iterable[str], *, keep: Collection[str] = ()) -> None:
        """Move what lies at these paths, and what the job's old sidecar records, to ``superseded/``.

        Args:
            job_id: The job.
            paths: Where new files are about to go, relative to the run folder.
            keep: Files that stay. Where there are any, the old sidecar stays too, to be completed.
        """
        old = self.sidecar(job_id)
        recorded = [record.path for records in old.files.values() for record in records] if old else []
        with folder_errors(self.path):
            # Whoever has spoiled a sidecar may name a folder in it, or the sidecar itself.
            own = self.sidecar_path(job_id)
            recorded = [path for path in recorded if (self.path / path).is_file() and self.path / path != own]
            there = [path for path in dict.fromkeys([*paths, *recorded]) if path not in keep and (self.path / path).exists()]
        if not there and (keep or old is None):
            return
        shelf = self._shelf(job_id, old.content_hash[:8] if old else "unknown")
        with folder_errors(self.path):
            for path in there:
                (shelf / path).parent.mkdir(parents=True, exist_ok=True)
                (self.path / path).replace(shelf / path)
            if old is not None and not keep:
                shelf.mkdir(parents=True, exist_ok=True)
                self.sidecar_path(job_id).replace(shelf / "job.json")

    def write_sidecar(self, sidecar: Sidecar) -> None:
        """Write a job's sidecar; from now on the job is known to be done, or partial."""
        with folder_errors(self.path):
            write_atomically(self.sidecar_path(sidecar.job_id), sidecar.to_bytes())

    def drop_leftovers(self, job_id: str, paths: Iterable[str]) -> None:
        """Remove what a process that was killed while it wrote a job's files or its sidecar has left beside them."""
        for path in (self.sidecar_path(job_id), *(self.path / path for path in paths)):
            with contextlib.suppress(OSError):
                for leftover in leftovers(path):
                    leftover.unlink()

    def place(self, temporary: Path, path: str) -> None:
        """Move a verified file to its place, durably."""
        target = self.path / path
        with folder_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
            sync_folder(target.parent)

    def rows(self, files: Mapping[str, tuple[FileRecord, ...]]) -> list[FileRow]:
        """Return what the ledger is to know of files that lie in their places."""
        found = []
        with folder_errors(self.path):
            for role, records in files.items():
                for number, record in enumerate(records):
                    mtime = (self.path / record.path).stat().st_mtime_ns
                    found.append(
                        FileRow(
                            role=role,
                            number=number,
                            path=record.path,
                            size_bytes=record.size_bytes,
                            mtime_ns=mtime,
                            sha256=record.sha256,
                        )
                    )
        return found

    def _shelf(self, job_id: str, name: str) -> Path:
        first = shelf = self.path / SUPERSEDED / job_id / name
        number = 1
        while shelf.exists():
            number += 1
            shelf = first.with_name(f"{name}-{number}")
        return shelf
