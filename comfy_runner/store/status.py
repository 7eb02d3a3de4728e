"""What is known of run folders without touching them: how jobs stand, who works there now, what is on which server.

Only the ledger is read, and no server is asked, so it works beside a live run and where nothing may be written. That of a run at a
URL is brought up to date before.
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
        row: What the ledger has of it.
        files: Its pictures when it last ended.
    """

    row: JobRow
    files: tuple[FileRow, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How a run stands.

    Attributes:
        folder: Its run folder.
        counts: The number of jobs in each state, without those that their recipes no longer have.
        removed: The number of those.
        holder: The process that works there now; None where none does, or that cannot be told.
        submissions: What servers may have of it, oldest first.
        jobs: The jobs that were asked for, in the order of the plan.
        shard: Which shard of a run it is; None for a whole one.
        shard_counts: The number of jobs in each state among those of the shard; the others are those of other shards.
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
        counts: As in `Status`; empty for a damaged one.
        removed: As in `Status`.
        holder: As in `Status`.
        last_activity: When its ledger was last written; None where it has none.
        problem: Why nothing is known of it; empty where something is.
    """

    folder: Path
    counts: Mapping[State, int]
    removed: int
    holder: Holder | None
    last_activity: datetime | None
    problem: str = ""


def status(path: Path | str, *, states: Collection[State] | None = None) -> Status:
    """Return how a run stands.

    Args:
        path: The run folder, or its URL.
        states: Which jobs to return, those that their recipes no longer have left out; None for all.

    Raises:
        RunFolderError: It is no run folder, or its ledger cannot be read.
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
    """Return the run folders below a folder, at most three levels down, by name; none where there is no such folder.

    A folder that is a run folder itself is the only one of its list. Damaged ones are listed with what is wrong with them.

    Args:
        folder: The folder.
        unreadable: Is told of each folder below it that cannot be looked into, and why; None for nobody.

    Raises:
        UsageError: The folder cannot be read.
    """
    start = local_path(folder)
    try:
        return tuple(map(_summary, _run_folders(start, _DEEPEST, unreadable or (lambda _folder, _why: None))))
    except OSError as error:
        raise UsageError(f"cannot be read ({reason_of(error)})", where=shown(start)) from error


def require_run(folder: Path) -> None:
    """Make sure that a folder is a run folder, without making anything.

    Raises:
        RunFolderError: It is none, or it has no ledger.
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
    """Return whether a folder is that of a run, also of one whose ledger is lost."""
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
