"""What goes into the ledger and comes out of it: its tables, the values, and the check that what was read is what was written.

A run folder can come from anywhere, so names that were read are safe to be joined to its path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_type_hints

from comfy_runner.store.database import Damaged
from comfy_runner.store.interface import is_key
from comfy_runner.store.states import STATES, Change, State

SCHEMA = (
    """
    CREATE TABLE submissions (
        id INTEGER PRIMARY KEY,
        prompt_id TEXT NOT NULL UNIQUE,
        server TEXT NOT NULL,
        server_prompt_id TEXT NOT NULL DEFAULT '',
        minted TEXT NOT NULL,
        parcel TEXT,  -- NULL once it is settled: it is large
        settled INTEGER NOT NULL DEFAULT 0 CHECK (settled = (parcel IS NULL))
    )
    """,
    "CREATE INDEX submissions_open ON submissions (id) WHERE settled = 0",
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL UNIQUE,
        position INTEGER,
        recipe TEXT NOT NULL,
        content_hash TEXT NOT NULL,
        pixel_hash TEXT NOT NULL,
        shares TEXT NOT NULL,
        assignments TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'submitted', 'done', 'partial', 'failed', 'cancelled')),
        removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1)),
        reason TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        attempts INTEGER NOT NULL DEFAULT 0,
        seconds REAL,
        work REAL,
        finished TEXT,
        submission INTEGER REFERENCES submissions (id),  -- that has it, or gave its result
        CHECK (state <> 'submitted' OR submission IS NOT NULL),
        CHECK (state <> 'pending' OR submission IS NULL)
    )
    """,
    "CREATE INDEX jobs_state ON jobs (state, removed)",
    "CREATE INDEX jobs_submission ON jobs (submission, state) WHERE submission IS NOT NULL",
    """
    CREATE TABLE files (
        job INTEGER NOT NULL REFERENCES jobs (id),
        role TEXT NOT NULL,
        number INTEGER NOT NULL,
        path TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (job, role, number)
    ) WITHOUT ROWID
    """,
)
"""Its tables, as SQL."""

_JOB_ID = re.compile(r"[^/\\:\0]*[^/\\:\0. ]")  # Windows drops dots and blanks at the end
_STATES: Mapping[object, State] = {state: state for state in STATES}
_Row = TypeVar("_Row")

# Its `encode` is not made anew for each of 100,000 jobs, as `json.dumps` with options does.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


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


def _checked(kind: type[_Row], what: str) -> Callable[[object], _Row]:
    def check(value: object) -> _Row:
        if isinstance(value, kind):
            return value
        raise Damaged(f"not {what}")

    return check


_text, _whole = _checked(str, "a text"), _checked(int, "a whole number")


def _flag(value: object) -> bool:
    return bool(_whole(value))


def number_of(value: object) -> float:
    """Return a number."""
    if isinstance(value, int | float):
        return float(value)
    raise Damaged("not a number")


def _leader(value: object) -> str:
    return _text(value) and job_id_of(value)


def _place(value: object) -> str:
    if is_key(value):
        return _text(value)
    raise Damaged("not a path in the run folder")


def _mapping(value: object) -> Mapping[str, Any]:
    try:
        found = json.loads(_text(value))
    except (ValueError, RecursionError) as error:
        raise Damaged("not JSON") from error
    if not isinstance(found, dict):
        raise Damaged("not a JSON object")
    return cast(dict[str, Any], found)


def _or_none(check: Callable[[object], _Row]) -> Callable[[object], _Row | None]:
    return lambda value: None if value is None else check(value)


# What a column holds, and how that is checked when it is read.
_Text = Annotated[str, _text]
_JobId = Annotated[str, job_id_of]
_Whole = Annotated[int, _whole]
_Number = Annotated[float | None, _or_none(number_of)]


@dataclass(frozen=True, slots=True)
class KnownJob:
    """What a plan needs to know of a job that is in the ledger.

    Attributes:
        content_hash: What the job was when it was last planned.
        state: Its state.
        pixel_hash: Equal for jobs that give the very same pixels, as of that time; empty where it is not known.
    """

    content_hash: _Text
    state: Annotated[State, state_of]
    pixel_hash: _Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    job_id: _JobId
    position: Annotated[int | None, _or_none(_whole)]
    recipe: _Text
    content_hash: _Text
    pixel_hash: _Text
    shares: Annotated[str, _leader]
    assignments: Annotated[Mapping[str, Any], _mapping]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow(_Planned):
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

    requeue: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow(_Planned):
    """A job as the ledger has it: what `PlanRow` says of it, when it was last planned, and what became of it.

    Attributes:
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

    state: Annotated[State, state_of]
    removed: Annotated[bool, _flag]
    reason: _Text
    error: _Text
    attempts: _Whole
    seconds: _Number
    work: _Number
    finished: Annotated[str | None, _or_none(_text)]
    prompt_id: _Text


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

    role: _Text
    number: _Whole
    path: Annotated[str, _place]
    size_bytes: _Whole
    mtime_ns: _Whole
    sha256: _Text


@dataclass(frozen=True, slots=True)
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
    _: KW_ONLY
    prompt_id: str | None = None
    files: Sequence[FileRow] | None = None
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

    prompt_id: _Text
    server: _Text
    server_prompt_id: _Text
    text: _Text
    minted: _Text
    job_ids: Annotated[tuple[str, ...], tuple]


class ServerSpeed(NamedTuple):
    """How fast a server was: what the done jobs of which both is known took together.

    Attributes:
        server: Its URL.
        seconds: The time.
        work: The weighted steps.
        jobs: How many jobs these were.
    """

    server: _Text
    seconds: Annotated[float, number_of]
    work: Annotated[float, number_of]
    jobs: _Whole

    @property
    def pace(self) -> float:
        """Return the weighted steps per second."""
        return self.work / self.seconds


COLUMNS: Mapping[type, Mapping[str, Callable[[object], Any]]] = {
    kind: {name: hint.__metadata__[0] for name, hint in get_type_hints(kind, include_extras=True).items()}
    for kind in (KnownJob, JobRow, FileRow, OpenSubmission, ServerSpeed)
}
"""The columns that a value of each class is read from, in order, each with the check of what is in it."""


def read_row(kind: type[_Row], row: Sequence[object]) -> _Row:
    """Return what a row of the columns of a class holds.

    Raises:
        Damaged: It holds what this program never wrote.
    """
    return kind(**{name: check(value) for (name, check), value in zip(COLUMNS[kind].items(), row, strict=True)})


def storable(text: str) -> str:
    """Return a text that SQLite takes: half an emoji, which a server may well send, as its backslash escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_json(assignments: Mapping[str, Any]) -> str:
    """Return a sweep's values as they lie in the ledger."""
    return _ENCODER.encode(dict(assignments))
