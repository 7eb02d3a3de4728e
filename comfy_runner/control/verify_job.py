"""Whether a job still has what was collected: each of its files checked against its sidecar, and that against the ledger.

A file with the checksum of its sidecar is the one that was verified when it was collected, so only others are decoded, to tell
whether they are pictures at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Literal

from comfy_runner.collect.verify import verify_picture
from comfy_runner.errors import RunFolderError, VerificationError
from comfy_runner.store.interface import checksum
from comfy_runner.store.ledger_rows import FileRow, KnownJob
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.sidecar import FileRecord, Sidecar
from comfy_runner.text_files import reason_of, shown
from comfy_runner.wording import counted

DiscrepancyKind = Literal["missing", "changed", "conflicting", "unreadable"]

_WITH_FILES = ("done", "partial")
"""The states of jobs that have files and a sidecar."""

_AGAIN = "run its recipe again with --force, and --only for its job; what is there now is kept in superseded/"
_MISSING = "run its recipe again, which renders what is missing"
_NO_SIDECAR = "run its recipe again with --force, and --only for its job"
_MOVE = "move it away, and run its recipe again with --force, and --only for its job; its pictures stay"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """What a run folder has not as it was collected.

    Attributes:
        kind: ``missing``: a file that its sidecar or the ledger records is not there; ``changed``: it is not what was collected;
            ``conflicting``: sidecar and ledger say different things, or one of them is not there; ``unreadable``: a sidecar, the
            ledger or a file cannot be read.
        job_id: The job; empty for the ledger itself.
        role: The output role; empty for a sidecar and for the ledger.
        file: What it is about, as messages call it.
        what: What is wrong, in a few words that follow the name of the file.
        hint: The way out.
    """

    kind: DiscrepancyKind
    job_id: str
    role: str
    file: str
    what: str
    hint: str


@dataclass(slots=True)
class VerifiedJob:
    """What there is to say of a job's files.

    Attributes:
        job_id: The job.
        keys: What its sidecar and the ledger record, and the sidecar.
        files: How many files were read.
        size_bytes: Their lengths together.
        wrong: What is not as it was collected.
    """

    job_id: str
    keys: set[str]
    files: int = 0
    size_bytes: int = 0
    wrong: list[Discrepancy] = field(default_factory=list)


def verify_job(view: FolderView, job_id: str, known: KnownJob | None, rows: Sequence[FileRow], *, is_read: bool) -> VerifiedJob:
    """Hold a job's files against what is recorded of them; nothing is changed.

    Args:
        view: The run folder.
        job_id: The job.
        known: What the ledger says of it; None where it does not know it.
        rows: The files that the ledger has of it.
        is_read: Whether the ledger could be read.
    """
    key = view.sidecar_key(job_id)
    found = VerifiedJob(job_id, {key, *(row.path for row in rows)})
    where = view.store.location(key)
    sidecar: Sidecar | None = None
    is_damaged = False
    try:
        sidecar = view.sidecar(job_id)
        if sidecar is not None and sidecar.job_id != job_id:
            raise RunFolderError("is the sidecar of another job", where=where, hint=_MOVE)
    except RunFolderError as error:
        sidecar, is_damaged = None, True
        problem = error.problems[0]
        hint = problem.hint if problem.hint == "upgrade it" else _MOVE
        found.wrong.append(Discrepancy("unreadable", job_id, "", problem.where or where, problem.what, hint))
    # The files of a job that is to be made again may be out of the way already, and its sidecar with them.
    stands = known is not None and known.state in _WITH_FILES
    recorded = _flat(sidecar) if sidecar is not None else {(row.role, row.number): row for row in rows if stands}
    found.keys |= {record.path for record in recorded.values()}
    digest = cache(partial(checksum, view.store))  # a spoiled sidecar may name one file a million times
    for (role, _), record in recorded.items():
        _hold(view, found, role, record, digest)
    if is_read and not is_damaged and (problem_and_hint := _compared(sidecar, known, rows, view)):
        found.wrong.append(Discrepancy("conflicting", job_id, "", where, *problem_and_hint))
    return found


def _flat(sidecar: Sidecar) -> dict[tuple[str, int], FileRecord | FileRow]:
    return {(role, number): record for role, records in sidecar.files.items() for number, record in enumerate(records)}


def _compared(sidecar: Sidecar | None, known: KnownJob | None, rows: Sequence[FileRow], view: FolderView) -> tuple[str, str] | None:
    """Return in what a job's sidecar and the ledger differ, and the way out; None where they agree.

    A job that waits, or failed when it was rendered once more, has the sidecar of what it was before.
    """
    repair = f"comfy-runner repair {shown(view.path)} rebuilds the ledger from the sidecars"
    if known is None:
        return ("belongs to a job that the ledger does not have", repair) if sidecar is not None else None
    if known.state not in _WITH_FILES:
        return None
    if sidecar is None:
        return f"is missing, but the ledger has the job as {known.state}", _NO_SIDECAR
    if sidecar.content_hash != known.content_hash:
        return "has another content hash of the job than the ledger", repair
    theirs = {(row.role, row.number): (row.path, row.size_bytes, row.sha256) for row in rows}
    ours = {place: (record.path, record.size_bytes, record.sha256) for place, record in _flat(sidecar).items()}
    if ours != theirs:
        roles = sorted({role for role, number in {*ours, *theirs} if ours.get((role, number)) != theirs.get((role, number))})
        return f"records different files from the ledger ({', '.join(roles)})", repair
    return None


def _hold(view: FolderView, found: VerifiedJob, role: str, record: FileRecord | FileRow, digest: Callable[[str], str]) -> None:
    """Hold a file against what is recorded of it."""
    where, stat = view.store.location(record.path), view.store.stat(record.path)
    if stat is None:
        found.wrong.append(Discrepancy("missing", found.job_id, role, where, "is missing", _MISSING))
        return
    found.files += 1
    found.size_bytes += stat.size_bytes
    try:
        if stat.size_bytes == record.size_bytes and digest(record.path) == record.sha256:
            return
        what = f"was changed{_told(view, record, stat.size_bytes)}"
        found.wrong.append(Discrepancy("changed", found.job_id, role, where, what, _AGAIN))
    except OSError as error:
        what = f"cannot be read: {reason_of(error)}"
        found.wrong.append(Discrepancy("unreadable", found.job_id, role, where, what, "check its permissions, and the disk"))


def _told(view: FolderView, record: FileRecord | FileRow, size_bytes: int) -> str:
    """Return how a file was changed, to follow that it was."""
    if suffix_of(record.path) in PICTURES:
        try:
            verify_picture(view.artifact(record), expected=None, may_be_flat=True)
        except VerificationError as error:
            return f", and {error.problems[0].what}"
    if isinstance(record.size_bytes, int) and size_bytes != record.size_bytes:
        return f" ({counted(record.size_bytes, 'byte was', 'bytes were')} collected, got {size_bytes})"
    return ""
