"""Run folders of one plan made one: the shards of a run, or parts of it that were rendered on several machines.

The folders that are merged are only read. Everything is checked before the first file is written. Files are copied, not linked, for
the reason that `LocalStore.copy` gives, and held against their checksums on the way. What was merged before is not copied again,
and a merge that was killed is finished by the next one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as bound
from pathlib import Path

from comfy_runner.control.merge_folders import folders_to_merge
from comfy_runner.control.merge_sources import (
    WITH_FILES,
    FoundJob,
    MergeSource,
    best_jobs,
    lacking_parts,
    one_plan,
    rank,
    require_same_pictures,
)
from comfy_runner.errors import Problem, RunFolderError
from comfy_runner.report.picks import read_picks
from comfy_runner.report.saved_picks import add_picks
from comfy_runner.store.interface import Spooled
from comfy_runner.store.ledger_rows import FileRow, JobRow, JobUpdate, PlanRow
from comfy_runner.store.local import folder_errors, write_spool
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import RunFolder, RunRecord
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.store.states import ENDED, Change, State
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named

_CHUNK = 1024 * 1024
_MOST_PROBLEMS = 20
_CHANGES: Mapping[State, Change] = {
    "done": Change.DONE,
    "partial": Change.PARTIAL,
    "failed": Change.FAILED,
    "cancelled": Change.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedRun:
    """What a merge has done.

    Attributes:
        folder: The run folder that it has made, or completed.
        sources: The run folders that were merged.
        counts: How many jobs are in each state there now.
        copied: How many jobs were taken over.
        size_bytes: The length of their files together.
        kept: How many jobs were there already.
        judged: How many pictures its ``picks.json`` says something of now.
        lacking: What was left out for it was not there: shards, and jobs that have not ended, in words.
    """

    folder: Path
    sources: tuple[Path, ...]
    counts: Mapping[State, int]
    copied: int
    size_bytes: int
    kept: int
    judged: int
    lacking: tuple[str, ...]


def merge(
    run_folders: Iterable[Path | str],
    to: Path | str,
    *,
    partial: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> MergedRun:
    """Make one run folder of several that have parts of the same plan, such as the shards of a run.

    Args:
        run_folders: Their folders, or folders that hold them side by side, paths or URLs. They are not changed.
        to: The run folder to make, a path or a URL; one that is there, and is of the same plan, is completed.
        partial: Whether it is made although shards are missing, or jobs of a shard have not ended.
        progress: Called with how many jobs have been taken over, and how many there are to take; None for nothing.

    Raises:
        UsageError: A folder is named that holds no run, or the one to make is one of those to merge.
        InputError: A ``picks.json`` is damaged.
        RunFolderError: They are not parts of one plan, two have other pictures of one job, something is missing or damaged, or the
            folder to make is in use or cannot be written.
    """
    target = local_part(to)
    folders = folders_to_merge(run_folders, target)
    with contextlib.ExitStack() as stack:
        sources = [MergeSource.read(folder, stack) for folder in folders]
        plan = one_plan(sources)
        lacking = list(lacking_parts(sources))
        if lacking and not partial:
            raise RunFolderError.of(lacking)
        found = best_jobs(plan, sources)
        _raise_if(problem for job in found.values() for problem in job.problems())
        recorded = [source.view.recorded() for source in sources]
        said = [picks for source in sources if (picks := read_picks(source.view.store)) is not None]
        seeds = {name: seed for each in reversed(recorded) for name, seed in each.seeds.items()}
        _one_date(sources, recorded)
        folder = stack.enter_context(contextlib.closing(RunFolder(target)))
        if folder.shard() is not None:
            raise RunFolderError("is itself a shard", where=shown(target), hint="give another --to DIR")
        read_picks(folder.store)  # what is damaged is told before anything is written
        date = _one_date(sources, [*recorded, folder.recorded()])
        todo = _todo(plan, found, folder)
        size = sum(row.size_bytes for job in todo for row in job.files)
        folder.require_space(size)
        folder.record(RunRecord(seeds | folder.seeds(), None, date))
        again = {job.row.job_id: job.row for job in todo}
        here = {row.job_id: row for row in folder.ledger.jobs(removed=False)}
        rows = [(row, again.get(row.job_id) or here.get(row.job_id) or row) for row in plan]
        folder.ledger.write_plan(
            (_plan_row(now, place=row.position, requeue="was merged" if row.job_id in again else "") for row, now in rows),
            recipes={row.recipe for row in plan},
        )
        for number, job in enumerate(todo, start=1):
            _take_over(job, folder)
            if progress is not None:
                progress(number, len(todo))
        judged = add_picks(target, folder.store, said).picks if said else {}
        return MergedRun(
            folder=target,
            sources=tuple(folders),
            counts=folder.ledger.counts(),
            copied=len(todo),
            size_bytes=size,
            kept=sum(1 for job in found.values() if job.row.state in ENDED) - len(todo),
            judged=len(judged),
            lacking=tuple(map(str, lacking)),
        )


def _one_date(sources: Sequence[MergeSource], recorded: Sequence[RunRecord]) -> str:
    """Return the day that the names of all files have, empty where they have none.

    Raises:
        RunFolderError: They have several, so that the merged run could not be continued: its jobs would have other paths.
    """
    dates = {each.date: None for each in recorded if each.date}
    if len(dates) > 1:
        what = f"the runs began on different days, which are in the names of their files ({', '.join(sorted(dates))})"
        raise RunFolderError(what, where=sources[0].beside, hint="keep them apart, and view them together: comfy-runner report")
    return next(iter(dates), "")


def _todo(plan: Sequence[JobRow], found: Mapping[str, FoundJob], folder: RunFolder) -> list[FoundJob]:
    """Return what a run folder lacks, or has less of.

    Raises:
        RunFolderError: It is of another plan, or has other pictures of a job.
    """
    here = MergeSource(folder.path, folder, folder.ledger, None, None, list(folder.ledger.jobs(removed=False)))
    hashes = {row.job_id: row.content_hash for row in plan}
    strangers = [row.job_id for row in here.rows if hashes.get(row.job_id) != row.content_hash]
    if strangers:
        raise RunFolderError(f"belongs to another plan: {named(strangers)}", where=shown(folder.path), hint="give another --to DIR")
    known = {row.job_id: row for row in here.rows}
    todo = []
    for job in found.values():
        row = known.get(job.row.job_id)
        if job.row.state not in ENDED or (row and rank(row) < rank(job.row)):
            continue
        if row is not None and row.state == job.row.state:
            old = FoundJob(here, row, folder.ledger.files(row.job_id))
            if all(map(folder.is_untouched, old.files)):
                if old.row.state == "done" and old.sums != job.sums:
                    require_same_pictures(old, job)
                if old.row.state == "done" or (old.sums, old.row.finished) == (job.sums, job.row.finished):
                    continue
        todo.append(job)
    return todo


def _take_over(job: FoundJob, folder: RunFolder) -> None:
    """Put the files of a job and its sidecar into a run folder, then what became of it into the ledger there.

    Raises:
        RunFolderError: A file is not what was collected, or cannot be read or written.
    """
    row, rows, prompt_id = job.row, None, None
    if row.state in WITH_FILES:
        sidecar = job.sidecar()
        _copy_files(job, sidecar, folder)
        stats = [(file, folder.store.stat(file.path)) for file in job.files]
        rows = [replace(file, mtime_ns=stat.modified_ns if stat else 0) for file, stat in stats]
        server = sidecar.server.get("url")
        if row.prompt_id and isinstance(server, str):
            # How fast the server was with it tells how long later plans take.
            prompt_id = row.prompt_id
            folder.ledger.know_ended(prompt_id, server=server)
    update = JobUpdate(
        row.job_id,
        _CHANGES[row.state],
        prompt_id=prompt_id,
        files=rows,
        error=row.error,
        seconds=row.seconds,
        work=row.work,
        finished=row.finished,
    )
    folder.ledger.settle(update)


def _copy_files(job: FoundJob, sidecar: Sidecar, folder: RunFolder) -> None:
    job_id, keys = job.row.job_id, [file.path for file in job.files]
    folder.remove_leftovers(job_id, keys)
    if folder.sidecar(job_id) == sidecar and all(map(folder.has, job.files)):
        return  # by a merge that was killed before it wrote that down
    spooled: list[Spooled] = []
    try:
        spooled.extend(_spooled(job, file, folder) for file in job.files)
        folder.archive(job_id, keys)
        folder.put(sidecar, spooled)
    except BaseException:
        for each in spooled:
            each.path.unlink(missing_ok=True)
        raise


def _spooled(job: FoundJob, file: FileRow, folder: RunFolder) -> Spooled:
    artifact = job.source.view.artifact(file)
    with folder_errors(artifact), artifact.open() as content:
        spooled = write_spool(folder.store, file.path, iter(bound(content.read, _CHUNK), b""))
    if spooled.sha256 != file.sha256:
        spooled.path.unlink(missing_ok=True)
        raise RunFolderError("was changed since it was collected", where=str(artifact), hint=job.way_out)
    return spooled


def _plan_row(row: JobRow, *, place: int | None, requeue: str) -> PlanRow:
    return PlanRow(
        job_id=row.job_id,
        position=place,
        recipe=row.recipe,
        content_hash=row.content_hash,
        pixel_hash=row.pixel_hash,
        shares=row.shares,
        assignments=row.assignments,
        requeue=requeue,
    )


def _raise_if(problems: Iterable[Problem]) -> None:
    found = list(problems)
    if found:
        more = [Problem(f"and {counted(len(found) - _MOST_PROBLEMS, 'more file')}")] if len(found) > _MOST_PROBLEMS else []
        raise RunFolderError.of([*found[:_MOST_PROBLEMS], *more])
