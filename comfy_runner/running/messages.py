"""The messages that a run gets from its user, threads and engines: a small closed set of values, handled one by one by `decide`."""

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
        what: The reason given in the results of jobs that were not done.
        seconds: How long servers may take to cancel submissions.
    """

    what: str = "interrupted"
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Begin:
    """The run begins.

    Attributes:
        left: The submissions that earlier processes left open.
        cancel: Given if these are only to be cancelled; None if the run continues with them.
    """

    left: tuple[Left, ...] = ()
    cancel: Cancel | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Some time has passed without a report."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The run ends; only the remaining results are still to be reported."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Jobs were prepared for a worker.

    Attributes:
        worker: The name of the worker.
        key: The new id of their submission.
        ready: The jobs that can be posted.
        settled: The jobs that need not be posted.
    """

    worker: str
    key: str
    ready: tuple[Ready, ...]
    settled: tuple[Settled, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """A job was given the pictures of another one, its leader.

    Attributes:
        job_id: The id of the job.
        leader_id: The id of the leader.
        files: The pictures by output role; None if they no longer exist.
        error: Why the leader does not have all of its pictures; None if it does.
    """

    job_id: str
    leader_id: str
    files: Mapping[str, tuple[FileRecord, ...]] | None
    error: ComfyRunnerError | None


@dataclass(frozen=True, slots=True)
class Examined:
    """A server was asked for its versions and capabilities.

    Attributes:
        server: The server's name in the fleet.
        answer: The server's answer; None if it did not answer or is still out of order.
        error: Why there is no answer; None if there is one.
    """

    server: str
    answer: Answered | None
    error: ComfyRunnerError | None


@dataclass(frozen=True, slots=True)
class FleetChange:
    """Another process asks to add a server, or to drain one.

    Attributes:
        request: The request.
        candidate: The server; None if it cannot be used.
        error: Why the server cannot be used; None if it can.
    """

    request: FleetRequest
    candidate: Candidate | None
    error: ComfyRunnerError | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """An engine has started and joins the run."""

    candidate: Candidate


Message = (
    Begin | Tick | Finish | Cancel | Prepared | Shared | Examined | FleetChange | Joined | SubmissionReport | Collected | Freed
)
"""All messages. `Crashed`, which engines and threads also report, is not a message: the coordinator raises its error."""
