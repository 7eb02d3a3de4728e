"""The run folders that a merge is of, read and held against each other: of one plan, complete, sound, and never of two opinions.

They are only read. What is written is the business of `merge`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.control.garbage import INTERNAL
from comfy_runner.errors import Problem, RunFolderError, VerificationError
from comfy_runner.report.pixels import read_pixels
from comfy_runner.store.interface import Artifact
from comfy_runner.store.job_files import SUPERSEDED
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobRow
from comfy_runner.store.lock import Holder, holder
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.refresh import refresh
from comfy_runner.store.remote import listed_once
from comfy_runner.store.run_folder import FolderView, ShardRecord
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.store.states import ENDED, State
from comfy_runner.store.status import require_run
from comfy_runner.text_files import on_one_line, shown, url_of
from comfy_runner.wording import counted, named

_BEST_FIRST: Sequence[State] = ("done", "partial", "failed", "cancelled", "submitted", "pending")
_PARTIAL = "or merge the others with --partial"

WITH_FILES = ("done", "partial")
"""The states of jobs that have files and a sidecar."""


def rank(row: JobRow) -> int:
    """Return how good what there is of a job is; less is better."""
    return _BEST_FIRST.index(row.state)


@dataclass(frozen=True, slots=True)
class MergeSource:
    """A run folder that is merged.

    Attributes:
        folder: The folder.
        view: Its files.
        ledger: Its ledger, read-only.
        record: Which shard it is; None where it is none.
        holder: The process that works there; None where none does.
        rows: The jobs of its plan, in order.
    """

    folder: Path
    view: FolderView
    ledger: Ledger
    record: ShardRecord | None
    holder: Holder | None
    rows: list[JobRow]

    @classmethod
    def read(cls, folder: Path, stack: contextlib.ExitStack) -> MergeSource:
        """Return a run folder, whose ledger is open as long as the stack is.

        The ledger of a run at a URL is made from what lies there, unless this is the machine that wrote there last.

        Raises:
            RunFolderError: It is none, or it cannot be read.
        """
        elsewhere = refresh(folder)
        require_run(folder)
        view = FolderView(folder)
        stack.enter_context(listed_once(view.store))
        ledger = stack.enter_context(Ledger(folder / FILE, readonly=True))
        rows = [row for row in ledger.jobs(removed=False) if row.position is not None]
        if url_of(folder) and not rows:
            hint = "run the same command again where the jobs were rendered, which records it"
            raise RunFolderError("does not record the jobs of its plan", where=shown(folder), hint=hint)
        return cls(folder, view, ledger, view.shard(), holder(folder) or elsewhere, rows)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"shard {self.record.shard} ({shown(self.folder)})" if self.record else shown(self.folder)

    @property
    def beside(self) -> str:
        """Where it lies, as messages call that: what others are beside of it."""
        url = url_of(self.folder)
        return on_one_line(url.rpartition("/")[0]) if url else shown(self.folder.parent)


@dataclass(frozen=True, slots=True)
class FoundJob:
    """The best that there is of a job.

    Attributes:
        source: Where it is.
        row: What the ledger there says of it.
        files: Its files there; none unless it is done, or partial.
    """

    source: MergeSource
    row: JobRow
    files: list[FileRow]

    @property
    def sums(self) -> list[tuple[str, int, str]]:
        """The checksums of its files, by role and number."""
        return [(row.role, row.number, row.sha256) for row in self.files]

    def sidecar(self) -> Sidecar:
        """Return its sidecar, of a job that has files.

        Raises:
            RunFolderError: It is gone, damaged, or of something else.
        """
        found, where = self.source.view.sidecar(self.row.job_id), self._location(self.source.view.sidecar_key(self.row.job_id))
        if found is None:
            raise RunFolderError("is gone", where=where, hint=self.way_out)
        recorded = {(record.path, record.sha256) for records in found.files.values() for record in records}
        if found.content_hash != self.row.content_hash or not recorded.issuperset((row.path, row.sha256) for row in self.files):
            raise RunFolderError("does not say what the ledger says", where=where, hint=self.way_out)
        return found

    def problems(self) -> Iterator[Problem]:
        """Yield what of its files is not as it was collected, as far as that shows without reading them."""
        if self.row.state not in WITH_FILES:
            return
        try:
            self.sidecar()
        except RunFolderError as error:
            yield from (Problem(each.what, each.where, self.way_out) for each in error.problems)
        for row in self.files:
            first, *_, last = row.path.casefold().split("/") * 2
            if first in (*INTERNAL, SUPERSEDED) or first.startswith(".") or last == "job.json":
                # A run folder may come from anywhere; what a run has for itself is no picture of a job.
                yield Problem("is not a possible place for a file of a job", self._location(row.path))
            stat = self.source.view.store.stat(row.path)
            if stat is None or stat.size_bytes != row.size_bytes:
                yield Problem("is gone or was changed", self._location(row.path), self.way_out)

    def _location(self, key: str) -> str:
        return self.source.view.store.location(key)

    @property
    def way_out(self) -> str:
        """What is to be done about a file that is not as it was collected."""
        return "run its shard again, which renders what is missing; `comfy-runner verify` shows everything that is wrong there"


def one_plan(sources: Sequence[MergeSource]) -> list[JobRow]:
    """Return the jobs that all sources are of, in order.

    Raises:
        RunFolderError: They are not of one plan, or shards of different deals.
    """
    first = sources[0]
    hint = "shards must have the same plan: the same recipes, --set, --sweep and templates"
    for source in sources[1:]:
        if [(row.job_id, row.content_hash) for row in source.rows] != [(row.job_id, row.content_hash) for row in first.rows]:
            raise RunFolderError(
                f"has another plan than {shown(first.folder)}: {_difference(source.rows, first.rows)}",
                where=shown(source.folder),
                hint=hint,
            )
    deals = {source.record.shard.count: source for source in sources if source.record is not None}
    if len(deals) > 1:
        names = " and ".join(source.name for source in list(deals.values())[:2])
        raise RunFolderError(f"belong to different splits: {names}", where="the shards", hint="merge those of one split")
    return first.rows


def _difference(rows: Sequence[JobRow], others: Sequence[JobRow]) -> str:
    here, there = ({row.job_id: row.content_hash for row in each} for each in (rows, others))
    if missing := [job_id for job_id in there if job_id not in here]:
        return f"it has no {named(missing)}"
    if more := [job_id for job_id in here if job_id not in there]:
        return f"only it has {named(more)}"
    if changed := [job_id for job_id in here if here[job_id] != there[job_id]]:
        return f"{named(changed)} {'is' if len(changed) == 1 else 'are'} different from there"
    return "it has the jobs in a different order"


def lacking_parts(sources: Sequence[MergeSource]) -> Iterator[Problem]:
    """Yield which shards are missing, and which have not ended."""
    shards = {source.record.shard.index: source for source in sources if source.record is not None}
    count = next((source.record.shard.count for source in sources if source.record is not None), 0)
    missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in shards]
    if missing:
        what = f"{counted(len(missing), 'shard is', 'shards are')} missing: {named(missing)}"
        yield Problem(what, next(iter(shards.values())).beside, f"run them, {_PARTIAL}")
    ended = {row.job_id for source in sources for row in source.rows if row.state in ENDED}
    for source in sources:
        own = source.record.job_ids if source.record is not None else frozenset[str]()
        waiting = Counter(row.state for row in source.rows if row.job_id in own and row.job_id not in ended)
        if waiting:
            states = ", ".join(f"{number} {state}" for state, number in sorted(waiting.items()))
            live = "; it is running now" if source.holder is not None else ""
            unended = counted(sum(waiting.values()), "job has", "jobs have")
            what = f"{unended} not ended, of {len(own)}: {states}{live}"
            yield Problem(what, source.name, f"run it again, {_PARTIAL}")


def best_jobs(plan: Sequence[JobRow], sources: Sequence[MergeSource]) -> dict[str, FoundJob]:
    """Return the best that there is of each job.

    Raises:
        RunFolderError: Two sources have other pictures of one job.
    """
    found: dict[str, FoundJob] = {}
    for source in sources:
        for row in source.rows:
            known = found.get(row.job_id)
            if known is not None and rank(row) > rank(known.row):
                continue
            files = source.ledger.files(row.job_id) if row.state in WITH_FILES else []
            new = FoundJob(source, row, files)
            if known is None or rank(row) < rank(known.row):
                found[row.job_id] = new
            elif row.state == "done" and new.sums != known.sums:
                require_same_pictures(known, new)
    return {row.job_id: found[row.job_id] for row in plan}


def require_same_pictures(one: FoundJob, other: FoundJob) -> None:
    """Make sure that two sets of files of one job have the same pixels, whatever else is in them.

    Raises:
        RunFolderError: They have not, or it cannot be told.
    """
    if [_content(one, row) for row in one.files] != [_content(other, row) for row in other.files]:
        what = f"has other pictures in {one.source.name} than in {other.source.name}"
        raise RunFolderError(what, where=one.row.job_id, hint="merge only one of them")


def _content(job: FoundJob, row: FileRow) -> tuple[str, int, str]:
    content = row.sha256
    if suffix_of(row.path) in PICTURES:
        with contextlib.suppress(VerificationError):
            content = read_pixels(Artifact(job.source.view.store, row.path)).sha256
    return row.role, row.number, content
