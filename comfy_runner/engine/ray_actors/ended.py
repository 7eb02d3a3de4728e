"""What is left of an actor when its run has ended: nothing. An engine that says so, for whoever finds its address in a ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from comfy_runner.collect.collector import collect_job
from comfy_runner.engine.info import EngineInfo, QueueStatus
from comfy_runner.engine.interface import EngineOptions, JobToCollect
from comfy_runner.engine.reports import Broken, Cancelled, EngineReport, Freed
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import ServerFile, Verdict
from comfy_runner.errors import JobLost, ServerRefused, Unreachable
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.store.job_files import JobFiles

SCHEME = "ray"
"""The scheme of what ledgers and sidecars call actors."""

T = TypeVar("T")

_UNKNOWN = "unknown"


class EndedActor:
    """The engine of an actor that has ended, which has lost all that it was given; see `Engine` for what the methods do.

    Args:
        url: What ledgers and sidecars call it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._report: Callable[[EngineReport], None]
        self._files: JobFiles

    @property
    def url(self) -> str:
        """Return what ledgers and sidecars call it."""
        return self._url

    def info(self) -> EngineInfo:
        """Return that nothing is known of it."""
        return EngineInfo(self._url, _UNKNOWN, _UNKNOWN, _UNKNOWN, (), "unknown")

    def object_info(self, class_type: str | None = None) -> ObjectInfo:  # noqa: ARG002 - as that of `Engine`
        """Refuse to say what it has.

        Raises:
            Unreachable: Always.
        """
        raise self._gone()

    def model_folders(self) -> list[str]:
        """Refuse, as `object_info`."""
        raise self._gone()

    def models_in(self, folder: str) -> list[str]:  # noqa: ARG002 - as that of `Engine`
        """Refuse, as `object_info`."""
        raise self._gone()

    def queue(self) -> QueueStatus:
        """Return that nothing waits."""
        return QueueStatus()

    def forget(self, prompt_ids: Sequence[str]) -> None:
        """Do nothing: its history is gone."""

    def wait_until_reachable(self) -> bool:
        """Return False."""
        return False

    def open(self, report: Callable[[EngineReport], None], files: JobFiles, options: EngineOptions) -> None:  # noqa: ARG002
        """Begin to say that submissions are lost."""
        self._report, self._files = report, files

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Do nothing: there is nothing to wait for."""

    def stop_waiting(self) -> None:
        """Do nothing, likewise."""

    def submit(self, submission: Submission) -> None:
        """Report that it cannot be had."""
        self._report(Broken(submission.prompt_id, self._gone()))

    def attach(self, submission: Submission, *, server_prompt_id: str = "") -> None:  # noqa: ARG002 - as that of `Engine`
        """Report that the submission is lost."""
        self._report(Broken(submission.prompt_id, JobLost("ended with its actor", where=self._url)))

    def cancel(self, keys: Collection[str]) -> None:
        """Report that nothing runsno longer exists."""
        for key in keys:
            self._report(Cancelled(key))

    def collect(
        self, submission: Submission, verdict: Verdict | None, jobs: Sequence[JobToCollect], *, prompt_id: str = ""
    ) -> None:
        """Report what had been put into the store before the actor ended."""
        for job in jobs:
            key, record = prompt_id or submission.prompt_id, {"url": self._url}
            source = _NoFiles(self._url)
            self._report(collect_job(source, self._files, submission, verdict, job, prompt_id=key, server=record))

    def free(self, key: str) -> None:
        """Report that nothing is in its memory."""
        self._report(Freed(key))

    def close(self) -> None:
        """Do nothing."""

    def _gone(self) -> Unreachable:
        return Unreachable("Ray actors end with their run", where=self._url, hint="run on Ray with --ray ADDRESS")


class _NoFiles:
    """A `FileSource` without files."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def open_file(self, file: ServerFile) -> Iterator[Iterator[bytes]]:
        error = ServerRefused(f"has no {file.filename} any more", where=self.url)
        error.status = 404
        raise error
        yield iter(())

    def find_files(self, prefixes: Mapping[str, str]) -> Mapping[str, tuple[ServerFile, ...]]:  # noqa: ARG002
        return {}

    def retrying(self, ask: Callable[[], T]) -> T:
        return ask()
