"""The interface of engines: what a run, a plan and the command line can ask an engine to do.

An engine is a ComfyUI with a URL (`engine.comfyui`), one that is started on this machine (`engine.local`), or one that an
installed package provides (`engine.registry`). It reports the progress and the results of submissions to one callable, as the
values of `engine.reports`.
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
    """How an engine treats the submissions of one run.

    Attributes:
        websocket: Whether to listen for progress; the results are the same without it.
        stall: Seconds for which a running submission may show no progress; time spent in the queue does not count.
        total: Seconds that a submission may take after `Engine.submit` or `Engine.attach`, including all waiting; None for no
            limit.
        allow_partial: Whether to run the part of a submission that the engine accepts if it refuses the rest.
        previews: Whether to ask for previews of running nodes, if the engine can make them. They cost the engine a little time.
        timeouts: All other time limits.
    """

    websocket: bool = True
    stall: float = STALL_SECONDS
    total: float | None = None
    allow_partial: bool = False
    previews: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class JobToCollect:
    """A job of an ended submission whose files are to be collected.

    Attributes:
        job_id: The id of the job.
        reusable: Valid files from earlier runs, by output role; they are not fetched again.
        error: Why the engine did not finish the job; None if it did.
    """

    job_id: str
    reusable: Mapping[str, tuple[FileRecord, ...]]
    error: ComfyRunnerError | None = None


class FileSource(Protocol):
    """An engine as the place from which the files of submissions are collected."""

    @property
    def url(self) -> str:
        """Return the address of the engine, without credentials."""
        ...

    def open_file(self, file: ServerFile) -> AbstractContextManager[Iterator[bytes]]:
        """Return the content of a file, in chunks.

        Raises:
            ServerRefused: The engine does not have the file (status 404), or refuses to send it.
            Unreachable: The engine does not answer, or the connection breaks before the end of the file.
        """
        ...

    def find_files(self, prefixes: Mapping[str, str]) -> Mapping[str, tuple[ServerFile, ...]]:
        """Return the engine's files whose names begin with the given prefixes, by node id.

        Args:
            prefixes: The file prefix of each node that saves files, by node id, with ``/`` after a folder. No other submission
                may use these prefixes.

        Raises:
            ServerError: The engine does not answer, or refuses.
        """
        ...

    def retrying(self, ask: Callable[[], T]) -> T:
        """Return the result of a request to the engine, which is repeated after transient errors (`ServerError.is_transient`).

        Args:
            ask: Sends the request; it can be called several times.

        Raises:
            ServerError: No attempt succeeds within `Timeouts.outage` seconds, or the error is not transient.
        """
        ...


class Engine(Protocol):
    """Something that runs graphs.

    Creating an engine sends no request. Every method that sends one raises a `ServerError` if there is no answer. The engine
    accepts submissions between `open` and `close`; `submit`, `attach`, `cancel`, `collect` and `free` return at once. For every
    submission passed to `submit` or `attach`, the engine reports exactly one of `Finished`, `Refused`, `Cancelled` and `Broken`.
    """

    @property
    def url(self) -> str:
        """Return the engine's address, without credentials, as ledgers and sidecars record it."""
        ...

    def info(self) -> EngineInfo:
        """Return the engine's versions, devices and cache mode."""
        ...

    def object_info(self, class_type: str | None = None) -> ObjectInfo:
        """Return the engine's description of its node classes, with a fingerprint.

        Args:
            class_type: The class to describe, which is much faster than all of them; None for all classes.

        Raises:
            WorkflowError: The engine does not have the class, or its description cannot be read.
        """
        ...

    def model_folders(self) -> list[str]:
        """Return the names of the engine's model folders; an empty list if it does not report them."""
        ...

    def models_in(self, folder: str) -> list[str]:
        """Return the names of the models in a model folder.

        Raises:
            ServerRefused: The engine cannot list the folder.
        """
        ...

    def queue(self) -> QueueStatus:
        """Return how many prompts are running and waiting in the engine's queue."""
        ...

    def forget(self, prompt_ids: Sequence[str]) -> None:
        """Remove ended prompts from the engine's history, but keep their files.

        Args:
            prompt_ids: The ids that the engine uses; unknown ones are ignored.
        """
        ...

    def wait_until_reachable(self) -> bool:
        """Wait at most `Timeouts.outage` seconds until the engine answers; return whether it does."""
        ...

    def open(self, report: Callable[[EngineReport], None], files: JobFiles, options: EngineOptions) -> None:
        """Start to accept the submissions of a run.

        Args:
            report: Receives all reports, on any thread; must return at once.
            files: Stores the collected files.
            options: How to treat the submissions.
        """
        ...

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Use these time limits from now on."""
        ...

    def stop_waiting(self) -> None:
        """Stop waiting for the engine if it does not answer; the next process collects the files that remain there."""
        ...

    def submit(self, submission: Submission) -> None:
        """Run a submission; its prompt id is its key in all reports."""
        ...

    def attach(self, submission: Submission, *, server_prompt_id: str = "") -> None:
        """Follow a submission that an earlier process may have submitted, without submitting it again.

        If the engine does not have the submission, it reports `Broken` with `JobLost`.

        Args:
            submission: The submission; without jobs if only its id is known.
            server_prompt_id: The id that the engine chose itself; empty if it is not known.
        """
        ...

    def cancel(self, keys: Collection[str]) -> None:
        """Cancel submissions of this run, and no others; unknown keys are ignored."""
        ...

    def collect(
        self, submission: Submission, verdict: Verdict | None, jobs: Sequence[JobToCollect], *, prompt_id: str = ""
    ) -> None:
        """Copy the files of an ended submission into the run folder and verify them; report each job as `Collected`.

        Args:
            submission: The submission.
            verdict: The engine's verdict on it; None if the engine has forgotten it, so that its files are found by their names.
            jobs: The jobs of the submission to collect.
            prompt_id: The engine's own id of the submission; empty if it is the submission's key.
        """
        ...

    def free(self, key: str) -> None:
        """Ask the engine to free its memory; report `Freed` with this key, even if the engine does not do so."""
        ...

    def close(self) -> None:
        """Stop following submissions, which continue to run on the engine. There are no reports after this."""
        ...


NO_KEY: Final = "export COMFY_API_KEY=…, or set comfy_api_key in the config file"
"""How the user gives an engine an API key if none is known."""


@dataclass(frozen=True, slots=True)
class NamedEngine:
    """An engine that the user has chosen for a run.

    Attributes:
        name: The engine's name in the config file, or its URL.
        engine: The engine.
        in_flight: How many submissions it may have at a time; None for the run's own number.
        key_hint: How the user gives it the API key that nodes which call paid services need; empty if it has one.
    """

    name: str
    engine: Engine
    in_flight: int | None = None
    key_hint: str = NO_KEY


class EngineSupply(Protocol):
    """Provides a run with engines. Called from one thread at a time."""

    def connect(self) -> Sequence[NamedEngine]:
        """Return the engines that the run begins with, at least one. No request is sent to them yet.

        Raises:
            UsageError: The name or address of an engine is wrong, or two of them are the same engine.
            ServerError: No engine can be used.
        """
        ...

    def newcomers(self) -> Sequence[NamedEngine]:
        """Return the engines that have started since the last call; the run uses them as soon as they answer."""
        ...

    def enlist(self, server: str) -> NamedEngine:
        """Return the engine that a request in the run folder asks to add to the run, or to drain.

        Args:
            server: The engine's name or address, from anybody who can write into the run folder.

        Raises:
            UsageError: This is not the name or address of an engine that can be used.
        """
        ...

    def close(self) -> None:
        """Release what was reserved for the run, whose engines are already closed. It is safe to call this more than once."""
        ...
