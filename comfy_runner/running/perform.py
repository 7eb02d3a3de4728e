"""Carries out what `decide` has decided: ledger, engines, threads, events. It decides nothing."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from comfy_runner.collect.dedup import share
from comfy_runner.engine.interface import EngineOptions
from comfy_runner.engine.reports import Crashed, EngineReport
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running import actions as do
from comfy_runner.running.candidates import Answered, Candidate, Examiner
from comfy_runner.running.events import Event
from comfy_runner.running.in_flight import Files
from comfy_runner.running.messages import Examined, Prepared, Shared
from comfy_runner.running.policy import Policy
from comfy_runner.running.prepare import Preparer
from comfy_runner.store.control_files import answer
from comfy_runner.store.ledger import Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate
from comfy_runner.store.run_folder import RunFolder

_SHARING_THREADS = 4


class Performer:
    """The hands of a run.

    Args:
        folder: The run folder, locked by the caller.
        candidates: The servers that it begins with.
        examiner: Asks servers what they are and can do.
        report: Takes what engines and threads report, on any thread; must return at once.
        emit: Takes events; must return at once.
        policy: How engines are treated.
    """

    def __init__(
        self,
        folder: RunFolder,
        candidates: Sequence[Candidate],
        *,
        examiner: Examiner,
        report: Callable[[EngineReport | Shared | Examined], None],
        emit: Callable[[Event], None],
        policy: Policy,
    ) -> None:
        self._folder, self._examiner = folder, examiner
        self._report, self._emit, self._policy = report, emit, policy
        self._workers: dict[str, Candidate] = {}
        self._preparers: dict[str, Preparer] = {}
        self._pool = ThreadPoolExecutor(_SHARING_THREADS, thread_name_prefix="share")
        self._stopped_waiting = threading.Event()
        self._enlist(*candidates)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close all engines, and end all threads; what runs on servers goes on running."""
        # Servers that do not answer are not waited for one after the other.
        closing = [threading.Thread(target=each.engine.close, daemon=True) for each in self._workers.values()]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        self._pool.shutdown(cancel_futures=kind is not None)

    def perform(self, action: do.Action) -> Prepared | None:
        """Carry an action out; return what is to be decided about at once, if there is anything.

        Raises:
            RunFolderError: The ledger cannot be written.
        """
        match action:
            case do.Record() | do.Accept() | do.Settle() | do.Forget() | do.Release() | do.Retake():
                write(self._folder.ledger, action, rows_of=self._folder.rows)
            case do.Prepare():
                return self._prepare(action)
            case do.Submit(worker, submission):
                self._workers[worker].engine.submit(submission)
            case do.Attach(worker, submission, server_prompt_id):
                self._workers[worker].engine.attach(submission, server_prompt_id=server_prompt_id)
            case do.CancelOn(worker, keys):
                self._workers[worker].engine.cancel(keys)
            case do.Collect(worker, submission, verdict, jobs, prompt_id):
                self._workers[worker].engine.collect(submission, verdict, jobs, prompt_id=prompt_id)
            case do.Free(worker, job_id):
                self._workers[worker].engine.free(job_id)
            case do.Share():
                self._pool.submit(self._guarded, self._share, action)
            case do.Examine(worker):
                # Each on a thread of its own: those that hang hold up nobody, nor the end of the program.
                threading.Thread(target=self._guarded, args=(self._examine, worker), daemon=True).start()
            case do.Enlist(candidate):
                self._enlist(candidate)
            case do.StopWaiting():
                self._stopped_waiting.set()
                for each in self._workers.values():
                    each.engine.stop_waiting()
            case do.Answer(request, error):
                answer(request, error)
            case do.Emit(event):
                self._emit(event)
        return None

    def answered(self, worker: str, found: Answered) -> None:
        """Take what a worker says of itself, which decides how jobs are prepared for it."""
        self._preparers[worker] = Preparer(self._folder, found.capabilities)

    def _prepare(self, action: do.Prepare) -> Prepared:
        key = str(uuid.uuid4())
        ready, settled = self._preparers[action.worker].pack(action.drafts, key, attempts=action.attempts, forced=action.forced)
        return Prepared(action.worker, key, tuple(ready), tuple(settled))

    def _enlist(self, *candidates: Candidate) -> None:
        self._workers |= {candidate.name: candidate for candidate in candidates}
        policy, timeouts = self._policy, self._policy.timeouts_with(len(self._workers))
        options = EngineOptions(
            websocket=policy.websocket,
            stall=policy.stall,
            total=policy.total,
            allow_partial=policy.allow_partial,
            previews=policy.previews,
            timeouts=timeouts,
        )
        for candidate in candidates:
            candidate.engine.open(self._report, self._folder, options)
            if candidate.answer is not None:
                self.answered(candidate.name, candidate.answer)
        for worker in self._workers.values():
            worker.engine.set_timeouts(timeouts)

    # On other threads

    def _examine(self, worker: str) -> None:
        try:
            found = Examined(worker, self._examiner.ask_again(self._workers[worker]), None)
        except ComfyRunnerError as error:
            found = Examined(worker, None, error)
        self._report(found)

    def _share(self, action: do.Share) -> None:
        draft, leader_id = action.draft, action.leader_id
        if self._stopped_waiting.is_set():
            # The next process does.
            self._report(Shared(draft.job_id, leader_id, None, None))
            return
        files = share(self._folder, draft, leader_id, leader_hash=action.leader_hash, partial=action.error is not None)
        self._report(Shared(draft.job_id, leader_id, files, action.error))

    def _guarded(self, work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except BaseException as crash:  # a fault of ours, or a folder that takes nothing; the coordinator takes it to the caller
            self._report(Crashed(crash))


def write(ledger: Ledger, action: do.LedgerAction, *, rows_of: Callable[[Files], Sequence[FileRow]]) -> None:
    """Write into the ledger what an action says.

    Args:
        ledger: The ledger.
        action: What it is to know.
        rows_of: Gives what it is to know of files that lie in their places.

    Raises:
        RunFolderError: It cannot be written.
    """
    match action:
        case do.Record(submission, url, cost):
            text = submission.to_text()
            ledger.submit(submission.prompt_id, server=url, text=text, job_ids=submission.job_ids, cost=cost)
        case do.Accept(key, prompt_id):
            ledger.accepted(key, prompt_id)
        case do.Settle(job_id, change, key, error, files, seconds, work):
            rows = None if files is None else rows_of(files)
            ledger.settle(JobUpdate(job_id, change, prompt_id=key, files=rows, error=error, seconds=seconds, work=work))
        case do.Forget(key):
            ledger.forget(key)
        case do.Release(key):
            ledger.release(key)
        case do.Retake(key, job_ids):
            ledger.retake(key, job_ids)
