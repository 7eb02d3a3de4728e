"""The port to whatever runs graphs: what a run, a plan and the command line may ask of an engine, and nothing of how it does it.

An engine is a ComfyUI by its URL (`engine.comfyui`), one that is started here (`engine.local`), or one that an installed package
announces (`engine.registry`). What becomes of submissions is reported through one callable, as the values of `engine.reports`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from comfy_runner.engine.info import EngineInfo, QueueStatus
from comfy_runner.engine.reports import EngineReport
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import STALL_SECONDS, Timeouts
from comfy_runner.engine.verdict import ServerFile, Verdict
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.sidecar import FileRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How an engine is to treat the submissions of one run.

    Attributes:
        websocket: Whether to listen for progress; results are the same without.
        stall: Seconds that a running submission may show no progress; waiting behind others is no stall.
        total: Seconds that a submission may take from the moment it is handed over or attached, with all waiting; None for no
            limit.
        allow_partial: Whether the part that the engine takes is run where it does not take the whole.
        previews: Whether previews of what runs are wanted, of engines that can make them. They cost a little of its time.
        timeouts: All other waiting.
    """

    websocket: bool = True
    stall: float = STALL_SECONDS
    total: float | None = None
    allow_partial: bool = False
    previews: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class JobToCollect:
    """A job of an ended submission whose files are wanted.

    Attributes:
        job_id: The job.
        reusable: Files of earlier runs that are still good, by output role; they are not fetched again.
        error: Why the engine did not finish the job; None where it did.
    """

    job_id: str
    reusable: Mapping[str, tuple[FileRecord, ...]]
    error: ComfyRunnerError | None = None


class FileSource(Protocol):
    """Where the files of submissions lie before they are collected."""

    @property
    def url(self) -> str:
        """Return the address of the engine that has them, without credentials."""
        ...

    def open_file(self, file: ServerFile) -> AbstractContextManager[Iterator[bytes]]:
        """Return the content of a file, in chunks.

        Raises:
            ServerRefused: The engine has no such file (status 404), or does not give it.
            Unreachable: The engine does not answer, or not to the end of the file.
        """
        ...

    def find_files(self, prefixes: Mapping[str, str]) -> Mapping[str, tuple[ServerFile, ...]]:
        """Return the files that the engine has under file prefixes that nobody else uses, by node id.

        Args:
            prefixes: The file prefix by the id of the node that saves under it, with ``/`` after a folder.

        Raises:
            ServerError: The engine does not tell.
        """
        ...

    def retrying(self, ask: Callable[[], T]) -> T:
        """Return what a question to this source gives; it is asked again after errors that may pass (`ServerError.is_transient`).

        Args:
            ask: The question, which can be asked several times.

        Raises:
            ServerError: It is not answered within `Timeouts.outage` seconds, or the error does not pass.
        """
        ...


class Engine(Protocol):
    """Something that runs graphs.

    Nothing is asked of it before a method is called, and every method that asks raises a `ServerError` where it gets no answer.
    Between `open` and `close` it takes submissions; `submit`, `attach`, `cancel`, `collect` and `free` return at once. Every
    submission that was handed over or attached is reported by exactly one of `Finished`, `Refused`, `Cancelled` and `Broken`.
    """

    @property
    def url(self) -> str:
        """Return its address, without credentials: what ledgers and sidecars call it."""
        ...

    def info(self) -> EngineInfo:
        """Return what it is: versions, devices, cache mode."""
        ...

    def object_info(self, class_type: str | None = None) -> ObjectInfo:
        """Return what it says of its node classes, with the fingerprint of that.

        Args:
            class_type: The only class that is wanted, which costs much less; None for all.

        Raises:
            WorkflowError: There is no such class, or what is said is not readable.
        """
        ...

    def model_folders(self) -> list[str]:
        """Return the names of its folders of models; none where it does not tell."""
        ...

    def models_in(self, folder: str) -> list[str]:
        """Return the names of the models in such a folder.

        Raises:
            ServerRefused: It cannot look into it.
        """
        ...

    def queue(self) -> QueueStatus:
        """Return how many prompts it has."""
        ...

    def forget(self, prompt_ids: Sequence[str]) -> None:
        """Take ended prompts out of its history, by its own ids; their files stay, and unknown ones are no error."""
        ...

    def wait_until_reachable(self) -> bool:
        """Wait until it answers, for `Timeouts.outage` seconds at most; return whether it does."""
        ...

    def open(self, report: Callable[[EngineReport], None], files: JobFiles, options: EngineOptions) -> None:
        """Begin to take the submissions of a run.

        Args:
            report: Takes what becomes of them, on any thread; must return at once.
            files: Where collected files go.
            options: How they are treated.
        """
        ...

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Wait only so long from now on."""
        ...

    def stop_waiting(self) -> None:
        """Collect without waiting for an engine that does not answer; what it has is collected by the next process."""
        ...

    def submit(self, submission: Submission) -> None:
        """Have a submission run; its prompt id is its key in all reports."""
        ...

    def attach(self, submission: Submission, *, server_prompt_id: str = "") -> None:
        """Take up a submission that an earlier process may have handed over; it is followed like a new one, and never submitted.

        One that the engine does not have ends as `Broken` with `JobLost`.

        Args:
            submission: The submission; one without jobs where only its id is known.
            server_prompt_id: The id that the engine chose itself; empty where none is known.
        """
        ...

    def cancel(self, keys: Collection[str]) -> None:
        """Take submissions back; nobody else's is touched, and unknown keys are no error."""
        ...

    def collect(
        self, submission: Submission, verdict: Verdict | None, jobs: Sequence[JobToCollect], *, prompt_id: str = ""
    ) -> None:
        """Bring the files of an ended submission into the store of the run, verified; each job is reported as `Collected`.

        Args:
            submission: The submission.
            verdict: What the engine said of it; None where it has forgotten it, and files are looked for by their names.
            jobs: Those of its jobs that are wanted.
            prompt_id: What the engine calls it; empty for its key.
        """
        ...

    def free(self, key: str) -> None:
        """Have it free its memory; reported as `Freed` with this key, also where it does not do so."""
        ...

    def close(self) -> None:
        """Stop following; what runs there goes on running. There are no reports after this."""
        ...


NO_KEY: Final = "export COMFY_API_KEY=…, or set comfy_api_key in the config file"
"""How an engine gets an API key where none is known."""


@dataclass(frozen=True, slots=True)
class NamedEngine:
    """An engine as the user has chosen it for a run.

    Attributes:
        name: What the user calls it: a name from the config file, or its URL.
        engine: The engine.
        in_flight: How many submissions it holds at a time; None for the run's own number.
        key_hint: How it gets the API key without which it cannot run nodes that call paid services; empty where it has one.
    """

    name: str
    engine: Engine
    in_flight: int | None = None
    key_hint: str = NO_KEY


class EngineSupply(Protocol):
    """Where a run has its engines from. Called from one thread at a time."""

    def connect(self) -> Sequence[NamedEngine]:
        """Return the engines that the run begins with, at least one, which are not asked anything yet.

        Raises:
            UsageError: What names them is wrong, or two are the same.
            ServerError: There are none that could be used.
        """
        ...

    def newcomers(self) -> Sequence[NamedEngine]:
        """Return the engines that have come up since this was asked last; they take part as soon as they answer."""
        ...

    def enlist(self, server: str) -> NamedEngine:
        """Return an engine that somebody who can write into the run folder wants to add to the run, or to drain.

        Args:
            server: What it is called there.

        Raises:
            UsageError: It cannot be one.
        """
        ...

    def close(self) -> None:
        """Give back what was taken for the run; its engines are closed already. Once is enough, and more do no harm."""
        ...
