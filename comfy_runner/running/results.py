"""How jobs have ended: written to the ledger, told to whoever follows the run, kept as results.

Not here: why they ended so (`coordinate`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from comfy_runner.clock import now
from comfy_runner.engine.reports import Collected
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running.events import Event, JobFinished, JobResult
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import FileRecord
from comfy_runner.store.states import Event as Change
from comfy_runner.store.states import State

Files = Mapping[str, tuple[FileRecord, ...]]

_STATES: Mapping[Change, State] = {
    Change.DONE: "done",
    Change.PARTIAL: "partial",
    Change.FAILED: "failed",
    Change.CANCELLED: "cancelled",
}


class Outcomes:
    """The results of a run.

    Args:
        folder: The run folder, whose ledger is written.
        wanted: The jobs that are to get a result; others are only recorded.
        emit: Takes events; must return at once.
    """

    def __init__(self, folder: RunFolder, wanted: Collection[str], emit: Callable[[Event], None]) -> None:
        self._folder, self._wanted, self._emit = folder, wanted, emit
        self.results: dict[str, JobResult] = {}
        self.all_done = True
        """Whether no job has ended otherwise than well so far."""

    def record(
        self,
        job_id: str,
        change: Change,
        error: ComfyRunnerError | None = None,
        *,
        files: Files | None = None,
        prompt_id: str | None = None,
        done: Collected | None = None,
        server: str = "",
    ) -> State:
        """Record that a job has ended, and return how; with pictures it has not failed but is partial.

        Args:
            job_id: The job.
            change: How it ended.
            error: Why it is not done; None where it is.
            files: All of its files that are in place.
            prompt_id: The submission that this settles.
            done: What was collected of it.
            server: The name of the server that did it; empty for none.
        """
        files = files or {}
        if files and change in (Change.FAILED, Change.CANCELLED):
            change = Change.PARTIAL
        seconds = done.seconds if done else None
        self._folder.ledger.settle(
            job_id,
            change,
            prompt_id=prompt_id,
            files=self._folder.rows(files),
            error=str(error or ""),
            seconds=seconds,
            work=done.work if done else None,
            finished=now(),
        )
        cached = done.verdict.cached if done and done.verdict else ()
        state = _STATES[change]
        self.tell(job_id, state, error, files=files, seconds=seconds, cached=cached, server=server)
        return state

    def tell(
        self,
        job_id: str,
        state: State,
        error: ComfyRunnerError | None,
        *,
        files: Files,
        seconds: float | None = None,
        cached: tuple[str, ...] = (),
        server: str = "",
    ) -> None:
        """Tell how a job stands at the end of this run, without recording anything."""
        if job_id not in self._wanted:
            return
        result = JobResult(job_id, state, self._paths(files), error, seconds=seconds, cached_nodes=cached, server=server)
        self.results[job_id] = result
        self.all_done &= state == "done"
        self._emit(JobFinished(result))

    def _paths(self, files: Files) -> dict[str, tuple[Path, ...]]:
        return {role: tuple(self._folder.path / record.path for record in records) for role, records in files.items()}
