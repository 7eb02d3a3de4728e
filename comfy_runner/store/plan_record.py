"""The plan of a run at a URL, kept in the store beside the sidecars: what these do not tell to whoever has no ledger of the run.

Sidecars tell what is done. Which other jobs there are, in which order, and why some have failed stands in the ledger of the machine
that rendered them; here it can be read on any other one. What it says may come from anybody, and is checked.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from comfy_runner.errors import RunFolderError
from comfy_runner.store.database import Damaged
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.ledger_rows import JobRow, JobUpdate, PlanRow, job_id_of, storable
from comfy_runner.store.local import folder_errors, write_spool
from comfy_runner.store.sidecar import HASH, UNREADABLE
from comfy_runner.store.states import Change
from comfy_runner.wording import MIB

KEY: Final = ".plan.json.gz"
"""Its key in the store."""

_FORMAT = 1
_MOST_BYTES = 1024 * MIB  # unpacked; that of a million jobs has about a fifth
_ENDS = {"failed": Change.FAILED, "cancelled": Change.CANCELLED}
"""What leaves no sidecar."""

_End = tuple[Literal["failed", "cancelled"], str, float | None, str | None]  # with error, seconds, and when it ended
_Job = tuple[str, str, Annotated[str, Field(pattern=f"^{HASH.pattern}$")], str, dict[str, Any], _End | None]


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: int
    jobs: list[_Job]


class _Version(BaseModel):
    format: int


@dataclass(frozen=True, slots=True)
class RecordedPlan:
    """A plan as it was recorded.

    Attributes:
        rows: Its jobs, in order.
        ends: What became of jobs that have no sidecar.
    """

    rows: Sequence[PlanRow]
    ends: Sequence[JobUpdate]


def packed(jobs: Iterable[JobRow]) -> bytes:
    """Return the content of the record of a plan, empty where there is none; the same jobs give the same bytes.

    Args:
        jobs: All jobs of a ledger, in order; those that are not in its plan are left out.
    """
    # Which jobs have the same pixels is left out: where that is not known, each picture is checked against its checksum once.
    told = [
        (row.job_id, row.recipe, row.content_hash, row.shares, dict(row.assignments), _end_of(row))
        for row in jobs
        if row.position is not None
    ]
    if not told:
        return b""
    text = json.dumps({"format": _FORMAT, "jobs": told}, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode("utf-8", "backslashreplace"), compresslevel=6, mtime=0)


def recorded(store: ArtifactStore) -> bytes:
    """Return the content of the record that a store has; empty where it has none.

    Raises:
        RunFolderError: The store cannot be read.
    """
    artifact = Artifact(store, KEY)
    with folder_errors(artifact):
        try:
            with artifact.open() as file:
                return file.read(_MOST_BYTES)
        except FileNotFoundError:
            return b""


def record(store: ArtifactStore, content: bytes) -> None:
    """Put the record of a plan into a store, in the place of an earlier one.

    Args:
        store: Where.
        content: What `packed` gives.

    Raises:
        RunFolderError: The store cannot be written.
    """
    store.put([write_spool(store, KEY, [content])])


def read_plan(store: ArtifactStore) -> RecordedPlan | None:
    """Return the plan that a store has a record of; None where it has none.

    Raises:
        RunFolderError: The record is damaged, or was written by a newer version; or the store cannot be read.
    """
    content, where = recorded(store), str(Artifact(store, KEY))
    if not content:
        return None
    try:
        with gzip.open(io.BytesIO(content)) as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError("larger than any plan can be")
        version = _Version.model_validate_json(text).format
        if version > _FORMAT:
            raise RunFolderError(f"was written by a newer comfy_runner (format {version})", where=where, hint="upgrade it")
        jobs = _File.model_validate_json(text).jobs
        rows = [_row(position, job) for position, job in enumerate(jobs)]
        if len({row.job_id for row in rows}) != len(rows):
            raise ValueError("a job is in it twice")
    except (*UNREADABLE, OSError, EOFError, Damaged) as error:
        hint = "run the same command again where the jobs were rendered, which rewrites it"
        raise RunFolderError("is damaged", where=where, hint=hint) from error
    return RecordedPlan(rows, [_update(job_id, end) for job_id, *_, end in jobs if end is not None])


def _end_of(row: JobRow) -> _End | None:
    if row.state == "failed" or row.state == "cancelled":
        return row.state, row.error, row.seconds, row.finished
    return None


def _row(position: int, job: _Job) -> PlanRow:
    job_id, recipe, content_hash, shares, assignments, _ = job
    return PlanRow(
        job_id=storable(job_id_of(job_id)),
        position=position,
        recipe=storable(recipe),
        content_hash=content_hash,
        pixel_hash="",
        shares=storable(job_id_of(shares)) if shares else "",
        assignments=assignments,
    )


def _update(job_id: str, end: _End) -> JobUpdate:
    state, error, seconds, finished = end
    return JobUpdate(
        job_id=job_id,
        change=_ENDS[state],
        files=(),
        error=storable(error),
        seconds=seconds,
        finished=finished and storable(finished),
    )
