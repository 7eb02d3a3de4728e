"""What an engine reports about its submissions: a closed set of plain values, each with the submission's key.

Reports can be pickled, so an engine on another machine can send them unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comfy_runner.engine.verdict import Verdict
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.store.sidecar import FileRecord


@dataclass(frozen=True, slots=True)
class Complaint:
    """One reason why an engine refuses a graph.

    Attributes:
        node: The node's id; empty if the reason concerns the whole graph.
        class_type: The node's class; empty if the reason concerns the whole graph.
        input: The input's name; empty if the reason does not concern a single input.
        what: The reason in the engine's words.
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
    """The engine has accepted the submission. `prompt_id` is the engine's id; old servers ignore the one that we chose."""

    key: str
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The submission is waiting in the engine's queue behind `ahead` prompts, whoever submitted them."""

    key: str
    ahead: int


@dataclass(frozen=True, slots=True)
class CachedNodes:
    """The results of these nodes came from the engine's cache."""

    key: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """A node of the submission is running; `steps` is 0 until the node reports how many it has."""

    key: str
    node: str
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class NodePreview:
    """A preview of a running node's result, as a JPEG; reported only if `EngineOptions.previews` asks for it."""

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
    """The engine refused the submission or a part of it, and runs none of it."""

    key: str
    complaints: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class TakenInPart:
    """The engine refused a part of the submission and runs the rest, because `EngineOptions.allow_partial` is set."""

    key: str
    complaints: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The submission is no longer on the engine because it was cancelled."""

    key: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The engine can report nothing more about the submission."""

    key: str
    error: ComfyRunnerError


@dataclass(frozen=True, slots=True)
class Collected:
    """All files that could be collected of a job are now in the run folder.

    Attributes:
        key: The key of the job's submission.
        job_id: The id of the job.
        verdict: The engine's verdict on the job; None if it has forgotten the submission.
        files: All files of the job in the run folder, by output role.
        errors: Why other files are missing or differ from the plan.
        error: Why the engine did not finish the job; None if it did.
        seconds: How long the engine worked on the job; None if it does not report that.
        work: How much work the engine did in that time, in weighted steps.
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
    """A thread of the engine failed because of a fault in comfy_runner."""

    error: BaseException


SubmissionReport = (
    Submitted | Waiting | CachedNodes | NodeProgress | NodePreview | Finished | Refused | TakenInPart | Cancelled | Broken
)
"""What an engine reports about a submission until it ends."""

EngineReport = SubmissionReport | Collected | Freed | Crashed
"""Everything that an engine reports."""
