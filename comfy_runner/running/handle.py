"""The handle of a run: its caller can follow the events, wait for the results, and cancel the run.

The coordinator works in its own thread and puts events into a queue, so a caller who reads slowly does not delay the run.
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
    """A run that continues in its own threads, whether or not anybody follows it.

    Iterate over the run to get its events, and call `results` to wait for its end. Leaving the run's ``with`` block before its end
    cancels it. ``async for`` and ``async with`` work in the same way: cancelling a task that waits for an event loses no event and
    cancels no job, but leaving ``async with`` cancels the run.

    Args:
        folder: The run folder; its lock is released when the run has ended.
        started: The first event; it names all jobs, in the order of their results.
        coordinator: Called with ``emit``; returns the coordinator that renders the jobs which are not done. None if all are done.
        expected: What is expected of each job, by job id.
        drafts: The jobs by their ids; results get their values, seed and prompt from them.

    Attributes:
        folder: The run folder.
        expected: What is expected of each job; `comfy_runner.check_run` compares the finished run with it.
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
                # On Windows, Ctrl+C cannot interrupt a wait without a time limit.
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
        """Yield events as `__iter__` does, from the same queue, without blocking the event loop."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def listen() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(news.set)

        self._listeners.append(listen)
        try:
            while True:
                await asyncio.sleep(0)  # other tasks get their turn even if there are many events
                news.clear()
                ended = not self._thread.is_alive()
                try:
                    event = self._events.get_nowait()
                except queue.Empty:
                    if ended:
                        return
                    # The wait has a time limit because another reader may have taken the last event.
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
        """Wait for the end of the run and return one result per job, in the order of the recipes.

        Raises:
            ComfyRunnerError: The run itself failed; a failed job does not raise an error.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._results or JobResults()

    def cancel(self) -> None:
        """Cancel the run's jobs on the servers, collect what is finished, and end the run; safe in a signal handler."""
        if self._coordinator is not None:
            self._coordinator.cancel()

    def on_server(self) -> list[str]:
        """Return the prompt ids of the run's jobs that are on servers now."""
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
        """Return the run as HTML for notebooks: the run folder and, if the run has ended, its results."""
        place = f"<div>run folder <code>{escaped(self.folder)}</code>: "
        if self._failure is not None:
            return f"{place}{escaped(self._failure)}</div>"
        if self._results is None:
            return f"{place}{counted(len(self._jobs), 'job')}, still running</div>"
        return f"{place}{escaped(told_states(self._results))}</div>{self._results._repr_html_()}"

    def _emit(self, event: Event) -> None:
        if isinstance(event, JobFinished):
            event = JobFinished(self._described(event.result))
        # Events about progress are dropped if nobody reads them; results never are.
        held = _MOST_HELD.get(type(event))
        if held is None or self._events.qsize() < held:
            self._tell(event)

    def _tell(self, event: Event | BaseException) -> None:
        self._events.put(event)
        for listen in tuple(self._listeners):
            listen()

    def _described(self, result: JobResult) -> JobResult:
        """Return a result with the values, seed and prompt of its job."""
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
        # The lock is released before the last event, so whoever sees that event can use the folder at once.
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
