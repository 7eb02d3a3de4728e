"""What an engine reports of the submissions that it was given: a closed set of plain values, each with the submission's key.

They can be pickled, so that they travel from an engine on another machine as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comfy_runner.engine.verdict import Verdict
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.store.sidecar import FileRecord


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that an engine does not like about a graph.

    Attributes:
        node: The node's id; empty where the whole graph is meant.
        class_type: The node's class, likewise.
        input: The input's name, likewise.
        what: The engine's reason.
    """

    node: str
    class_type: str
    input: str
    what: str

    def __str__(self) -> str:
        """Return one line that names the node, the input and the reason."""
        place = f'node "{self.node}" ({self.class_type})' if self.node else ""
        place += f", input {self.input}" if self.input else ""
        return f"{place}: {self.what}" if place else self.what


@dataclass(frozen=True, slots=True)
class Submitted:
    """The engine has taken the submission. `prompt_id` is its own, which on old servers is not the one that we chose."""

    key: str
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The submission waits in the engine's queue behind `ahead` prompts of anybody."""

    key: str
    ahead: int


@dataclass(frozen=True, slots=True)
class CachedNodes:
    """These nodes of the submission come from the engine's cache."""

    key: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """A node of the submission runs; `steps` is 0 while it has reported none."""

    key: str
    node: str
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class NodePreview:
    """What the result of a node that runs will about look like: a JPEG; only where `EngineOptions.previews` asks for it."""

    key: str
    node: str
    image: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The engine's verdict on the submission."""

    key: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine did not take the submission, or not all of it; nothing of it runs."""

    key: str
    complaints: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class TakenInPart:
    """The engine runs only a part of the submission, as the caller allows."""

    key: str
    complaints: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The submission is gone from the engine because we asked for that."""

    key: str


@dataclass(frozen=True, slots=True)
class Broken:
    """Nothing more can be learnt about the submission from this engine."""

    key: str
    error: ComfyRunnerError


@dataclass(frozen=True, slots=True)
class Collected:
    """A job's files are collected, as far as there are any.

    Attributes:
        key: Its submission.
        job_id: The job.
        verdict: What the engine said of the job; None where it has forgotten the submission.
        files: All files of the job that are in place now, by output role.
        errors: Why others are not, or are not as planned.
        error: Why the engine did not finish the job; None where it did.
        seconds: How long the engine worked on it; None where it does not say.
        work: How much of that work was done, in weighted steps.
    """

    key: str
    job_id: str
    verdict: Verdict | None
    files: Mapping[str, tuple[FileRecord, ...]]
    errors: tuple[ComfyRunnerError, ...]
    error: ComfyRunnerError | None
    seconds: float | None = None
    work: float = 0.0


@dataclass(frozen=True, slots=True)
class Freed:
    """The engine has been asked to free its memory."""

    key: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """A thread of the engine failed of a fault of ours."""

    error: BaseException


SubmissionReport = (
    Submitted | Waiting | CachedNodes | NodeProgress | NodePreview | Finished | Refused | TakenInPart | Cancelled | Broken
)
"""What is reported of a submission while an engine has it."""

EngineReport = SubmissionReport | Collected | Freed | Crashed
"""All that an engine reports."""
