"""The state of run folders, without changing them: their jobs, the process that works there now, and submissions on servers.

Only the ledger is read and no server is asked, so this works beside a live run and in folders that cannot be written. The ledger
of a run at a URL is brought up to date first.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.shard import Shard
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rebuild import lacks_ledger
from comfy_runner.store.ledger_rows import FileRow, JobRow, OpenSubmission
from comfy_runner.store.local import folder_errors
from comfy_runner.store.lock import Holder, holder
from comfy_runner.store.refresh import refresh
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import FolderView, ShardRecord
from comfy_runner.store.states import State
from comfy_runner.text_files import is_file, local_path, reason_of, shown, url_of

_DEEPEST = 3
_LIST = "`comfy-runner runs DIR` lists the run folders below a folder"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job of a run folder.

    Attributes:
        row: The job in the ledger.
        files: The pictures that the job had when it last ended.
    """

    row: JobRow
    files: tuple[FileRow, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a run.

    Attributes:
        folder: The run folder.
        counts: The number of jobs in each state, without removed jobs.
        removed: The number of removed jobs, which are no longer in their recipes.
        holder: The process that works in the folder now; None if there is none, or it cannot be determined.
        submissions: The submissions that may be on servers, oldest first.
        jobs: The requested jobs, in the order of the plan.
        shard: Which shard of a run this is; None for a whole run.
        shard_counts: The number of the shard's own jobs in each state; the other jobs belong to other shards.
    """

    folder: Path
    counts: Mapping[State, int]
    removed: int
    holder: Holder | None
    submissions: tuple[OpenSubmission, ...]
    jobs: tuple[JobStatus, ...]
    shard: Shard | None = None
    shard_counts: Mapping[State, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """A run folder in a list of several.

    Attributes:
        folder: The run folder.
        counts: As in `Status`; empty if the folder is damaged.
        removed: As in `Status`.
        holder: As in `Status`.
        last_activity: When the ledger was last written; None if there is no ledger.
        problem: Why the folder cannot be read; empty if it can.
    """

    folder: Path
    counts: Mapping[State, int]
    removed: int
    holder: Holder | None
    last_activity: datetime | None
    problem: str = ""


def status(path: Path | str, *, states: Collection[State] | None = None) -> Status:
    """Return the state of a run.

    Args:
        path: The run folder, or its URL.
        states: The states of the jobs to return, without removed jobs; None for all jobs.

    Raises:
        RunFolderError: The path is not a run folder, or its ledger cannot be read.
    """
    folder = local_part(path)
    elsewhere = refresh(folder)
    require_run(folder)
    record: ShardRecord | None = None
    with contextlib.suppress(RunFolderError):  # only seeds are lost with it, which a run says when it needs them
        record = FolderView(folder).shard()
    with Ledger(folder / FILE, readonly=True) as ledger:
        known = ledger.known() if record else {}
        rows = list(ledger.jobs(states=states, removed=None if states is None else False))
        return Status(
            folder=folder,
            counts=ledger.counts(),
            removed=sum(1 for _ in ledger.jobs(removed=True)),
            holder=holder(folder) or elsewhere,
            submissions=tuple(ledger.open_submissions()),
            jobs=tuple(JobStatus(row, tuple(ledger.files(row.job_id))) for row in rows),
            shard=record.shard if record else None,
            shard_counts=Counter(known[job_id].state for job_id in record.job_ids if job_id in known) if record else {},
        )


def list_runs(folder: Path | str = "runs", *, unreadable: Callable[[Path, str], object] | None = None) -> tuple[Summary, ...]:
    """Return the run folders below a folder, at most three levels down, sorted by name; an empty list if it does not exist.

    If the folder is a run folder itself, the list contains only that. Damaged run folders are listed with their problem.

    Args:
        folder: The folder.
        unreadable: Called with each folder below it that cannot be read, and the reason; None to ignore these.

    Raises:
        UsageError: The folder cannot be read.
    """
    start = local_path(folder)
    try:
        return tuple(map(_summary, _run_folders(start, _DEEPEST, unreadable or (lambda _folder, _why: None))))
    except OSError as error:
        raise UsageError(f"cannot be read ({reason_of(error)})", where=shown(start)) from error


def require_run(folder: Path) -> None:
    """Check that a folder is a run folder, without creating anything.

    Raises:
        RunFolderError: The folder is not a run folder, or it has no ledger.
    """
    with folder_errors(folder):
        is_there = folder.is_dir()
    if url_of(folder) and not is_file(folder / FILE):
        raise RunFolderError("no such run folder", where=shown(folder), hint="check the URL: there is no job")
    if not is_there:
        inside = Path("runs") / folder
        hint = f"did you mean {shown(inside)}?" if not folder.is_absolute() and is_run_folder(inside) else _LIST
        raise RunFolderError("no such run folder", where=shown(folder), hint=hint)
    if lacks_ledger(folder):
        hint = f"comfy-runner repair {shown(folder)} makes one from the pictures' sidecars"
        raise RunFolderError("has no ledger", where=shown(folder), hint=hint)
    if not is_run_folder(folder):
        raise RunFolderError("is not a run folder", where=shown(folder), hint=_LIST)


def is_run_folder(folder: Path) -> bool:
    """Return whether a folder is a run folder, even if its ledger is lost."""
    try:
        return (folder / FILE).is_file() or lacks_ledger(folder)
    except OSError:
        return False


def _run_folders(folder: Path, deeper: int, unreadable: Callable[[Path, str], object]) -> Iterator[Path]:
    if is_run_folder(folder):
        yield folder
        return
    try:
        found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            return
        if deeper == _DEEPEST:
            raise
        unreadable(folder, reason_of(error))
        return
    for name in found if deeper else ():
        if not name.startswith("."):
            yield from _run_folders(folder / name, deeper - 1, unreadable)


def _summary(folder: Path) -> Summary:
    problem, counts, removed, written = "", {}, 0, None
    try:
        require_run(folder)
        written = datetime.fromtimestamp((folder / FILE).stat().st_mtime, UTC)
        with Ledger(folder / FILE, readonly=True) as ledger:
            counts = ledger.counts()
            removed = sum(1 for _ in ledger.jobs(removed=True))
    except RunFolderError as error:
        problem = error.problems[0].what
    except OSError as error:
        problem = reason_of(error)
    return Summary(folder, counts, removed, holder(folder), written, problem)
