"""What goes into the ledger and comes out of it: values, and the check that what was read is what was written.

A run folder can come from anywhere, so names that were read are safe to be joined to its path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from comfy_runner.store.database import Damaged
from comfy_runner.store.interface import is_key
from comfy_runner.store.states import STATES, Change, State

_JOB_ID = re.compile(r"[^/\\:\0]*[^/\\:\0. ]")  # Windows drops dots and blanks at the end
_STATES: Mapping[object, State] = {state: state for state in STATES}

# Its `encode` is not made anew for each of 100,000 jobs, as `json.dumps` with options does.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class KnownJob:
    """What a plan needs to know of a job that is in the ledger.

    Attributes:
        content_hash: What the job was when it was last planned.
        state: Its state.
    """

    content_hash: str
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """A job as a plan puts it into the ledger.

    Attributes:
        job_id: The job.
        position: Its place in the order of rendering; None where the plan gives it none.
        recipe: The recipe that it belongs to.
        content_hash: What the job is.
        pixel_hash: Equal for jobs that give the very same pixels; empty where it is not known.
        shares: The job whose pictures it shares; empty where it has its own.
        assignments: The values of the sweep's axes by dotted recipe field.
        requeue: Why it is to be rendered again although it ended or is on a server already; empty where it is not.
    """

    job_id: str
    position: int | None
    recipe: str
    content_hash: str
    pixel_hash: str
    shares: str
    assignments: Mapping[str, Any]
    requeue: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job as the ledger has it.

    Attributes:
        job_id: The job.
        position: Its place in the order of rendering; None where it is not in the present plan.
        recipe: The recipe that it belongs to.
        content_hash: What it was when it was last planned.
        pixel_hash: Equal for jobs that give the very same pixels; empty where it is not known.
        shares: The job whose pictures it shares; empty where it has its own.
        assignments: The values of the sweep's axes by dotted recipe field.
        state: Its state.
        removed: Whether its recipe no longer has it.
        reason: Why it is to be rendered again; empty where it was not rendered before, or has ended.
        error: Why it is not done, or why it is tried once more; empty where nothing went wrong.
        attempts: How often it was submitted since it was queued.
        seconds: How long the server worked on it; None where that is not known.
        work: The weighted steps that were really run; None where that is not known.
        finished: When it ended, ISO 8601 with offset; None where it has not.
        prompt_id: The submission that has it, or gave its result; empty where none has.
    """

    job_id: str
    position: int | None
    recipe: str
    content_hash: str
    pixel_hash: str
    shares: str
    assignments: Mapping[str, Any]
    state: State
    removed: bool
    reason: str
    error: str
    attempts: int
    seconds: float | None
    work: float | None
    finished: str | None
    prompt_id: str


@dataclass(frozen=True, slots=True)
class FileRow:
    """A picture in its place.

    Attributes:
        role: The output role.
        number: Which of the role's pictures, from 0.
        path: Relative to the run folder, with ``/``.
        size_bytes: Its length.
        mtime_ns: When it was last changed, nanoseconds since 1970, as the file system says.
        sha256: Of its bytes, hex.
    """

    role: str
    number: int
    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUpdate:
    """What happened to a job that is not waiting or not on a server any more.

    Attributes:
        job_id: The job.
        change: ``DONE``, ``PARTIAL``, ``FAILED``, ``CANCELLED``, or ``LOST``: it waits again.
        prompt_id: The submission that gave this; None for the one that it is submitted with, if any.
        files: All of its pictures that are in place now; None leaves what the ledger has of them.
        error: Why it is not done; empty where it is.
        seconds: How long the server worked on it; None where that is not known.
        work: The weighted steps that were really run; None where that is not known.
        finished: When, ISO 8601 with offset; None for now.
    """

    job_id: str
    change: Change
    prompt_id: str | None = None
    files: tuple[FileRow, ...] | None = None
    error: str = ""
    seconds: float | None = None
    work: float | None = None
    finished: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSubmission:
    """A submission of which a server may still know something.

    Attributes:
        prompt_id: The id that we minted, before the POST.
        server: The server's URL.
        server_prompt_id: The id that the server gave it, where that is another one; empty where it is not, or is not known.
        text: What is needed to collect it without the plan, as it was given to `submit`.
        job_ids: The jobs that wait for it; none where all were changed since it was posted.
        minted: When it was written down, ISO 8601 with offset.
    """

    prompt_id: str
    server: str
    server_prompt_id: str
    text: str
    job_ids: tuple[str, ...]
    minted: str


class ServerSpeed(NamedTuple):
    """How fast a server was: what the done jobs of which both is known took together.

    Attributes:
        server: Its URL.
        seconds: The time.
        work: The weighted steps.
        jobs: How many jobs these were.
    """

    server: str
    seconds: float
    work: float
    jobs: int

    @property
    def pace(self) -> float:
        """Return the weighted steps per second."""
        return self.work / self.seconds


def storable(text: str) -> str:
    """Return a text that SQLite takes: half an emoji, which a server may well send, as its backslash escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_json(assignments: Mapping[str, Any]) -> str:
    """Return a sweep's values as they lie in the ledger."""
    return _ENCODER.encode(dict(assignments))


def known_job(row: tuple[object, ...]) -> tuple[str, KnownJob]:
    """Return a job's id and what is known of it, from ``job_id, content_hash, state``."""
    job_id, content_hash, state = row
    return job_id_of(job_id), KnownJob(_text(content_hash), state_of(state))


def job_row(row: tuple[object, ...]) -> JobRow:
    """Return a job, from the columns in the order of `JobRow`."""
    job_id, position, recipe, content_hash, pixel_hash, shares, assignments, state, removed, reason, error, *rest = row
    attempts, seconds, work, finished, prompt_id = rest
    return JobRow(
        job_id=job_id_of(job_id),
        position=None if position is None else _whole(position),
        recipe=_text(recipe),
        content_hash=_text(content_hash),
        pixel_hash=_text(pixel_hash),
        shares=_text(shares) and job_id_of(shares),
        assignments=_mapping(assignments),
        state=state_of(state),
        removed=bool(_whole(removed)),
        reason=_text(reason),
        error=_text(error),
        attempts=_whole(attempts),
        seconds=_number(seconds),
        work=_number(work),
        finished=None if finished is None else _text(finished),
        prompt_id="" if prompt_id is None else _text(prompt_id),
    )


def file_row(row: tuple[object, ...]) -> FileRow:
    """Return a picture, from the columns in the order of `FileRow`."""
    role, number, path, size_bytes, mtime_ns, sha256 = row
    return FileRow(
        role=_text(role),
        number=_whole(number),
        path=_inside(path),
        size_bytes=_whole(size_bytes),
        mtime_ns=_whole(mtime_ns),
        sha256=_text(sha256),
    )


def open_submission(row: tuple[object, ...], job_ids: list[object]) -> OpenSubmission:
    """Return a submission, from ``prompt_id, server, server_prompt_id, parcel, minted`` and its jobs."""
    prompt_id, server, server_prompt_id, text, minted = map(_text, row)
    return OpenSubmission(
        prompt_id=prompt_id,
        server=server,
        server_prompt_id=server_prompt_id,
        text=text,
        job_ids=tuple(map(job_id_of, job_ids)),
        minted=minted,
    )


def speed(row: tuple[object, ...]) -> ServerSpeed:
    """Return a speed, from the columns in the order of `ServerSpeed`."""
    server, seconds, work, jobs = row
    return ServerSpeed(_text(server), _number(seconds) or 0.0, _number(work) or 0.0, _whole(jobs))


def state_of(value: object) -> State:
    """Return a state, always the same object for the same state."""
    state = _STATES.get(value)
    if state is None:
        raise Damaged("not a state")
    return state


def job_id_of(value: object) -> str:
    """Return a job's id, which is safe as the name of a folder."""
    if isinstance(value, str) and _JOB_ID.fullmatch(value):
        return value
    raise Damaged("not a job id")


def _inside(value: object) -> str:
    path = _text(value)
    if not is_key(path):
        raise Damaged("not a path in the run folder")
    return path


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise Damaged("not a text")


def _whole(value: object) -> int:
    if isinstance(value, int):
        return value
    raise Damaged("not a whole number")


def _number(value: object) -> float | None:
    if value is None or isinstance(value, int | float):
        return None if value is None else float(value)
    raise Damaged("not a number")


def _mapping(value: object) -> Mapping[str, Any]:
    try:
        found = json.loads(_text(value))
    except (ValueError, RecursionError) as error:
        raise Damaged("not JSON") from error
    if not isinstance(found, dict):
        raise Damaged("not a JSON object")
    return cast(dict[str, Any], found)
