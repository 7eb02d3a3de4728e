"""A run as its caller holds it: events to follow, results to wait for, a way to cancel.

The coordinator works in a thread of its own and hands events to a queue, so that a caller who reads slowly holds nothing up.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from comfy_runner.check.expected import Expected
from comfy_runner.inbox import Inbox
from comfy_runner.notebook_html import escaped
from comfy_runner.planning.draft import Draft
from comfy_runner.running.coordinator import Coordinator
from comfy_runner.running.events import Event, JobFinished, JobPreviewed, JobProgressed, RunFinished, RunStarted
from comfy_runner.running.job_results import JobResult, JobResults, told_states
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.wording import counted

_EVENTS_HELD = 10_000
_WAIT_SECONDS = 0.5
_PREVIEWS_HELD = 100  # events; each of these has some 20 KB

_MOST_HELD: Mapping[type[Event], int] = {JobProgressed: _EVENTS_HELD, JobPreviewed: _PREVIEWS_HELD}


class Run:
    """A run that goes on in threads of its own, whether anybody follows it or not.

    Iterate over it for its events, ask it for its `results`; leaving it as a context manager before its end cancels it. Both can be
    done with ``async``, too: a task that is cancelled while it waits for an event takes none, and cancels no job; leaving
    ``async with`` does, as leaving ``with`` does.

    Args:
        folder: The run folder; its lock is released when the run has ended.
        started: The first event; it names all jobs, in the order of their results.
        coordinator: Makes what renders the jobs that are not done, given ``emit``; None where all are.
        expected: What is expected of each job, by its id.
        drafts: The jobs by their ids; results say what they say of values, seed and prompt.

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
        drafts: Mapping[str, Draft] = MappingProxyType({}),
    ) -> None:
        self.folder = folder.path
        self.expected = expected
        self._drafts = drafts
        self._listeners: list[Callable[[], object]] = []
        self._lock = folder
        self._jobs = started.jobs
        self._events = Inbox[Event | BaseException]()
        self._results: JobResults | None = None
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
                event = self._events.get(timeout=0 if ended else _WAIT_SECONDS)
            except queue.Empty:
                if ended:
                    return
                continue
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, RunFinished):
                return

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield events as `__iter__` does, from the same queue, without holding up the event loop."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def listen() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(news.set)

        self._listeners.append(listen)
        try:
            while True:
                await asyncio.sleep(0)  # many events at a time leave others their turn
                news.clear()
                ended = not self._thread.is_alive()
                try:
                    event = self._events.get_nowait()
                except queue.Empty:
                    if ended:
                        return
                    # Not without an end: somebody else may have taken the last event.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), _WAIT_SECONDS)
                    continue
                if isinstance(event, BaseException):
                    raise event
                yield event
                if isinstance(event, RunFinished):
                    return
        finally:
            self._listeners.remove(listen)

    def results(self) -> JobResults:
        """Wait for the end and return one result per job, in the order of the recipes.

        Raises:
            ComfyRunnerError: The run itself failed, which is not the same as a job that failed.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._results or JobResults()

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._thread.is_alive():
            self.cancel()
            await asyncio.to_thread(self._thread.join)

    def _repr_html_(self) -> str:
        """Return the run for notebooks: where its pictures are and, at its end, its results; it does not wait for that."""
        place = f"<div>run folder <code>{escaped(self.folder)}</code>: "
        if self._failure is not None:
            return f"{place}{escaped(self._failure)}</div>"
        if self._results is None:
            return f"{place}{counted(len(self._jobs), 'job')}, still running</div>"
        return f"{place}{escaped(told_states(self._results))}</div>{self._results._repr_html_()}"

    def _emit(self, event: Event) -> None:
        if isinstance(event, JobFinished):
            event = JobFinished(self._described(event.result))
        # Progress is dropped where nobody takes it; results never are.
        held = _MOST_HELD.get(type(event))
        if held is None or self._events.qsize() < held:
            self._tell(event)

    def _tell(self, event: Event | BaseException) -> None:
        self._events.put(event)
        for listen in tuple(self._listeners):
            listen()

    def _described(self, result: JobResult) -> JobResult:
        """Return a result with what its job is."""
        draft = self._drafts.get(result.job_id)
        if draft is None:
            return result
        return replace(result, values=draft.assignments, seed=draft.first_seed, prompt=draft.prompt)

    def _run(self) -> None:
        try:
            rendered = self._coordinator.run() if self._coordinator else {}
            found = (rendered.get(job_id) or self._was_done(job_id) for job_id in self._jobs)
            self._results = JobResults(map(self._described, found))
        except BaseException as error:  # it must reach the caller's thread, whatever it is
            self._failure = error
        # First of all, so that who sees the last event can use the folder again.
        try:
            self._lock.close()
        except BaseException as error:
            self._failure = self._failure or error
        spent = self._coordinator.spent if self._coordinator else None
        self._tell(self._failure or RunFinished(self._results or JobResults(), spent))

    def _was_done(self, job_id: str) -> JobResult:
        paths: dict[str, tuple[Path, ...]] = {}
        for row in self._lock.ledger.files(job_id):
            paths[row.role] = (*paths.get(row.role, ()), self.folder / row.path)
        return JobResult(job_id, "done", paths, was_done=True)
