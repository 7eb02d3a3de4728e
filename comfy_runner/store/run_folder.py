"""The run folder of a run: its lock, its ledger, the seeds that were drawn, and the store with what its jobs have given.

Layout: ``ledger.sqlite`` (every job's state) and, unless the store is another one, ``run.json`` (`RunRecord`),
``<job_id>/job.json`` (sidecars), the pictures where the recipe wants them, ``superseded/``. A store at a URL has the plan, too
(`plan_record`).
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comfy_runner.errors import RunFolderError
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.job import draw_seed
from comfy_runner.shard import Shard
from comfy_runner.store.database import Damaged
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.lease import CLOSING_SECONDS, Lease, newest_lease
from comfy_runner.store.ledger_rebuild import open_or_rebuild
from comfy_runner.store.ledger_rows import job_id_of
from comfy_runner.store.local import LocalStore, folder_errors, write_spool
from comfy_runner.store.lock import FolderLock
from comfy_runner.store.plan_record import packed, record, recorded
from comfy_runner.store.refresh import take_lease
from comfy_runner.store.registry import open_store
from comfy_runner.store.remote import RemoteStore
from comfy_runner.store.sidecar import FORMAT, UNREADABLE, refuse_newer
from comfy_runner.text_files import shown, url_of
from comfy_runner.wording import GIB, MIB

REPORT_FILES = "report_files"
"""The folder, in a run folder, of what a report keeps beside its page. No job has this name, because ids have no underscores."""

COMPARISON_FILES = "comparison_files"
"""The folder, likewise, of pictures that differ from a baseline, beside what was expected."""

SERVER_LOGS = "server_logs"
"""The folder, likewise, of what servers that a run has started have printed; it is always on this machine."""

REPORT = ("report.html", "report-single.html", "report.zip", "metrics.json", "metrics.csv", "sheet.png", "crops.png", "picks.json")
"""What a report writes into a run folder, and what a person says of it there, which no picture may be called."""


_RECORD = "run.json"
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOST_BYTES = 64 * MIB  # of ``run.json``: a million seeds have half of that


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """That a run folder is one shard of a run.

    Attributes:
        shard: Which one.
        job_ids: The jobs that were dealt to it. The ledger knows all jobs of the plan.
    """

    shard: Shard
    job_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What ``run.json`` says.

    Attributes:
        seeds: The random seeds that were drawn, by recipe: ``lake``, and ``lake#2`` for its second one.
        shard: Which shard of a run it is; None where it is a whole one.
        date: The day on which the run began, ISO 8601, where names of its files have it; else empty.
    """

    seeds: Mapping[str, int] = field(default_factory=dict)
    shard: ShardRecord | None = None
    date: str = ""


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
        """See `JobFiles.job_ids`; also those whose sidecar is not a plain file, or lies past a symbolic link."""
        with folder_errors(self.path):
            yield from sorted({*super().job_ids(), *(path.parent.name for path in self.path.glob("*/job.json"))})

    def seeds(self) -> dict[str, int]:
        """Return the random seeds that were drawn, by recipe: ``lake``, and ``lake#2`` for its second one.

        Raises:
            RunFolderError: Their record is damaged.
        """
        return dict(self.recorded().seeds)

    def shard(self) -> ShardRecord | None:
        """Return which shard of a run this is; None where it is a whole one.

        Raises:
            RunFolderError: The record of that is damaged.
        """
        return self.recorded().shard

    def recorded(self) -> RunRecord:
        """Return what ``run.json`` says; nothing where it is not there.

        Raises:
            RunFolderError: It is damaged.
        """
        artifact = Artifact(self.store, _RECORD)
        where = str(artifact)
        try:
            with folder_errors(artifact):
                try:
                    with artifact.open() as file:
                        record = json.loads(file.read(_MOST_BYTES))
                except FileNotFoundError:
                    return RunRecord()
            refuse_newer(record["format"], where)
            seeds, date = dict(record["seeds"]), record.get("date", "")
            if not all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in seeds.values()):
                raise ValueError("not a seed")
            if not (isinstance(date, str) and (not date or _DAY.fullmatch(date))):
                raise ValueError("not a day")
            return RunRecord(seeds, _shard_record(record["shard"]) if "shard" in record else None, date)
        except (*UNREADABLE, Damaged) as error:
            hint = "move it away: seeds are then drawn again, {date} is the day of the next run, and a shard must be given again"
            raise RunFolderError("is damaged", where=where, hint=hint) from error


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
        before = None
        if store is None and url_of(path):
            store = open_store(path)
            before = newest_lease(store)  # a store that cannot be reached costs no folder
        with folder_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(path)
        self._lease: Lease | None = None
        self._plan: bytes | None = None
        try:
            # It is the folder that is locked now that it writes to.
            super().__init__(path, store)
            self.store.remove_spooled(_RECORD)
            self._lease = take_lease(path, self, before=before)
            self.ledger = open_or_rebuild(path, self)
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Close the ledger, and release the lock and the lease."""
        if isinstance(self.store, RemoteStore):
            self.store.retry_seconds = CLOSING_SECONDS
        with contextlib.suppress(RunFolderError):  # what is finished is there, and another machine does without the rest
            self.record_plan()
        self.ledger.close()
        self._release()

    @property
    def lease_number(self) -> int:
        """Return the number of the lease that this process holds; 0 where the store has none."""
        return self._lease.number if self._lease is not None else 0

    def _release(self) -> None:
        # The lease first: with the lock alone, the next process of this machine would take what we are about to give up.
        if self._lease is not None:
            self._lease.close()
        self._lock.close()

    def record_plan(self) -> None:
        """Have the store of a run at a URL say what its ledger says and sidecars do not, for those who have no ledger of it.

        Nothing is put that is there already, and nothing before there is a plan.

        Raises:
            RunFolderError: The store or the ledger cannot be used.
        """
        if not url_of(self.path) or not (content := packed(self.ledger.jobs(removed=False))):
            return
        if self._plan is None:
            self._plan = recorded(self.store)
        if content != self._plan:
            record(self.store, content)
            self._plan = content

    def require_space(self, needed: int) -> None:
        """Make sure that so many bytes can be written. A disk that does not tell how much is free is believed to have enough.

        Raises:
            RunFolderError: There is less.
        """
        if not isinstance(self.store, LocalStore):
            return  # here lies no more than what is just being put
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
        record = self.recorded()
        seeds = {name: draw_seed() for name in sorted(set(names).difference(record.seeds))}
        self.record(replace(record, seeds={**record.seeds, **seeds}))
        return {**record.seeds, **seeds}

    def record_shard(self, shard: Shard, job_ids: Collection[str]) -> None:
        """Write down in ``run.json`` that this is a shard of a run, and which jobs it has.

        Raises:
            RunFolderError: The record is damaged, or cannot be written.
        """
        self.record(replace(self.recorded(), shard=ShardRecord(shard, frozenset(job_ids))))

    def record(self, record: RunRecord) -> None:
        """Write ``run.json``, unless it says this already.

        Raises:
            RunFolderError: It is damaged, or cannot be written.
        """
        if self.recorded() == record:
            return
        values: dict[str, Any] = {"format": FORMAT, "seeds": dict(record.seeds)}
        if record.date:
            values["date"] = record.date
        if (shard := record.shard) is not None:
            values["shard"] = {"index": shard.shard.index, "count": shard.shard.count, "jobs": sorted(shard.job_ids)}
        self.store.put([write_spool(self.store, _RECORD, [(json.dumps(values, indent=2) + "\n").encode()])])


def _shard_record(found: Any) -> ShardRecord:
    index, count, job_ids = found["index"], found["count"], frozenset(map(job_id_of, found["jobs"]))
    if not (type(index) is type(count) is int and 1 <= index <= count):
        raise ValueError("not a shard")
    return ShardRecord(Shard(index, count), job_ids)
