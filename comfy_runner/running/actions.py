"""What a run does, as values: `decide` returns them, `perform` carries them out in their order.

Three kinds, and in this order wherever one decision has several of them: what the ledger is to know, what engines and threads are
to do, what is told. So whatever is about to be done is in the ledger before it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comfy_runner.engine.interface import JobToCollect
from comfy_runner.engine.submission import Attempt, Submission
from comfy_runner.engine.verdict import Verdict
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.planning.draft import Draft
from comfy_runner.running.candidates import Candidate
from comfy_runner.running.events import Event
from comfy_runner.running.in_flight import Files
from comfy_runner.store.control_files import FleetRequest
from comfy_runner.store.states import Change

# The ledger


@dataclass(frozen=True, slots=True)
class Record:
    """Write down that a submission is about to be posted to a server with this URL, and what it costs at most, US dollars."""

    submission: Submission
    url: str
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Accept:
    """Write down the id that an old server, which chooses its own, gave to a submission."""

    key: str
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Write down what became of a job.

    Attributes:
        job_id: The job.
        change: What happened to it; ``LOST`` where it waits again.
        key: The submission that gave this; None for the one that the job is submitted with, if any.
        error: Why it is not done; empty where it is.
        files: All of its files that are in place; None leaves what the ledger has of them.
        seconds: How long the server worked on it; None where that is not known.
        work: The weighted steps that were really run; None where that is not known.
    """

    job_id: str
    change: Change
    key: str | None = None
    error: str = ""
    files: Files | None = None
    seconds: float | None = None
    work: float | None = None


@dataclass(frozen=True, slots=True)
class Forget:
    """Close a submission that no server has any more; the jobs that wait for it are pending again."""

    key: str


@dataclass(frozen=True, slots=True)
class Release:
    """Write down that the jobs of a submission are pending again, while its server may still have it."""

    key: str


@dataclass(frozen=True, slots=True)
class Retake:
    """Write down that jobs wait for a submission after all."""

    key: str
    job_ids: tuple[str, ...]


# Engines and threads


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make jobs ready to be posted on a worker, as one graph; answered at once by `Prepared`.

    Attributes:
        worker: The name of the worker.
        drafts: The jobs.
        attempts: What was tried before, by job.
        forced: The ids of those whose files are made again although they are there.
    """

    worker: str
    drafts: tuple[Draft, ...]
    attempts: Mapping[str, tuple[Attempt, ...]]
    forced: frozenset[str]


@dataclass(frozen=True, slots=True)
class Submit:
    """Have a worker post a submission, and follow it to its end."""

    worker: str
    submission: Submission


@dataclass(frozen=True, slots=True)
class Attach:
    """Have a worker look for a submission that may have been posted to it, and follow it to its end.

    Attributes:
        worker: The name of the worker.
        submission: What was posted.
        server_prompt_id: The id that the server gave it; empty where that is the same, or not known.
    """

    worker: str
    submission: Submission
    server_prompt_id: str


@dataclass(frozen=True, slots=True)
class CancelOn:
    """Have a worker take submissions back."""

    worker: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collect:
    """Have a worker collect the files of an ended submission; each job is reported as `Collected`.

    Attributes:
        worker: The name of the worker.
        submission: What was posted.
        verdict: What the server says of it; None where it has forgotten it: files are looked for by their names then.
        jobs: The jobs that are wanted.
        prompt_id: What the server calls it.
    """

    worker: str
    submission: Submission
    verdict: Verdict | None
    jobs: tuple[JobToCollect, ...]
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Free:
    """Ask a server to free its memory before a job is tried again; reported as `Freed`."""

    worker: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Share:
    """Give a job the pictures of another one; reported as `Shared`.

    Attributes:
        draft: The job.
        leader_id: The other one.
        leader_hash: What that is.
        error: Why it does not have all of its pictures; None where it does.
    """

    draft: Draft
    leader_id: str
    leader_hash: str
    error: ComfyRunnerError | None


@dataclass(frozen=True, slots=True)
class Examine:
    """Ask a worker that is out of order whether it answers again; reported as `Examined`."""

    worker: str


@dataclass(frozen=True, slots=True)
class Enlist:
    """Let a server take part as a worker as soon as it answers."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class StopWaiting:
    """Wait no longer for files of servers that do not answer: the next process collects them."""


# What is told


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell the process that asked for a change of the fleet what came of it; empty where it was done."""

    request: FleetRequest
    error: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell whoever follows the run."""

    event: Event


LedgerAction = Record | Accept | Settle | Forget | Release | Retake
Action = (
    LedgerAction | Prepare | Submit | Attach | CancelOn | Collect | Free | Share | Examine | Enlist | StopWaiting | Answer | Emit
)
