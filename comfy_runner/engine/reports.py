"""What a lane reports about the jobs that it carries: a small closed set of values, keyed by the caller's own key for a job."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_runner.engine.comfyui.refusal import Complaint
from comfy_runner.engine.comfyui.verdict import Verdict
from comfy_runner.errors import ComfyRunnerError


@dataclass(frozen=True, slots=True)
class Submitted:
    """The server has taken the job. `prompt_id` is its own, which on old servers is not the one that we chose."""

    key: str
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The job waits in the server's queue behind `ahead` prompts of anybody."""

    key: str
    ahead: int


@dataclass(frozen=True, slots=True)
class CachedNodes:
    """These nodes of the job come from the server's cache."""

    key: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """A node of the job runs; `steps` is 0 while it has reported none."""

    key: str
    node: str
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The server's verdict on the job."""

    key: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Refused:
    """The server did not take the job, or not all of it; nothing of it runs."""

    key: str
    complaints: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class TakenInPart:
    """The server runs only a part of the job, as the caller allows."""

    key: str
    complaints: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job is gone from the server because we asked for that."""

    key: str


@dataclass(frozen=True, slots=True)
class Broken:
    """Nothing more can be learnt about the job from this server."""

    key: str
    error: ComfyRunnerError


Report = Submitted | Waiting | CachedNodes | NodeProgress | Finished | Refused | TakenInPart | Cancelled | Broken
