"""What a run is told by its user, its threads and its engines: a small closed set of values, which `decide` takes one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comfy_runner.engine.reports import Collected, Freed, SubmissionReport
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running.candidates import Answered, Candidate
from comfy_runner.running.in_flight import Left
from comfy_runner.running.prepare import Ready, Settled
from comfy_runner.store.control_files import FleetRequest
from comfy_runner.store.sidecar import FileRecord


@dataclass(frozen=True, slots=True)
class Cancel:
    """The user wants the run to end.

    Attributes:
        what: What jobs that were not done are told.
        seconds: How long servers may take to let go of submissions.
    """

    what: str = "interrupted"
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Begin:
    """The run begins.

    Attributes:
        left: The submissions that earlier processes have left.
        cancel: Why they are only taken back; None where the run goes on with them.
    """

    left: tuple[Left, ...] = ()
    cancel: Cancel | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Some time has passed in which nothing was reported."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing more is done: what is left is told."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Jobs were made ready to be posted on a worker.

    Attributes:
        worker: The name of the worker.
        key: The id of their submission, newly minted.
        ready: The jobs that can be posted.
        settled: The jobs that need not be posted.
    """

    worker: str
    key: str
    ready: tuple[Ready, ...]
    settled: tuple[Settled, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """A job has got another one's pictures.

    Attributes:
        job_id: The job.
        leader_id: The other one.
        files: They, by output role; None where they are not there any more.
        error: Why the other one does not have all of them; None where it does.
    """

    job_id: str
    leader_id: str
    files: Mapping[str, tuple[FileRecord, ...]] | None
    error: ComfyRunnerError | None


@dataclass(frozen=True, slots=True)
class Examined:
    """A server was asked what it is.

    Attributes:
        server: Its name in the fleet.
        answer: What it said; None where it did not answer, or is still out of order.
        error: Why not; None where it did.
    """

    server: str
    answer: Answered | None
    error: ComfyRunnerError | None


@dataclass(frozen=True, slots=True)
class FleetChange:
    """Another process asks for a server to be added, or drained.

    Attributes:
        request: What is asked for.
        candidate: The server; None where there can be no such one.
        error: Why not; None where there can.
    """

    request: FleetRequest
    candidate: Candidate | None
    error: ComfyRunnerError | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """An engine has come up that is to take part from now on."""

    candidate: Candidate


Message = (
    Begin | Tick | Finish | Cancel | Prepared | Shared | Examined | FleetChange | Joined | SubmissionReport | Collected | Freed
)
"""`Crashed`, which engines and threads report too, is none: the coordinator raises it."""
