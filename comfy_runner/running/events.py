"""The events of a run: a small closed set of values."""

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
        server: The URL of the first server; empty if there is nothing to render.
        jobs: The ids of all jobs, in order.
        done: How many of the jobs were already done.
        notes: What the program has adjusted, and known traps.
        servers: The names of all servers in the run: their names in the config file, or their URLs.
        job_work: The cost of rendering each job at its place in the plan, in weighted steps and in the order of `jobs`. Model loads
            and the results that the previous job leaves in the cache do not count; 0 for a job that need not be rendered. Empty
            if there is nothing to render.
        seconds: The estimated duration in seconds, from the times of earlier jobs on these servers; None if there are none.
        guess: The estimated duration in seconds on a single server without earlier jobs, from published figures for its GPU; None
            if there are none.
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
    """A server has accepted a job; `server` is its name."""

    job_id: str
    prompt_id: str
    server: str = ""


@dataclass(frozen=True, slots=True)
class JobWaiting:
    """A job is waiting in the server's queue behind `ahead` prompts, whoever submitted them."""

    job_id: str
    ahead: int


@dataclass(frozen=True, slots=True)
class JobProgressed:
    """A job is running.

    Attributes:
        job_id: The id of the job.
        node: The title of the node that is running.
        step: The node's current step; 0 if it has not reported one.
        steps: The number of the node's steps; 0 if it has not reported one.
        fraction: The share of the job's work that is done, 0 to 1.
    """

    job_id: str
    node: str
    step: int
    steps: int
    fraction: float


@dataclass(frozen=True, slots=True)
class JobPreviewed:
    """A preview of the unfinished picture of a job; sent only if `Policy.previews` is set.

    Attributes:
        job_id: The id of the job.
        image: A JPEG, about 512 pixels along its long side.
    """

    job_id: str
    image: bytes


@dataclass(frozen=True, slots=True)
class JobRetried:
    """A job failed and is tried again.

    Attributes:
        job_id: The id of the job.
        reason: ``server_lost``, ``out_of_memory`` or ``flat_picture``.
        what: What went wrong.
    """

    job_id: str
    reason: str
    what: str


@dataclass(frozen=True, slots=True)
class JobFinished:
    """A job has ended, and its pictures are in the run folder."""

    result: JobResult


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """The state of one of several servers has changed.

    Attributes:
        server: The name of the server.
        url: The URL of the server.
        stage: ``out``: it is out of order and gets no requests for a while, and other servers do its jobs; sent again after each
            unsuccessful attempt to reach it; ``back``: it answers again; ``joined``: it was added to the run; ``draining``: it
            gets no more jobs.
        error: Why the server is out of order; None for the other stages.
        seconds: How many seconds it gets no requests; 0 for the other stages.
    """

    server: str
    url: str
    stage: Literal["out", "back", "joined", "draining"]
    error: ComfyRunnerError | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """The work of a run's servers, compared with what a single server would have done in the best order.

    Attributes:
        loads: How many times servers loaded a checkpoint or diffusion model.
        first: How many first passes ran.
        fewest_loads: How many loads a single server would have needed for the same jobs.
        fewest_first: How many first passes a single server would have needed for the same jobs.
        splits: How many groups were split between servers so that the run ended earlier.
        jobs: How many jobs each server finished, by the server's name.
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
        results: One result per job, in order.
        spent: The work that the servers did; None if nothing was rendered.
    """

    results: tuple[JobResult, ...]
    spent: Spent | None = None


Event = (
    ServerChanged | RunStarted | JobSubmitted | JobWaiting | JobProgressed | JobPreviewed | JobRetried | JobFinished | RunFinished
)
