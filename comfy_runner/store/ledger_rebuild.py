"""A run folder's ledger made again from its sidecars, where it is damaged, lost, or was never there.

Sidecars tell what is done; of a run at a URL, the record of its plan tells what else there is, and why jobs failed. What a ledger
knows beyond that, such as submissions that a server still has, is lost; such jobs are rendered again. Pictures and sidecars are
only read, and the old ledger is moved aside, never deleted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from comfy_runner.atomic_files import move_into_place
from comfy_runner.errors import Problem, RunFolderError
from comfy_runner.recipe.names import slug
from comfy_runner.store.database import Damaged
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, PlanRow, job_id_of, read_row, storable
from comfy_runner.store.plan_record import read_plan
from comfy_runner.store.sidecar import UNREADABLE, FileRecord, Sidecar
from comfy_runner.store.states import Change
from comfy_runner.text_files import reason_of, shown

_SIDECARS = "*/job.json"
_NEW = f".{FILE}.new"
_BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite may have left beside a file. A journal that is not its own would destroy the new ledger."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of a ledger.

    Attributes:
        ledger: The new file.
        jobs: How many jobs it has.
        aside: Where the old one is now; None where there was none.
        problems: The sidecars that could not be read, and pictures that are not as their sidecars say.
    """

    ledger: Path
    jobs: int
    aside: Path | None
    problems: tuple[Problem, ...]


def lacks_ledger(folder: Path) -> bool:
    """Return whether a run folder has sidecars and no ledger, as one of an older comfy_runner has."""
    path = folder / FILE
    with contextlib.suppress(OSError):
        if path.exists() and path.stat().st_size:
            return False
        return next(folder.glob(_SIDECARS), None) is not None
    return False


def open_or_rebuild(folder: Path, files: JobFiles) -> Ledger:
    """Open a run folder's ledger, made from the sidecars where an older comfy_runner has left it without one.

    Args:
        folder: The run folder; the caller holds its lock.
        files: The files of its jobs.

    Raises:
        RunFolderError: The ledger is damaged or written by a newer version, or the folder cannot be written.
    """
    if lacks_ledger(folder):
        rebuild(folder, files)
    return Ledger(folder / FILE)


def rebuild(folder: Path, files: JobFiles) -> Rebuilt:
    """Make a run folder's ledger again from its sidecars.

    It may be killed at any instant: then the old ledger is in place, or there is none and `open_or_rebuild` makes it.

    Args:
        folder: The run folder; the caller holds its lock.
        files: The files of its jobs.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    path = folder / FILE
    new = folder / _NEW
    problems: list[Problem] = []
    try:
        _remove(new)
        with Ledger(new) as ledger:
            found = list(_found(files, problems))
            ledger.write_plan((row for row, _ in found), recipes=())
            ledger.settle(*(end for _, end in found))
            _put_in_order(ledger, files.store, {row.job_id: row.content_hash for row, _ in found}, problems)
            jobs = len(ledger.known())
        aside = _move_aside(path)
        move_into_place(new, path)
    except OSError as error:
        what = reason_of(error)
        raise RunFolderError(f"cannot be rebuilt: {what}", where=shown(path)) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(new)
    return Rebuilt(path, jobs, aside, tuple(problems))


def _put_in_order(ledger: Ledger, store: ArtifactStore, found: Mapping[str, str], problems: list[Problem]) -> None:
    """Put into a ledger what the record of the plan says, if the store has one: the order of jobs, those that have no sidecar.

    Args:
        ledger: It has the jobs with sidecars.
        store: Where the record is.
        found: The content hash in each sidecar, by job.
        problems: Gets what is wrong with the record.
    """
    try:
        plan = read_plan(store)
    except RunFolderError as error:
        problems += error.problems
        return
    if plan is None:
        return
    again = (
        replace(
            row, requeue="has changed since it was rendered" if found.get(row.job_id, row.content_hash) != row.content_hash else ""
        )
        for row in plan.rows
    )
    ledger.write_plan(again, recipes={row.recipe for row in plan.rows})
    ledger.settle(*(end for end in plan.ends if end.job_id not in found))


def _remove(path: Path) -> None:
    for name in ("", *_BESIDE):
        path.with_name(path.name + name).unlink(missing_ok=True)


def _move_aside(path: Path) -> Path | None:
    """Move a ledger, and what belongs to it, to a name that is free; return the ledger's new name."""
    number = 1
    while any(os.path.lexists(f"{path}.damaged-{number}{name}") for name in ("", *_BESIDE)):
        number += 1
    aside = path.with_name(f"{path.name}.damaged-{number}")
    moved = None
    # The ledger first: without it, nobody takes its journal for that of another.
    for name in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + name).rename(aside.with_name(aside.name + name))
            moved = moved or aside
    return moved


def _found(files: JobFiles, problems: list[Problem]) -> Iterator[tuple[PlanRow, JobUpdate]]:
    """Yield what each sidecar says of its job."""
    for job_id in files.job_ids():
        try:
            sidecar = files.sidecar(job_id)
            if sidecar is not None:
                row = _row(sidecar, job_id)
                yield row, _end(files, sidecar, problems)
        except RunFolderError as error:
            problems += error.problems
        except (*UNREADABLE, Damaged) as error:
            where = files.store.location(files.sidecar_key(job_id))
            problems.append(Problem(f"is damaged: {error}", where, "move it away to have the job rendered again"))


def _row(sidecar: Sidecar, job_id: str) -> PlanRow:
    """Return what a sidecar tells of its job; it is not in a plan as long as no recipe is."""
    if sidecar.job_id != job_id:
        raise ValueError("it belongs to another job than its folder")
    return PlanRow(
        job_id=_encodable(job_id_of(sidecar.job_id)),
        position=None,
        recipe=storable(sidecar.recipe_name or slug(sidecar.recipe.get("name", ""))),
        content_hash=sidecar.content_hash,
        pixel_hash="",
        shares=storable(sidecar.shares),
        assignments=dict(sidecar.assignments),
    )


def _end(files: JobFiles, sidecar: Sidecar, problems: list[Problem]) -> JobUpdate:
    rows, gone = [], []
    for role, records in sidecar.files.items():
        for number, record in enumerate(records):
            row = _file(files.store, role, number, record)
            if row is None:
                gone.append(Problem("is gone or was changed", files.store.location(record.path), "the job is rendered again"))
            else:
                rows.append(row)
    problems += gone
    complete = sidecar.state == "done" and not gone
    seconds = sidecar.seconds
    return JobUpdate(
        job_id=sidecar.job_id,
        change=Change.DONE if complete else Change.PARTIAL if rows else Change.FAILED,
        files=tuple(rows),
        error="" if complete else str(gone[0]) if gone else str(sidecar.reason),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        finished=storable(str(sidecar.finished)) or None,
    )


def _file(store: ArtifactStore, role: str, number: int, record: FileRecord) -> FileRow | None:
    """Return what the ledger is to know of a picture; None where it is not there with its recorded size."""
    found = store.stat(record.path)
    if found is None or found.size_bytes != record.size_bytes:
        return None
    values = (_encodable(role), number, _encodable(record.path), found.size_bytes, found.modified_ns, _encodable(record.sha256))
    return read_row(FileRow, values)


def _encodable(text: str) -> str:
    """Return a name as it is, or raise the `ValueError` of one that no file could have."""
    text.encode()
    return text
