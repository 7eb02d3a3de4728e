"""What a run tells whoever follows it: a small closed set of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from comfy_runner.errors import ComfyRunnerError, Note
from comfy_runner.running.job_results import JobResult as JobResult
from comfy_runner.running.job_results import JobResults as JobResults


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run begins.

    Attributes:
        folder: The run folder.
        server: The server's URL, of several the first one's; empty where nothing has to be rendered.
        jobs: The ids of all jobs, in order.
        done: How many of them were done already.
        notes: What was adjusted, and known traps.
        servers: The names of all servers that take part: as the config file calls them, or their URLs.
        job_work: What each job costs to render where the plan has it, in weighted steps, in the order of `jobs`: without loads of
            models, and without what the job before it leaves in the cache; 0 for a job that need not be rendered. Empty where
            nothing has to be.
        seconds: How long the servers would take for that, by what earlier jobs took there; None where none tell.
        guess: How long a single server may take where none tell, by published figures of its GPU; None where there are none.
    """

    folder: Path
    server: str
    jobs: tuple[str, ...]
    done: int
    notes: tuple[Note, ...]
    servers: tuple[str, ...] = ()
    job_work: tuple[float, ...] = ()
    seconds: float | None = None
    guess: float | None = None


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """A server has taken a job; `server` is its name."""

    job_id: str
    prompt_id: str
    server: str = ""


@dataclass(frozen=True, slots=True)
class JobWaiting:
    """A job waits in the server's queue; `ahead` counts the prompts of anybody before it."""

    job_id: str
    ahead: int


@dataclass(frozen=True, slots=True)
class JobProgressed:
    """A job runs.

    Attributes:
        job_id: The job.
        node: The title of the node that runs.
        step: The node's step; 0 where it has reported none.
        steps: All of its steps; 0 where it has reported none.
        fraction: The share of the job's work that is done, 0 to 1.
    """

    job_id: str
    node: str
    step: int
    steps: int
    fraction: float


@dataclass(frozen=True, slots=True)
class JobPreviewed:
    """What a job will about look like, as far as it is; told only where `Policy.previews` asks for it.

    Attributes:
        job_id: The job.
        image: A JPEG, of some 512 pixels along its long side.
    """

    job_id: str
    image: bytes


@dataclass(frozen=True, slots=True)
class JobRetried:
    """A job went wrong and is tried again.

    Attributes:
        job_id: The job.
        reason: ``server_lost``, ``out_of_memory`` or ``flat_picture``.
        what: What went wrong.
    """

    job_id: str
    reason: str
    what: str


@dataclass(frozen=True, slots=True)
class JobFinished:
    """A job has ended and its pictures are in place."""

    result: JobResult


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """A server of several takes part in another way than before.

    Attributes:
        server: Its name.
        url: Its URL.
        stage: ``out``: it is out of order, is left alone, and others do its jobs; told again whenever it was asked in vain;
            ``back``: it answers again; ``joined``: it was added to the run; ``draining``: it gets nothing more.
        error: Why it is out; None where it is not.
        seconds: For how long it is left alone; 0 where it is not.
    """

    server: str
    url: str
    stage: Literal["out", "back", "joined", "draining"]
    error: ComfyRunnerError | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What the servers of a run had to do, against what one server would have had to do in the best order.

    Attributes:
        loads: Loads of checkpoints and diffusion models that really ran.
        first: First passes that really ran.
        fewest_loads: As many as one server would have needed for the same jobs.
        fewest_first: Likewise, first passes.
        splits: How many groups were split between servers so that the run ended earlier.
        jobs: How many jobs each server has finished, by its name.
    """

    loads: int
    first: int
    fewest_loads: int
    fewest_first: int
    splits: int
    jobs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event.

    Attributes:
        results: One per job, in order.
        spent: What it took; None where nothing was rendered.
    """

    results: tuple[JobResult, ...]
    spent: Spent | None = None


Event = (
    ServerChanged | RunStarted | JobSubmitted | JobWaiting | JobProgressed | JobPreviewed | JobRetried | JobFinished | RunFinished
)
