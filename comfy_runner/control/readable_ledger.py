"""A ledger that may be damaged: as much of what it says as can be read, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from comfy_runner.errors import Problem, RunFolderError
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rebuild import lacks_ledger
from comfy_runner.store.ledger_rows import FileRow, KnownJob
from comfy_runner.store.states import ENDED
from comfy_runner.store.status import require_run
from comfy_runner.text_files import is_file, shown


class ReadableLedger:
    """What a ledger says, as far as it can be read.

    Args:
        folder: The run folder.
        check: Whether it is held against itself, which keeps a live run from writing for a moment.

    Attributes:
        known: The jobs by their ids.
        problems: Why it cannot be read, or not to its end, each with its place.

    Raises:
        RunFolderError: It is no run folder.
    """

    def __init__(self, folder: Path, *, check: bool) -> None:
        self.known: Mapping[str, KnownJob] = {}
        self.problems: list[Problem] = []
        self._ledger: Ledger | None = None
        self._where = shown(folder / FILE)
        try:
            require_run(folder)
            self._ledger = Ledger(folder / FILE, readonly=True)
            if check:
                self._ledger.check()
            self.known = self._ledger.known()
        except RunFolderError as error:
            if not (is_file(folder / FILE) or lacks_ledger(folder)):
                raise
            self._fail(error)

    def __enter__(self) -> ReadableLedger:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ledger is not None:
            self._ledger.close()

    @property
    def is_read(self) -> bool:
        """Whether all that was asked of it could be read."""
        return not self.problems

    def has_ended(self, job_id: str) -> bool:
        """Return whether nothing is about to be written for a job; one that only its sidecar knows has ended."""
        return job_id not in self.known or self.known[job_id].state in ENDED

    def files(self, job_id: str) -> list[FileRow]:
        """Return the files of a job; none where that cannot be read any more."""
        try:
            return self._ledger.files(job_id) if self._ledger is not None and self.is_read else []
        except RunFolderError as error:
            self._fail(error)
            return []

    def again(self, job_id: str) -> KnownJob | None:
        """Return what is said of a job now."""
        try:
            row = self._ledger.job(job_id) if self._ledger is not None and self.is_read else None
        except RunFolderError as error:
            self._fail(error)
            row = None
        return None if row is None else KnownJob(row.content_hash, row.state, row.pixel_hash)

    def _fail(self, error: RunFolderError) -> None:
        self.problems += [replace(each, where=each.where or self._where) for each in error.problems]
