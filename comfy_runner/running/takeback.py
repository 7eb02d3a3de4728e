"""Submissions that no process follows any more, taken back from one server; what turns out to be finished is collected.

Nothing is posted here. Which submissions, and who holds the run folder, is the caller's business (`cancel`).
"""

from __future__ import annotations

import queue
from collections.abc import Sequence

from comfy_runner.engine.interface import Engine, EngineOptions
from comfy_runner.engine.reports import Broken, Cancelled, Collected, Crashed, Finished, Report, Submitted
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import (
    ComfyRunnerError,
    Interrupted,
    JobLost,
    RunFolderError,
    ServerError,
    ServerRefused,
    ServerStuck,
)
from comfy_runner.running.failure_messages import jobs_to_collect, jobs_to_recover
from comfy_runner.running.progress import JobProgress
from comfy_runner.running.recovery import unpack
from comfy_runner.running.results import Files, Outcomes
from comfy_runner.running.state import Flight
from comfy_runner.store.ledger_rows import OpenSubmission
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Event as Change
from comfy_runner.store.states import State


class TakeBack:
    """Takes submissions back from one server.

    Args:
        folder: The run folder, locked by the caller.
        engine: The server.
        seconds: How long to wait for a server that does not let go of anything.
        timeouts: All other waiting.

    Attributes:
        ended: How the jobs of these submissions stand now, by job id; only those that are settled.
        errors: Why others are not.
    """

    def __init__(self, folder: RunFolder, engine: Engine, *, seconds: float, timeouts: Timeouts | None = None) -> None:
        self._folder, self._ledger, self._engine = folder, folder.ledger, engine
        self._seconds, self._timeouts = seconds, timeouts
        self._inbox: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._outcomes = Outcomes(folder, (), lambda _event: None)
        self._stopped = Interrupted("cancelled", hint="run the same command again to go on")
        self._waiting: dict[str, frozenset[str]] = {}  # the jobs that wait for each submission
        self._flights: dict[str, Flight] = {}  # all but those of which nobody can tell any more what they were
        self._active: set[str] = set()
        self._found: set[str] = set()  # what the server has shown
        self._busy = 0
        self._unfinished: set[str] = set()  # submissions of which something could not be collected
        self.ended: dict[str, State] = {}
        self.errors: list[ComfyRunnerError] = []

    def run(self, submissions: Sequence[OpenSubmission]) -> None:
        """Take these back; what cannot be is left in the ledger as it is, for the next attempt.

        Raises:
            RunFolderError: The ledger cannot be written.
        """
        # Without a websocket: the server would tell of our progress the process that is gone.
        self._engine.open(self._inbox.put, self._folder, EngineOptions(websocket=False, timeouts=self._timeouts or Timeouts()))
        try:
            for submission in submissions:
                self._attach(submission)
            while self._active or self._busy:
                self._take_back()
                try:
                    self._handle(self._inbox.get(timeout=self._seconds))
                except queue.Empty:
                    # Files that are on their way are waited for, however long they take.
                    if not self._busy:
                        self.errors.append(self._kept())
                        return
        finally:
            self._engine.close()

    def _attach(self, submission: OpenSubmission) -> None:
        key = submission.prompt_id
        self._waiting[key] = frozenset(submission.job_ids)
        self._active.add(key)
        found = unpack(self._folder, submission)
        if found is None:
            self._engine.attach(Submission.unknown(key), server_prompt_id=submission.server_prompt_id)
            return
        self._flights[key] = Flight(found.submission, found.standing, {}, JobProgress({}), key, set(found.waits_for))
        self._engine.attach(found.submission, server_prompt_id=submission.server_prompt_id)

    def _handle(self, message: Report) -> None:
        match message:
            case Submitted(key, prompt_id):
                self._seen(key, prompt_id)
            case Finished(key, verdict):
                flight = self._landed(key)
                if flight is not None:
                    wanted = jobs_to_collect(flight, verdict, stopped=self._stopped)
                    self._engine.collect(flight.submission, verdict, wanted, prompt_id=flight.prompt_id)
            case Broken(key, JobLost() as error):
                flight = self._landed(key)
                if flight is not None:
                    self._engine.collect(flight.submission, None, jobs_to_recover(flight, error), prompt_id=flight.prompt_id)
            case Broken(key, error):
                # It may well be there, and run.
                self._active.discard(key)
                self.errors.append(error)
            case Cancelled(key):
                self._active.discard(key)
                self._give_up(key)
            case Collected():
                self._busy -= 1
                self._collected(message)
            case Crashed():
                raise message.error
            case _:
                pass  # how far it is, which nobody follows

    def _take_back(self) -> None:
        # All at once: otherwise the server would start what waits when what runs is interrupted. And not before it is known what
        # it has: of what it does not know, the files may still be there.
        found = self._found & self._active
        if found and found == self._active:
            self._engine.cancel(found)
            self._found.clear()

    def _seen(self, key: str, prompt_id: str) -> None:
        """The server has it."""
        if key in self._flights:
            self._flights[key].prompt_id = prompt_id
        if prompt_id != key:
            self._ledger.accepted(key, prompt_id)
        self._found.add(key)

    def _landed(self, key: str) -> Flight | None:
        """The server has nothing more to do for a submission; return it where there may be something to collect."""
        self._active.discard(key)
        flight = self._flights.get(key)
        if flight is None or not flight.waits_for:
            self._give_up(key)
            return None
        self._busy += len(flight.waits_for)
        return flight

    def _give_up(self, key: str) -> None:
        """Settle what is gone from the server, or what nobody can collect."""
        flight = self._flights.get(key)
        for job_id in self._waiting[key]:
            self._settle(key, job_id, Change.CANCELLED, self._stopped, files=flight.standing[job_id] if flight else {})
        self._close(key)

    def _collected(self, done: Collected) -> None:
        flight = self._flights[done.key]
        errors = [error for error in (done.error, *done.errors) if error is not None]
        kept_out = next((error for error in errors if _may_come_yet(error)), None)
        if kept_out is not None:
            self._unfinished.add(done.key)
            self.errors.append(kept_out)
        elif done.job_id in self._waiting[done.key]:
            self._settle(done.key, done.job_id, _change(done, errors), next(iter(errors), None), files=done.files, done=done)
        flight.waits_for.discard(done.job_id)
        if not flight.waits_for:
            self._close(done.key)

    def _settle(
        self,
        key: str,
        job_id: str,
        change: Change,
        error: ComfyRunnerError | None,
        *,
        files: Files,
        done: Collected | None = None,
    ) -> None:
        if isinstance(error, JobLost):
            error = self._stopped
        self.ended[job_id] = self._outcomes.record(job_id, change, error, files=files, prompt_id=key, done=done)

    def _close(self, key: str) -> None:
        """Give up a submission that no job waits for; others are settled with the last of their jobs."""
        if not self._waiting[key] and key not in self._unfinished:
            self._ledger.forget(key)

    def _kept(self) -> ComfyRunnerError:
        what = f"does not let go of {len(self._active)} of our prompts (waited {self._seconds:g} s)"
        hint = "it may be loading a model, which cannot be interrupted: run the same command again"
        return ServerStuck(what, where=self._engine.url, hint=hint)


def _may_come_yet(error: ComfyRunnerError) -> bool:
    """Return whether a picture may be had at the next attempt: the server or our disk did not give or take it just now."""
    if isinstance(error, JobLost | ServerRefused):
        return False
    return isinstance(error, ServerError | RunFolderError)


def _change(done: Collected, errors: Sequence[ComfyRunnerError]) -> Change:
    if not errors:
        return Change.DONE
    # What the server knows nothing of is as much gone from it as what was interrupted.
    taken_back = isinstance(done.error, JobLost | Interrupted)
    return Change.CANCELLED if taken_back else Change.FAILED
