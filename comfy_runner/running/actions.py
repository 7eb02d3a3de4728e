"""The actions of a run, as values: `decide` returns them, and `perform` carries them out in order.

There are three kinds: entries in the ledger, work for engines and threads, and events. A decision that contains several kinds
returns them in this order, so the ledger records every step before it is taken.
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
    """Record that a submission is about to be posted to the server at `url`, and its highest possible cost in US dollars."""

    submission: Submission
    url: str
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Accept:
    """Record the id that an old server gave to a submission; such servers choose their own ids."""

    key: str
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Record what happened to a job.

    Attributes:
        job_id: The id of the job.
        change: What happened to the job; ``LOST`` if it waits again.
        key: The key of the submission that caused the change; None for the job's current submission, if any.
        error: Why the job is not done; empty if it is.
        files: All files of the job in the run folder; None to keep the ledger's entries.
        seconds: How long the server worked on the job; None if that is not known.
        work: How many weighted steps were run; None if that is not known.
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
    """Close a submission that is no longer on any server; the jobs that wait for it are pending again."""

    key: str


@dataclass(frozen=True, slots=True)
class Release:
    """Record that the jobs of a submission are pending again, although its server may still have it."""

    key: str


@dataclass(frozen=True, slots=True)
class Retake:
    """Record that jobs wait for a submission again."""

    key: str
    job_ids: tuple[str, ...]


# Engines and threads


@dataclass(frozen=True, slots=True)
class Prepare:
    """Prepare jobs for a worker as one graph; answered at once by `Prepared`.

    Attributes:
        worker: The name of the worker.
        drafts: The jobs.
        attempts: The earlier attempts, by job id.
        forced: The ids of the jobs to render again although their files exist.
    """

    worker: str
    drafts: tuple[Draft, ...]
    attempts: Mapping[str, tuple[Attempt, ...]]
    forced: frozenset[str]


@dataclass(frozen=True, slots=True)
class Submit:
    """Make a worker post a submission and follow it to its end."""

    worker: str
    submission: Submission


@dataclass(frozen=True, slots=True)
class Attach:
    """Make a worker look for a submission that may have been posted to it, and follow it to its end.

    Attributes:
        worker: The name of the worker.
        submission: The submission.
        server_prompt_id: The id that the server gave it; empty if it is the submission's key or not known.
    """

    worker: str
    submission: Submission
    server_prompt_id: str


@dataclass(frozen=True, slots=True)
class CancelOn:
    """Make a worker cancel submissions."""

    worker: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collect:
    """Make a worker collect the files of an ended submission; each job is reported as `Collected`.

    Attributes:
        worker: The name of the worker.
        submission: The submission.
        verdict: The server's verdict on it; None if the server has forgotten it, so that its files are found by their names.
        jobs: The jobs to collect.
        prompt_id: The server's id of the submission.
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
    """Give a job the pictures of another one, its leader; reported as `Shared`.

    Attributes:
        draft: The job.
        leader_id: The id of the leader.
        leader_hash: The content hash of the leader.
        error: Why the leader does not have all of its pictures; None if it does.
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
    """Add a server to the run as a worker as soon as it answers."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class StopWaiting:
    """Stop waiting for the files of servers that do not answer; the next process collects them."""


# Answers and events


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the process that asked for a change of the fleet; `error` is empty if the change was made."""

    request: FleetRequest
    error: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Send an event to whoever follows the run."""

    event: Event


LedgerAction = Record | Accept | Settle | Forget | Release | Retake
Action = (
    LedgerAction | Prepare | Submit | Attach | CancelOn | Collect | Free | Share | Examine | Enlist | StopWaiting | Answer | Emit
)
