"""The coordinator: the one thread that decides what happens to jobs next, and that alone writes the ledger.

Submitting and following is a lane's business, files are the collectors'; both report to it. A caller that reads events slowly holds
nobody up. What is about to be done is in the ledger before it is done, so that a process which is killed at any instant can be
followed by another.
"""

from __future__ import annotations

import math
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from comfy_runner import __version__
from comfy_runner.comfyui.about import About
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.comfyui.lane import Lane, Submission
from comfy_runner.comfyui.refusal import Complaint
from comfy_runner.comfyui.reports import (
    Broken,
    CachedNodes,
    Cancelled,
    Finished,
    NodeProgress,
    Refused,
    Report,
    Submitted,
    TakenInPart,
    Waiting,
)
from comfy_runner.errors import (
    ComfyRunnerError,
    Interrupted,
    JobLost,
    ServerError,
)
from comfy_runner.folder.folder import RunFolder
from comfy_runner.folder.rows import OpenSubmission
from comfy_runner.folder.states import Event as Change
from comfy_runner.plans.drafts import Draft
from comfy_runner.retry import Retry
from comfy_runner.runs import ending
from comfy_runner.runs.collecting import Collectors
from comfy_runner.runs.events import Event, JobResult, JobRetried, State
from comfy_runner.runs.followers import Followers
from comfy_runner.runs.inherited import Inherited
from comfy_runner.runs.messages import CutShort, refusal
from comfy_runner.runs.outcomes import Files, Outcomes
from comfy_runner.runs.parcel import Attempt, Parcel
from comfy_runner.runs.policy import Policy
from comfy_runner.runs.prepare import Preparer
from comfy_runner.runs.progress import JobProgress
from comfy_runner.runs.requests import wants_cancel
from comfy_runner.runs.retrying import mishap, next_attempt
from comfy_runner.runs.telling import Telling
from comfy_runner.runs.work import Again, Cancel, Crashed, Done, Flight, Shared, Work
from comfy_runner.workflow.pixels import node_work

_CANCEL_SECONDS = 30.0
_LOOK_SECONDS = 1.0

_Message = Report | Done | Shared | Again | Crashed | Cancel


class Coordinator:
    """Renders jobs on one server.

    Args:
        folder: The run folder, locked by the caller.
        work: What to do.
        preparer: Makes jobs ready for the server.
        http: The server.
        about: Its versions, for sidecars.
        emit: Takes events; must return at once.
        policy: How to treat the server.
    """

    _lane: Lane

    def __init__(
        self,
        folder: RunFolder,
        work: Work,
        *,
        preparer: Preparer,
        http: ComfyHttp,
        about: About,
        emit: Callable[[Event], None],
        policy: Policy | None = None,
    ) -> None:
        self._folder, self._ledger, self._preparer = folder, folder.ledger, preparer
        self._http, self._emit, self._policy = http, emit, policy or Policy()
        self._work, self._drafts = work, work.drafts
        self._outcomes = Outcomes(folder, self._drafts, emit)
        self._backlog: deque[Sequence[Draft]] = deque(work.groups)
        self._attempts: dict[str, tuple[Attempt, ...]] = {}
        self._flights: dict[str, Flight] = {}
        self._telling = Telling(self._flights, self._drafts, emit)
        self._active: set[str] = set()
        self._inherited = Inherited(folder)
        self._passed: set[str] = set()  # jobs whose turn came while they had to wait for what they were
        self._followers = Followers(work.shared)
        self._busy = 0  # what the collectors have been given and not reported yet
        self._recovering = 0  # how much of that are jobs that a server has forgotten
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._collectors = Collectors(folder, http, about, self._policy.patience, self._inbox.put)
        self._stopped: ComfyRunnerError | None = None
        self._deadline = math.inf  # of an interruption
        self._looked_at = time.monotonic()

    def cancel(self) -> None:
        """Take our jobs back from the server and end the run; may be called from a signal handler."""
        self._inbox.put(Cancel())

    def on_server(self) -> list[str]:
        """Return the prompt ids that the server has of us now."""
        return [flight.prompt_id for key in list(self._active) if (flight := self._flights.get(key)) is not None]

    def run(self) -> dict[str, JobResult]:
        """Render all jobs and return the result of each by its id."""
        policy = self._policy
        self._lane = Lane(
            self._http,
            self._inbox.put,
            with_socket=policy.websocket,
            stall=policy.stall,
            total=policy.total,
            patience=policy.patience,
        )
        with self._collectors:
            try:
                self._take_up()
                self._fill()
                while self._active or self._busy:
                    # An interruption waits for the server only so long; for the files that are on their way it does.
                    if not self._busy and time.monotonic() > self._deadline:
                        break
                    try:
                        message = self._inbox.get(timeout=_LOOK_SECONDS)
                    except queue.Empty:
                        pass
                    else:
                        self._handle(message)
                    self._look_for_requests()
                    self._fill()
            finally:
                self._lane.close()
        self._tell_the_rest()
        return self._outcomes.results

    def _take_up(self) -> None:
        """Take up what earlier processes have left: submissions, and pictures that other jobs share."""
        for submission in self._work.open:
            self._attach(submission)
        for leader_id in self._followers.leaders:
            if leader_id not in self._drafts:
                self._share(leader_id)

    def _attach(self, submission: OpenSubmission) -> None:
        found = self._inherited.look_at(submission)
        if found is None:
            for job_id in submission.job_ids:
                self._put_back(job_id)
            return
        key, api = submission.prompt_id, found.parcel.workflow.to_api()
        self._begin(found.parcel, found.standing, {}, waits_for=found.waits_for)
        self._lane.attach(Submission(key, key, api, server_prompt_id=submission.server_prompt_id))

    # Submitting

    def _fill(self) -> None:
        # What turns out to be lost is to come first: it shares its first pass with what was rendered just before.
        while self._backlog and len(self._active) < self._policy.in_flight and self._stopped is None and not self._recovering:
            if self._policy.fail_fast and (self._busy or not self._outcomes.all_done):
                return
            self._submit(self._backlog.popleft())

    def _submit(self, group: Sequence[Draft]) -> None:
        key = str(uuid.uuid4())
        free = [draft for draft in group if not self._inherited.holds(draft.job_id)]
        self._passed |= {draft.job_id for draft in group} - {draft.job_id for draft in free}
        ready, settled = self._preparer.pack(free, key, self._attempts)
        for end in settled:
            self._end(end.job_id, end.change, end.error, files=end.files)
        if not ready:
            return
        parcel = Parcel.of(key, [found.piece for found in ready])
        self._ledger.submit(key, server=self._http.address.url, parcel=parcel.to_text(), job_ids=parcel.job_ids)
        self._begin(
            parcel,
            {found.piece.job_id: found.standing for found in ready},
            {found.piece.job_id: found.left_out for found in ready if found.left_out is not None},
        )
        pnginfo = {"comfy_runner": {"version": __version__, **parcel.about}}
        api = parcel.workflow.to_api()
        self._lane.submit(Submission(key, key, api, pnginfo, allow_partial=self._policy.allow_partial))

    def _begin(
        self,
        parcel: Parcel,
        standing: Mapping[str, Files],
        left_out: Mapping[str, ComfyRunnerError],
        *,
        waits_for: Iterable[str] | None = None,
    ) -> None:
        waiting = set(parcel.job_ids if waits_for is None else waits_for)
        progress = JobProgress(node_work(parcel.workflow))
        self._flights[parcel.prompt_id] = Flight(parcel, standing, left_out, progress, parcel.prompt_id, waiting)
        self._active.add(parcel.prompt_id)

    # Reports

    def _handle(self, message: _Message) -> None:
        match message:
            case Submitted(key, prompt_id):
                self._submitted(key, prompt_id)
            case Waiting() | CachedNodes() | NodeProgress() | TakenInPart():
                self._telling.news(message)
            case Finished(key, verdict):
                self._collectors.collect(self._landed(key), verdict, stopped=self._stopped)
            case Refused(key, complaints):
                self._refused(key, complaints)
            case Cancelled(key):
                self._cancelled(key)
            case Broken(key, error):
                self._broken(key, error)
            case Done():
                self._busy -= 1
                self._collected(message)
            case Shared():
                self._busy -= 1
                self._was_shared(message)
            case Again(job_id):
                self._busy -= 1
                self._put_back(job_id)
            case Crashed(error):
                raise error
            case Cancel():
                self._cancel()

    def _cancel(self) -> None:
        if not isinstance(self._stopped, Interrupted):
            self._stopped = Interrupted("interrupted", hint="run the same command again to go on")
            self._deadline = time.monotonic() + _CANCEL_SECONDS
            self._collectors.hurry()
            # What the server does not know may have left its files there: that shows first.
            self._lane.cancel(self._active - self._inherited.sought)

    def _look_for_requests(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            if wants_cancel(self._folder.path):
                self._cancel()

    def _submitted(self, key: str, prompt_id: str) -> None:
        flight = self._flights[key]
        if prompt_id != key:
            flight.prompt_id = prompt_id
            self._ledger.accepted(key, prompt_id)
        if key in self._inherited.sought and (self._inherited.is_unwanted(key) or isinstance(self._stopped, Interrupted)):
            self._lane.cancel([key])
        self._telling.submitted(key)

    def _landed(self, key: str) -> Flight:
        """The server has nothing more to do for a parcel; its jobs will each be reported by the collectors."""
        self._active.discard(key)
        self._busy += len(self._flights[key].waits_for)
        return self._flights[key]

    def _refused(self, key: str, complaints: Sequence[Complaint]) -> None:
        flight = self._drop(key)
        if len(flight.parcel.pieces) > 1:
            # Each is asked for alone, so that what is right is rendered.
            self._lose(flight)
            return
        for job_id in flight.waits_for:
            error = refusal(self._drafts.get(job_id), job_id, complaints, self._http.address.url)
            self._end(job_id, Change.FAILED, error, key=key, files=flight.standing[job_id])

    def _cancelled(self, key: str) -> None:
        flight = self._drop(key)
        for job_id in flight.waits_for:
            if self._is_released(job_id, key):
                continue
            self._end(job_id, Change.CANCELLED, self._stopped, key=key, files=flight.standing[job_id])

    def _broken(self, key: str, error: ComfyRunnerError) -> None:
        if isinstance(error, JobLost):
            self._recovering += len(self._flights[key].waits_for)
            self._collectors.recover(self._landed(key), error)
            return
        flight = self._drop(key)
        for job_id in flight.waits_for:
            standing = flight.standing[job_id]
            if isinstance(error, ServerError):
                # It may well be there, and run: the next process asks for it.
                self._stopped = self._stopped or error
                self._tell_of_outage(job_id, error, standing)
            elif not self._is_released(job_id, key):
                self._end(job_id, Change.FAILED, error, key=key, files=standing)

    def _tell_of_outage(self, job_id: str, error: ComfyRunnerError, files: Files) -> None:
        self._outcomes.tell(job_id, "partial" if files else "failed", error, files=files)

    def _is_released(self, job_id: str, key: str) -> bool:
        """Return whether a parcel was of what the job is no longer, and post the job as it is now."""
        if not self._inherited.releases(job_id, key):
            return False
        leader_id = self._followers.leader_of(job_id)
        if leader_id is not None:
            self._follow(self._drafts[job_id], leader_id)
        elif job_id in self._passed:
            self._put_back(job_id)
        return True

    def _drop(self, key: str) -> Flight:
        self._active.discard(key)
        return self._flights.pop(key)

    def _lose(self, flight: Flight) -> None:
        for job_id in [job_id for job_id in reversed(flight.parcel.job_ids) if job_id in flight.waits_for]:
            self._ledger.settle(job_id, Change.LOST, prompt_id=flight.parcel.prompt_id)
            self._put_back(job_id)

    def _put_back(self, job_id: str) -> None:
        """Put a job to the front of what is to be posted, alone; others of its group may have ended."""
        if job_id in self._drafts:
            self._backlog.appendleft([self._drafts[job_id]])

    # Ends

    def _collected(self, done: Done) -> None:
        self._recovering -= done.verdict is None
        flight = self._flights[done.key]
        flight.waits_for.discard(done.job_id)
        if not flight.waits_for:
            del self._flights[done.key]
        if self._is_released(done.job_id, done.key):
            return
        draft = self._drafts.get(done.job_id)
        away = ending.outage(done)
        if away is not None:
            # The pictures are there, and the next process asks for them; what cannot be kept must not be rendered.
            self._stopped = self._stopped or away
            self._tell_of_outage(done.job_id, away, done.collected.files)
            return
        if self._stopped is None and isinstance(done.error, CutShort):
            self._ledger.settle(done.job_id, Change.LOST, prompt_id=done.key)
            self._put_back(done.job_id)
        elif self._stopped is not None or draft is None or not self._tries_again(draft, done):
            error = next(iter(ending.errors_of(done)), None)
            self._end(done.job_id, ending.change(done), error, key=done.key, files=done.collected.files, done=done)

    def _tries_again(self, draft: Draft, done: Done) -> bool:
        errors, tried = ending.errors_of(done), self._attempts.get(draft.job_id, ())
        reason = mishap(done.verdict, errors)
        if not reason:
            return False
        what = str(errors[0])
        attempt = next_attempt(Retry.merged(draft.retry, self._policy.retry), tried, reason=reason, what=what)
        if attempt is None:
            return False
        self._attempts[draft.job_id] = (*tried, attempt)
        self._ledger.settle(done.job_id, Change.LOST, prompt_id=done.key, error=what)
        self._emit(JobRetried(done.job_id, attempt.reason, what))
        if attempt.freed:
            self._busy += 1
            self._collectors.free_for(done.job_id)
        else:
            self._put_back(done.job_id)
        return True

    def _end(
        self,
        job_id: str,
        change: Change,
        error: ComfyRunnerError | None,
        *,
        files: Files,
        key: str | None = None,
        done: Done | None = None,
    ) -> None:
        """Record how a job has ended, and see to the jobs that share its pictures."""
        if change is Change.LOST:
            self._ledger.settle(job_id, change, prompt_id=key, error=str(error or ""))
            state: State = "cancelled" if isinstance(self._stopped, Interrupted) else "failed"
            self._outcomes.tell(job_id, state, self._stopped or error, files=files)
            for follower in self._followers.of(job_id):
                self._outcomes.tell(follower.job_id, state, self._stopped or error, files={})
            return
        self._outcomes.record(job_id, change, error, files=files, prompt_id=key, done=done)
        self._share(job_id)

    def _share(self, leader_id: str) -> None:
        for follower in self._followers.of(leader_id):
            if not self._inherited.holds(follower.job_id):
                self._follow(follower, leader_id)

    def _follow(self, follower: Draft, leader_id: str) -> None:
        """Do with a job as its leader was done with, if that has ended."""
        result = self._outcomes.results.get(leader_id)
        if leader_id in self._drafts and result is None:
            return
        if result is None or result.state in ("done", "partial"):
            error = result.error if result else None
            if not isinstance(error, Interrupted):
                self._busy += 1
                self._collectors.share(follower, leader_id, self._hash_of(leader_id), error)
        elif result.state == "failed":
            # It would fail alike.
            self._end(follower.job_id, Change.FAILED, result.error, files={})

    def _hash_of(self, job_id: str) -> str:
        if job_id in self._drafts:
            return self._drafts[job_id].content_hash
        row = self._ledger.job(job_id)
        return row.content_hash if row else ""

    def _was_shared(self, shared: Shared) -> None:
        follower = self._drafts[shared.job_id]
        if shared.files is not None or shared.error is not None:
            change = Change.FAILED if shared.error else Change.DONE
            self._end(shared.job_id, change, shared.error, files=shared.files or {})
            return
        heir = self._followers.orphan(follower, shared.leader_id)
        if heir is None:
            self._put_back(shared.job_id)
        else:
            self._follow(follower, heir)

    def _tell_the_rest(self) -> None:
        """Tell of the jobs that were not begun, or that the server kept longer than an interruption waits."""
        flying = {job_id: flight for flight in self._flights.values() for job_id in flight.waits_for}
        for job_id in [job_id for job_id in self._drafts if job_id not in self._outcomes.results]:
            files = flying[job_id].standing[job_id] if job_id in flying else {}
            state: State = "cancelled" if isinstance(self._stopped, Interrupted) else "pending"
            self._outcomes.tell(job_id, state, self._stopped, files=files)
