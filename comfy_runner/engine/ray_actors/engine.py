"""One place for an actor as an engine of a run: what the run asks goes to the actor, what the actor has to tell comes back.

Actors may end at any moment, with their node or alone. What one had is lost with it then, and the place is empty until the supply
puts another one there; the run learns of that as of a server that does not answer, or that has been restarted.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from comfy_runner.collect.collector import collect_job
from comfy_runner.engine.comfyui.engine import node_packs
from comfy_runner.engine.info import EngineInfo, QueueStatus
from comfy_runner.engine.interface import EngineOptions, JobToCollect
from comfy_runner.engine.ray_actors.actor_files import ActorFiles
from comfy_runner.engine.ray_actors.connection import ActorHandle, Gone
from comfy_runner.engine.ray_actors.messages import News, RunAtActor, Said
from comfy_runner.engine.reporting_threads import ReportingThreads
from comfy_runner.engine.reports import Broken, Cancelled, Collected, Crashed, EngineReport, Finished, Freed, Refused
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import Verdict
from comfy_runner.errors import JobLost, ServerError, Unreachable
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.remote import RemoteStore
from comfy_runner.store.run_folder import RunFolder

_STOP_SECONDS = 20.0
_PIECE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Order:
    """A method of the actor's engine, and its arguments."""

    name: str
    given: tuple[Any, ...]
    named: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return which submission it is about; empty for none, or several."""
        return next((each.prompt_id for each in self.given if isinstance(each, Submission)), "")


class RayEngine:
    """An actor and those that follow it in its place; see `Engine` for what the methods do.

    Args:
        name: What the place is called: node and GPU.
        url: What ledgers and sidecars call it.
        actor: The first actor there.
        log: The file that keeps what its servers print.
        when_empty: Called when the actor has ended, on any thread.

    Attributes:
        name: As given.
    """

    def __init__(self, name: str, url: str, actor: ActorHandle, *, log: Path, when_empty: Callable[[], None]) -> None:
        self.name, self._url, self._log, self._when_empty = name, url, log, when_empty
        self._changed = threading.Condition()
        self._actor: ActorHandle | None = actor
        self._is_open = self._is_closed = False
        self._orders: list[_Order] = []
        self._brought: set[str] = set()
        self._log_read = 0
        self._held: dict[str, Submission] = {}
        self._lost: set[str] = set()
        self._collecting: dict[tuple[str, str], JobToCollect] = {}
        self._freeing: set[str] = set()
        self._files = ActorFiles(url, self._call, Timeouts())
        self._info: ObjectInfo | None = None
        self._record = {"url": url}
        self._run = RunAtActor(options=EngineOptions(), url=url)
        self._report: Callable[[EngineReport], None]
        self._jobs: JobFiles
        self._collecting_threads: ReportingThreads | None = None
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Return what ledgers and sidecars call it."""
        return self._url

    @property
    def is_empty(self) -> bool:
        """Return whether its actor has ended, and no other one has taken the place."""
        return self._actor is None and not self._is_closed

    def adopt(self, actor: ActorHandle) -> None:
        """Put another actor into the place of one that has ended."""
        with self._changed:
            self._actor, self._is_open, self._log_read = actor, False, 0
            self._brought.clear()
            self._changed.notify_all()

    # What can be asked before a run is open

    def info(self) -> EngineInfo:
        """Return what its ComfyUI is."""
        told: EngineInfo = self._call("ask", "info")
        found = replace(told, url=self._url)
        self._record = found.as_record()
        return found

    def object_info(self, class_type: str | None = None) -> ObjectInfo:
        """Return what it says of its node classes, or of one."""
        found: ObjectInfo = self._call("ask", "object_info", class_type)
        if class_type is None:
            self._info = found
        return found

    def model_folders(self) -> list[str]:
        """Return the names of its folders of models."""
        found: list[str] = self._call("ask", "model_folders")
        return found

    def models_in(self, folder: str) -> list[str]:
        """Return the names of the models in such a folder."""
        found: list[str] = self._call("ask", "models_in", folder)
        return found

    def queue(self) -> QueueStatus:
        """Return how many prompts it has."""
        found: QueueStatus = self._call("ask", "queue")
        return found

    def forget(self, prompt_ids: Sequence[str]) -> None:
        """Take ended prompts out of its history."""
        self._call("ask", "forget", list(prompt_ids))

    def wait_until_reachable(self) -> bool:
        """Wait until it answers, for `Timeouts.outage` seconds at most; return whether it does."""
        return self._files.wait_until_reachable()

    # The submissions of a run

    def open(self, report: Callable[[EngineReport], None], files: JobFiles, options: EngineOptions) -> None:
        """Begin to take the submissions of a run."""
        self._report, self._jobs = report, files
        self._run = replace(self._run, options=options)
        if isinstance(files, RunFolder) and isinstance(files.store, RemoteStore) and files.store.is_shared:
            self._run = replace(self._run, store=files.store.address, lease=files.lease_number)
            files.store.drop_listing()  # actors put what is not in it
        self._files.timeouts = options.timeouts
        self._collecting_threads = ReportingThreads(report)
        for work in (self._follow, self._give_orders):
            self._threads.append(threading.Thread(target=self._guarded, args=(work,), name=f"Ray {self.name}", daemon=True))
            self._threads[-1].start()

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Wait only so long from now on."""
        self._files.timeouts = timeouts
        self._run = replace(self._run, options=replace(self._run.options, timeouts=timeouts))
        self._order("set_timeouts", timeouts)

    def stop_waiting(self) -> None:
        """Collect without waiting for an actor that is gone."""
        self._files.stop_waiting()
        self._order("stop_waiting")

    def submit(self, submission: Submission) -> None:
        """Have the actor post a submission, and follow it."""
        with self._changed:
            self._held[submission.prompt_id] = submission
            self._order("submit", submission)

    def attach(self, submission: Submission, *, server_prompt_id: str = "") -> None:
        """Have the actor look for a submission that an earlier process may have handed over."""
        with self._changed:
            self._held[submission.prompt_id] = submission
            self._order("attach", submission, server_prompt_id=server_prompt_id)

    def cancel(self, keys: Collection[str]) -> None:
        """Have the actor take submissions back; where there is none, nothing runs."""
        with self._changed:
            if self._actor is not None:
                self._order("cancel", list(keys))
                return
            gone = {key for key in keys if self._held.pop(key, None) is not None}
            self._orders = [order for order in self._orders if not gone & {order.key}]
        for key in gone:
            self._report(Cancelled(key))

    def collect(
        self, submission: Submission, verdict: Verdict | None, jobs: Sequence[JobToCollect], *, prompt_id: str = ""
    ) -> None:
        """Bring the files of an ended submission into the store of the run: by the actor itself where it can reach the store."""
        if self._run.store:
            with self._changed:
                self._collecting |= {(submission.prompt_id, job.job_id): job for job in jobs}
                if self._actor is not None:
                    self._order("collect", submission, verdict, list(jobs), prompt_id=prompt_id)
                    return
            self._lose_collecting()
            return
        record, known = {**self._record, **node_packs(submission, self._info)}, prompt_id or submission.prompt_id
        for job in jobs:
            self._do(partial(collect_job, self._files, self._jobs, submission, verdict, job, prompt_id=known, server=record))

    def free(self, key: str) -> None:
        """Have the server free its memory; a new one has nothing in it."""
        with self._changed:
            if self._actor is not None:
                self._freeing.add(key)
                self._order("free", key)
                return
        self._report(Freed(key))

    def close(self) -> None:
        """End the actor with its server."""
        with self._changed:
            actor, self._actor, self._is_closed = self._actor, None, True
            self._changed.notify_all()
        if actor is not None:
            with contextlib.suppress(Gone):
                self._keep_log(actor.call_within(_STOP_SECONDS, "stop", self._log_read))
            actor.kill()
        for thread in self._threads:
            thread.join()
        if self._collecting_threads is not None:
            self._collecting_threads.close()

    # Calls

    def _call(self, method: str, *given: Any) -> Any:
        """Return what a method of the actor returns, or what the actor's engine does.

        Raises:
            Unreachable: There is no actor, or it has just ended.
            ServerError: The engine has raised it.
        """
        actor = self._actor
        if actor is None:
            raise self._is_gone()
        try:
            answer = actor.call(method, *given)
        except Gone as error:
            self._lose(actor)
            raise self._is_gone(error) from error
        if isinstance(answer, Said):
            if answer.error is not None:
                raise answer.error
            return answer.value
        return answer

    def _order(self, order: str, *given: Any, **named: Any) -> None:
        """Have the actor's engine do something, after all that was ordered before; as soon as there is an actor."""
        with self._changed:
            self._orders.append(_Order(order, given, named))
            self._changed.notify_all()

    def _lose(self, actor: ActorHandle) -> None:
        """Note that an actor has ended; one that only seems to have is ended."""
        actor.kill()
        with self._changed:
            if self._actor is not actor:
                return
            self._actor, self._is_open = None, False
            self._lost |= self._held.keys()
            self._orders.clear()
            self._changed.notify_all()
        self._when_empty()

    def _is_gone(self, error: Gone | None = None) -> Unreachable:
        what = str(error) if error is not None else "its actor has ended, and Ray has no other there"
        return Unreachable(what, where=self._url, hint="its jobs go to others; the same command continues where this one ends")

    def _do(self, work: Callable[[], EngineReport]) -> None:
        if self._collecting_threads is None:
            raise ValueError(f"{self._url} was not opened")
        self._collecting_threads.do(work)

    # On threads of their own

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # a fault of ours, which the coordinator takes to the caller
            self._report(Crashed(error))

    def _follow(self) -> None:
        while not self._is_closed:
            actor = self._actor
            if actor is None:
                self._go_without()
                continue
            try:
                self._open(actor)
                self._take_news(actor)
            except Gone:
                self._lose(actor)

    def _open(self, actor: ActorHandle) -> None:
        """Have an actor take submissions."""
        said: Said = actor.call("open", self._run)
        if said.error is not None:
            raise Gone(str(said.error))
        with self._changed:
            self._is_open = self._actor is actor
            self._changed.notify_all()

    def _give_orders(self) -> None:
        """Give orders one after the other, each when the one before has arrived."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: (self._is_open and self._orders) or self._is_closed)
                if self._is_closed:
                    return
                actor, order = self._actor, self._orders.pop(0)
            if actor is None:
                continue
            try:
                if order.name == "submit":
                    self._bring(actor, order.given[0])
                actor.call("tell", order.name, *order.given, **order.named)
            except Gone:
                self._lose(actor)

    def _bring(self, actor: ActorHandle, submission: Submission) -> None:
        """Bring the files that a submission reads to the actor's machine; of one that cannot be read, the actor says so."""
        for file in submission.inputs:
            if file.sha256 in self._brought:
                continue
            self._brought.add(file.sha256)
            with contextlib.suppress(OSError), Path(file.path).open("rb") as content:
                while piece := content.read(_PIECE):
                    actor.call("take", file.sha256, piece)

    def _take_news(self, actor: ActorHandle) -> None:
        arrived = 0
        while self._actor is actor:
            news: News = actor.call("news", arrived, self._log_read)
            if self._is_closed:
                return
            self._keep_log(news.log)
            for report in news.reports:
                self._note(report)
                self._report(report)
            arrived = len(news.reports)

    def _note(self, report: EngineReport) -> None:
        with self._changed:
            match report:
                case Finished(key) | Refused(key) | Cancelled(key) | Broken(key):
                    self._held.pop(key, None)
                case Collected(key=key, job_id=job_id):
                    self._collecting.pop((key, job_id), None)
                case Freed(key):
                    self._freeing.discard(key)

    def _go_without(self) -> None:
        """Wait for another actor; what the one before had is lost where one comes soon, and out of reach where none does."""
        with self._changed:
            freeing, self._freeing = self._freeing, set()
        for key in freeing:
            self._report(Freed(key))
        self._lose_collecting()
        error: ServerError = JobLost("its actor has ended, and another has taken its place", where=self._url)
        with self._changed:
            self._changed.wait_for(lambda: self._actor is not None or self._is_closed, self._run.options.timeouts.outage)
            if self._is_closed:
                return
            if self._actor is None:
                # Nor is anything kept that was ordered since.
                error, self._lost = self._is_gone(), set(self._held)
                self._orders.clear()
            broken = [key for key in self._lost if self._held.pop(key, None) is not None]
            self._lost.clear()
        for key in broken:
            self._report(Broken(key, error))
        with self._changed:
            self._changed.wait_for(lambda: self._actor is not None or self._held or self._is_closed)

    def _lose_collecting(self) -> None:
        """Report what an actor was just putting into the store as lost: whatever of it is there is found by who makes it again."""
        with self._changed:
            lost, self._collecting = self._collecting, {}
        for (key, job_id), job in lost.items():
            error = JobLost("its actor ended while collecting", where=job_id)
            self._report(Collected(key, job_id, None, job.reusable, (), error))

    def _keep_log(self, printed: bytes) -> None:
        self._log_read += len(printed)
        if printed:
            # A log that cannot be kept is no reason to end a run.
            with contextlib.suppress(OSError):
                self._log.parent.mkdir(parents=True, exist_ok=True)
                with self._log.open("ab") as file:
                    file.write(printed)
