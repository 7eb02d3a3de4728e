"""The run folder: locked while it is used, what is done in it, where replaced pictures go, the seeds that were drawn.

Layout: ``run.json`` (seeds), ``<job_id>/job.json`` (sidecar), the pictures where the recipe wants them, ``superseded/``.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import filelock

from comfy_runner.errors import RunFolderError
from comfy_runner.files import write_atomically
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.jobs import draw_seed
from comfy_runner.runs.plan import SUPERSEDED, PlannedJob
from comfy_runner.runs.sidecar import FORMAT, UNREADABLE, FileRecord, Sidecar, read_sidecar, refuse_newer, sha256_of
from comfy_runner.textfile import shown

_GIB = 1024**3

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space and run the same command again; finished pictures are safe"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
    errno.EFBIG: ("the file is larger than this disk or account may have", "choose another folder with --out"),
    errno.EROFS: ("the disk is read-only", "choose another folder with --out"),
    errno.EACCES: ("no permission", "choose another folder with --out"),
    errno.EPERM: ("no permission", "choose another folder with --out"),
    errno.ENOTDIR: ("a file is where a folder should be", "choose another folder with --out"),
    errno.EEXIST: ("a file is where a folder should be", "choose another folder with --out"),
}


@contextmanager
def folder_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` about the run folder into a `RunFolderError` with its place."""
    try:
        yield
    except OSError as error:
        what, hint = _REASONS.get(error.errno or 0, ((error.strerror or str(error)).lower(), ""))
        raise RunFolderError(what, where=shown(Path(error.filename or path)), hint=hint) from error


class RunFolder:
    """A run folder that this process holds the lock of.

    Args:
        path: The folder; made if it is not there.

    Raises:
        RunFolderError: Another process uses it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with folder_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            # Taken in one thread and released in another, which the default would not do.
            self._lock = filelock.FileLock(path / ".lock", thread_local=False)
            try:
                self._lock.acquire(timeout=0)
            except filelock.Timeout as error:
                raise RunFolderError(
                    "another comfy-runner uses this run folder", where=shown(path), hint="wait for it, or give --out"
                ) from error

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

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
        seeds = self._seeds()
        if name not in seeds:
            seeds[name] = draw_seed()
            with folder_errors(self.path):
                write_atomically(self._record, (json.dumps({"format": FORMAT, "seeds": seeds}, indent=2) + "\n").encode())
        return seeds[name]

    def sidecar_path(self, job_id: str) -> Path:
        """Return where a job's sidecar lies."""
        return self.path / job_id / "job.json"

    def sidecar(self, job_id: str) -> Sidecar | None:
        """Return a job's sidecar; None where it has none."""
        with folder_errors(self.path):
            return read_sidecar(self.sidecar_path(job_id))

    def standing(self, planned: PlannedJob) -> dict[str, tuple[FileRecord, ...]]:
        """Return the files of a job that need not be made again, by output role.

        They are recorded as good for the very same content, lie where the recipe wants them, and have not been touched since.
        """
        sidecar = self.sidecar(planned.job_id)
        if sidecar is None or sidecar.content_hash != planned.content_hash:
            return {}
        return {
            role: records
            for role, records in sidecar.files.items()
            if role in planned.outputs
            and _stem(planned.outputs[role]) == _stem(records[0].path)
            and all(not record.problem and self._is_intact(record) for record in records)
        }

    def put_away(self, job_id: str, paths: Iterable[str], *, keep: Collection[str] = ()) -> None:
        """Move what lies at these paths, and what the job's old sidecar records, to ``superseded/``.

        Args:
            job_id: The job.
            paths: Where new files are about to go, relative to the run folder.
            keep: Files that stay. Where there are any, the old sidecar stays too, to be completed.
        """
        old = self.sidecar(job_id)
        recorded = [record.path for records in old.files.values() for record in records] if old else []
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

    def place(self, temporary: Path, path: str) -> None:
        """Move a verified file to its place, durably."""
        target = self.path / path
        with folder_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)

    @property
    def _record(self) -> Path:
        return self.path / "run.json"

    def _seeds(self) -> dict[str, int]:
        where = shown(self._record)
        try:
            with folder_errors(self._record):
                data = self._record.read_bytes() if self._record.exists() else b'{"format": 1, "seeds": {}}'
            record = json.loads(data)
            refuse_newer(record["format"], where)
            seeds = dict(record["seeds"])
            if not all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in seeds.values()):
                raise ValueError("not a seed")
        except UNREADABLE as error:
            raise RunFolderError("is damaged", where=where, hint="move it away to have random seeds drawn anew") from error
        return seeds

    def _is_intact(self, record: FileRecord) -> bool:
        path = self.path / record.path
        try:
            return path.stat().st_size == record.size_bytes and sha256_of(path) == record.sha256
        except OSError:
            return False

    def _shelf(self, job_id: str, name: str) -> Path:
        first = shelf = self.path / SUPERSEDED / job_id / name
        number = 1
        while shelf.exists():
            number += 1
            shelf = first.with_name(f"{name}-{number}")
        return shelf


def _stem(path: str) -> PurePosixPath:
    """Return a path without its suffix, which is the server's choice."""
    return PurePosixPath(path).with_suffix("")
