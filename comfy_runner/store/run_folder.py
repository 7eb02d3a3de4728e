"""The run folder of a run: its lock, its ledger, the seeds that were drawn, and the store with what its jobs have given.

Layout: ``ledger.sqlite`` (every job's state), ``run.json`` (seeds), and, unless the store is another one, ``<job_id>/job.json``
(sidecars), the pictures where the recipe wants them, ``superseded/``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from comfy_runner.atomic_files import open_plain, remove_leftovers, write_atomically
from comfy_runner.errors import RunFolderError
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.job import draw_seed
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger_rebuild import open_or_rebuild
from comfy_runner.store.local import folder_errors
from comfy_runner.store.lock import FolderLock
from comfy_runner.store.registry import open_store
from comfy_runner.store.sidecar import FORMAT, UNREADABLE, refuse_newer
from comfy_runner.text_files import shown
from comfy_runner.wording import GIB, MIB

REPORT_FILES = "report_files"
"""The folder, in a run folder, of what a report keeps beside its page. No job is called so, for ids have no underscores."""

REPORT = ("report.html", "metrics.json", "metrics.csv", "sheet.png")
"""What a report writes into a run folder, which no picture may be called."""


_MOST_BYTES = 64 * MIB  # of ``run.json``: a million seeds have half of that


class FolderView(JobFiles):
    """A run folder, or what may become one, to look at. It is neither locked nor changed.

    Args:
        path: The folder, which need not be there.
        store: Where the files of its jobs are; None for the folder itself.
    """

    def __init__(self, path: Path, store: ArtifactStore | None = None) -> None:
        super().__init__(store or open_store(path))
        self.path = path

    def job_ids(self) -> Iterator[str]:
        """See `JobFiles.job_ids`; also those whose sidecar is no plain file, or lies past a symbolic link."""
        with folder_errors(self.path):
            yield from sorted({*super().job_ids(), *(path.parent.name for path in self.path.glob("*/job.json"))})

    def seeds(self) -> dict[str, int]:
        """Return the random seeds that were drawn, by recipe: ``lake``, and ``lake#2`` for its second one.

        Raises:
            RunFolderError: Their record is damaged.
        """
        where = shown(self._record)
        try:
            with folder_errors(self._record):
                if not self._record.exists():
                    return {}
                with open_plain(self._record) as file:
                    record = json.loads(file.read(_MOST_BYTES))
            refuse_newer(record["format"], where)
            seeds = dict(record["seeds"])
            if not all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in seeds.values()):
                raise ValueError("not a seed")
        except UNREADABLE as error:
            raise RunFolderError("is damaged", where=where, hint="move it away to have random seeds drawn anew") from error
        return seeds

    @property
    def _record(self) -> Path:
        return self.path / "run.json"


class RunFolder(FolderView):
    """A run folder that this process holds the lock of.

    Args:
        path: The folder; made if it is not there.
        store: Where the files of its jobs are; None for the folder itself.

    Attributes:
        ledger: Its record of every job, for one thread at a time.

    Raises:
        RunFolderError: Another process uses it, or it cannot be written.
    """

    def __init__(self, path: Path, store: ArtifactStore | None = None) -> None:
        with folder_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(path)
        # It is the folder that is locked now that it writes to.
        super().__init__(path, store)
        remove_leftovers(self._record)
        try:
            self.ledger = open_or_rebuild(path, self)
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
            what = f"the planned pictures may need {needed / GIB:.3f} GiB of free space (got {disk.free / GIB:.3f} GiB)"
            raise RunFolderError(what, where=shown(self.path), hint="free some space, or choose another folder with --out")

    def draw_seeds(self, names: Iterable[str]) -> dict[str, int]:
        """Return all random seeds by name, these among them: drawn once per run folder and recorded in ``run.json``.

        Raises:
            RunFolderError: Their record is damaged, or cannot be written.
        """
        seeds = self.seeds()
        missing = set(names).difference(seeds)
        if missing:
            seeds |= {name: draw_seed() for name in sorted(missing)}
            with folder_errors(self.path):
                write_atomically(self._record, (json.dumps({"format": FORMAT, "seeds": seeds}, indent=2) + "\n").encode())
        return seeds
