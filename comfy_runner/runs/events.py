"""What a run tells whoever follows it: a small closed set of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from comfy_runner.errors import ComfyRunnerError, Note

State = Literal["pending", "submitted", "done", "partial", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job stands when its run ends.

    Attributes:
        job_id: The job.
        state: ``done``; ``partial``: some pictures are there, `error` says why not all; ``failed``; ``cancelled``;
            ``pending``: not started.
        files: The pictures by output role; a role that saved several has several.
        error: Why it is not done; None where it is.
        was_done: Whether it was done already and nothing was rendered.
        seconds: How long the server worked on it; None where it does not say or nothing was rendered.
        cached_nodes: The ids of the nodes that came from the server's cache.
    """

    job_id: str
    state: State
    files: Mapping[str, tuple[Path, ...]]
    error: ComfyRunnerError | None = None
    was_done: bool = False
    seconds: float | None = None
    cached_nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run begins.

    Attributes:
        folder: The run folder.
        server: The server's URL; empty where nothing has to be rendered.
        jobs: The ids of all jobs, in order.
        done: How many of them were done already.
        notes: What was adjusted, and known traps.
    """

    folder: Path
    server: str
    jobs: tuple[str, ...]
    done: int
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """The server has taken a job."""

    job_id: str
    prompt_id: str


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
class RunFinished:
    """The last event.

    Attributes:
        results: One per job, in order.
    """

    results: tuple[JobResult, ...]


Event = RunStarted | JobSubmitted | JobWaiting | JobProgressed | JobRetried | JobFinished | RunFinished
