"""A run folder to look at: its sidecars, its pictures, the seeds that were drawn. It is neither locked nor changed.

Not here: the ledger, which has a file of its own, and all that is done in the folder (`folder`).
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from comfy_runner.errors import RunFolderError
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.media_types import is_of_kind
from comfy_runner.store.sidecar import UNREADABLE, FileRecord, Sidecar, read_sidecar, refuse_newer, sha256_of
from comfy_runner.text_files import shown

SUPERSEDED = "superseded"
"""The folder, in a run folder, of pictures that were replaced."""

REPORT_FILES = "report_files"
"""The folder, in a run folder, of what a report keeps beside its page. No job is called so, for ids have no underscores."""

REPORT = ("report.html", "metrics.json", "metrics.csv", "sheet.png")
"""What a report writes into a run folder, which no picture may be called."""

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space and run the same command again; finished pictures are safe"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
    errno.EFBIG: ("the file is larger than this disk or account may have", "choose another folder with --out"),
    errno.EROFS: ("the disk is read-only", "choose another folder with --out"),
    errno.EACCES: ("no permission", "choose another folder with --out"),
    errno.EPERM: ("no permission", "choose another folder with --out"),
    errno.ENOENT: ("is gone: it was moved or deleted while it was used", "run the same command again"),
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


class FolderView:
    """A run folder, or what may become one, to look at.

    Args:
        path: The folder, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def sidecar_path(self, job_id: str) -> Path:
        """Return where a job's sidecar lies."""
        return self.path / job_id / "job.json"

    def sidecar(self, job_id: str) -> Sidecar | None:
        """Return a job's sidecar; None where it has none."""
        with folder_errors(self.path):
            return read_sidecar(self.sidecar_path(job_id))

    def standing(self, job_id: str, content_hash: str, outputs: Mapping[str, str]) -> dict[str, tuple[FileRecord, ...]]:
        """Return the files of a job that need not be made again, by output role.

        They are recorded as good for the very same content, lie where the recipe wants them, are of the kind that it wants, and
        have not been touched since.

        Args:
            job_id: The job.
            content_hash: What it is now.
            outputs: Where each role's picture is to lie.
        """
        sidecar = self.sidecar(job_id)
        if sidecar is None or sidecar.content_hash != content_hash:
            return {}
        return {
            role: records
            for role, records in sidecar.files.items()
            if role in outputs
            and _stem(outputs[role]) == _stem(records[0].path)
            and all(not record.problem and is_of_kind(record, outputs[role]) and self.has(record) for record in records)
        }

    def has(self, record: FileRecord) -> bool:
        """Return whether a file lies there as it is recorded."""
        path = self.path / record.path
        try:
            return path.stat().st_size == record.size_bytes and sha256_of(path) == record.sha256
        except OSError:
            return False

    def is_untouched(self, row: FileRow) -> bool:
        """Return whether a file lies there as the ledger knows it; it is read only where its size or time is another."""
        path = self.path / row.path
        try:
            found = path.stat()
            return found.st_size == row.size_bytes and (found.st_mtime_ns == row.mtime_ns or sha256_of(path) == row.sha256)
        except OSError:
            return False

    @property
    def _record(self) -> Path:
        return self.path / "run.json"

    def seeds(self) -> dict[str, int]:
        """Return the random seeds that were drawn, by recipe.

        Raises:
            RunFolderError: Their record is damaged.
        """
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


def _stem(path: str) -> PurePosixPath:
    """Return a path without its suffix, which may be the server's choice."""
    return PurePosixPath(path).with_suffix("")
