"""A run as its caller holds it: events to follow, results to wait for, a way to cancel.

The coordinator works in a thread of its own and hands events to a queue, so that a caller who reads slowly holds nothing up.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from comfy_runner.check.expected import Expected
from comfy_runner.inbox import Inbox
from comfy_runner.running.coordinator import Coordinator
from comfy_runner.running.events import Event, JobProgressed, JobResult, RunFinished, RunStarted
from comfy_runner.store.run_folder import RunFolder

_EVENTS_HELD = 10_000


class Run:
    """A run that goes on in threads of its own, whether anybody follows it or not.

    Iterate over it for its events, ask it for its `results`; leaving it as a context manager before its end cancels it.

    Args:
        folder: The run folder; its lock is released when the run has ended.
        started: The first event; it names all jobs, in the order of their results.
        coordinator: Makes what renders the jobs that are not done, given ``emit``; None where all are.
        expected: What is expected of each job, by its id.

    Attributes:
        folder: The run folder.
        expected: As given; `comfy_runner.check_run` holds the finished run against it.
    """

    def __init__(
        self,
        folder: RunFolder,
        started: RunStarted,
        coordinator: Callable[..., Coordinator] | None = None,
        *,
        expected: Mapping[str, Expected] = MappingProxyType({}),
    ) -> None:
        self.folder = folder.path
        self.expected = expected
        self._lock = folder
        self._jobs = started.jobs
        self._events = Inbox[Event | BaseException]()
        self._results: tuple[JobResult, ...] | None = None
        self._failure: BaseException | None = None
        self._coordinator = coordinator(emit=self._emit) if coordinator else None
        self._events.put(started)
        self._thread = threading.Thread(target=self._run, name="run", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Event]:
        """Yield events until the run has ended, the last one a `RunFinished`; each event is yielded once."""
        while True:
            ended = not self._thread.is_alive()
            try:
                # A wait without an end cannot be interrupted from the keyboard on Windows.
                event = self._events.get(timeout=0 if ended else 0.5)
            except queue.Empty:
                if ended:
                    return
                continue
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, RunFinished):
                return

    def results(self) -> tuple[JobResult, ...]:
        """Wait for the end and return one result per job, in the order of the recipes.

        Raises:
            ComfyRunnerError: The run itself failed, which is not the same as a job that failed.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._results or ()

    def cancel(self) -> None:
        """Take our jobs back from the servers, collect what is finished, and end; safe in a signal handler."""
        if self._coordinator is not None:
            self._coordinator.cancel()

    def on_server(self) -> list[str]:
        """Return the prompt ids of our jobs that servers have now."""
        return self._coordinator.on_server() if self._coordinator else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._thread.is_alive():
            self.cancel()
            self._thread.join()

    def _emit(self, event: Event) -> None:
        # Progress is dropped where nobody takes it; results never are.
        if not isinstance(event, JobProgressed) or self._events.qsize() < _EVENTS_HELD:
            self._events.put(event)

    def _run(self) -> None:
        try:
            rendered = self._coordinator.run() if self._coordinator else {}
            self._results = tuple(rendered.get(job_id) or self._was_done(job_id) for job_id in self._jobs)
        except BaseException as error:  # it must reach the caller's thread, whatever it is
            self._failure = error
        # First of all, so that who sees the last event can use the folder again.
        try:
            self._lock.close()
        except BaseException as error:
            self._failure = self._failure or error
        spent = self._coordinator.spent if self._coordinator else None
        self._events.put(self._failure or RunFinished(self._results or (), spent))

    def _was_done(self, job_id: str) -> JobResult:
        paths: dict[str, tuple[Path, ...]] = {}
        for row in self._lock.ledger.files(job_id):
            paths[row.role] = (*paths.get(row.role, ()), self.folder / row.path)
        return JobResult(job_id, "done", paths, was_done=True)
