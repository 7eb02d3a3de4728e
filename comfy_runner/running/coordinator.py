"""The coordinator: the one thread that decides what happens to jobs next, and that alone writes the ledger.

Submitting and following is a lane's business, files are the collectors'; both report to it. A caller that reads events slowly holds
nobody up. What is about to be done is in the ledger before it is done, so that a process which is killed at any instant can be
followed by another. Not here: how jobs end (`ends`), servers that are
out of order (`trouble`), which servers get work (`roster`), and who gets which job (`queueing`).
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
import uuid
from collections.abc import Callable, Sequence

from comfy_runner.engine.interface import NamedEngine
from comfy_runner.engine.reports import (
    Broken,
    CachedNodes,
    Cancelled,
    Collected,
    Crashed,
    Finished,
    Freed,
    NodeProgress,
    Refused,
    Report,
    SubmissionReport,
    Submitted,
    TakenInPart,
    Waiting,
)
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.verdict import Outcome, Verdict
from comfy_runner.errors import Interrupted, JobLost, ServerStuck
from comfy_runner.planning.draft import Draft
from comfy_runner.running import job_end
from comfy_runner.running.collectors import Sharers
from comfy_runner.running.completion import Ends
from comfy_runner.running.events import Event, JobResult, Spent
from comfy_runner.running.failure_messages import CutShort, jobs_to_collect
from comfy_runner.running.failures import Trouble
from comfy_runner.running.in_flight import Holdings
from comfy_runner.running.notify import Telling
from comfy_runner.running.orphans import Strays
from comfy_runner.running.policy import Policy
from comfy_runner.running.probe import Candidate, Examiner
from comfy_runner.running.recovery import Inherited
from comfy_runner.running.state import Cancel, Examined, Flight, Shared, Work
from comfy_runner.running.stats import Counting
from comfy_runner.running.waiting import Queue
from comfy_runner.running.worker import Worker
from comfy_runner.running.workers import Roster
from comfy_runner.store.control_files import fleet_requests, wants_cancel
from comfy_runner.store.ledger_rows import OpenSubmission
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Event as Change

_CANCEL_SECONDS = 30.0
_LOOK_SECONDS = 1.0
_BROKEN_GPUS = 2  # jobs running that have failed of it: one may have been the job's fault

_Message = Report | Shared | Cancel | Examined


class Coordinator:
    """Renders jobs on the servers of a fleet, which may be one.

    Args:
        folder: The run folder, locked by the caller.
        work: What to do.
        candidates: The servers.
        examiner: Asks servers what they are and can do.
        enlist: Gives a server that is to be added to the run, by what the user calls it; raises a `ComfyRunnerError`.
        emit: Takes events; must return at once.
        policy: How to treat the servers.
        force: Whether files of earlier runs are made again.
    """

    def __init__(
        self,
        folder: RunFolder,
        work: Work,
        *,
        candidates: Sequence[Candidate],
        examiner: Examiner,
        enlist: Callable[[str], NamedEngine],
        emit: Callable[[Event], None],
        policy: Policy | None = None,
        force: bool = False,
    ) -> None:
        self._folder, self._ledger, self._work, self._drafts = folder, folder.ledger, work, work.drafts
        self._enlist, self._policy, self._force = enlist, policy or Policy(), force
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        shared = [draft for drafts in work.shared.values() for draft in drafts]
        self._queue = Queue(work.groups, [*work.awaited, *shared], work.costs)
        self._inherited = Inherited(folder)
        self._sharers = Sharers(folder, self._inbox.put)
        self._ends = Ends(
            folder,
            work,
            queue=self._queue,
            inherited=self._inherited,
            sharers=self._sharers,
            emit=emit,
            policy=self._policy,
        )
        self._counting = Counting([draft for group in work.groups for draft in group], work.costs)
        self._stack = contextlib.ExitStack()
        self._roster = Roster(
            candidates,
            member=self._member,
            queue=self._queue,
            examiner=examiner,
            report=self._inbox.put,
            emit=emit,
            policy=self._policy,
        )
        self._holdings = Holdings(self._roster, self._queue, self._inherited)
        self._strays = Strays(folder, self._queue, self._holdings, self._ends)
        self._trouble = Trouble(
            folder.ledger,
            self._drafts,
            roster=self._roster,
            queue=self._queue,
            holdings=self._holdings,
            strays=self._strays,
            ends=self._ends,
        )
        self._telling = Telling(self._holdings.flights, self._drafts, emit)
        self._deadline = math.inf  # of an interruption
        self._looked_at = time.monotonic()

    def cancel(self) -> None:
        """Take our jobs back from the servers and end the run; may be called from a signal handler."""
        self._inbox.put(Cancel())

    def on_server(self) -> list[str]:
        """Return the prompt ids that the servers have of us now."""
        return self._holdings.prompt_ids

    @property
    def spent(self) -> Spent | None:
        """Return what the servers had to do so far; None where nothing was rendered."""
        return self._counting.spent(self._queue.splits)

    def run(self) -> dict[str, JobResult]:
        """Render all jobs and return the result of each by its id."""
        with self._stack:
            self._stack.enter_context(self._sharers)
            self._roster.open()
            try:
                self._take_up()
                self._fill()
                while self._goes_on():
                    # An interruption waits for the server only so long; for the files that are on their way it does.
                    if not (self._holdings.busy or self._ends.sharing) and time.monotonic() > self._deadline:
                        break
                    try:
                        message = self._inbox.get(timeout=_LOOK_SECONDS)
                    except queue.Empty:
                        pass
                    else:
                        self._handle(message)
                    self._look_around()
                    self._fill()
            finally:
                self._roster.close()
        self._strays.forget_done(self._roster.members.values())
        self._ends.tell_the_rest(self._holdings.standing_of)
        return self._ends.results

    def _member(self, candidate: Candidate) -> Worker:
        return Worker(candidate, self._folder, self._policy, self._inbox.put, force=self._force)

    def _goes_on(self) -> bool:
        if self._holdings.busy or self._ends.sharing or any(map(self._holdings.is_awaited, self._holdings.active)):
            self._roster.goes_on()
            return True
        if not (self._queue.waits and self._may_begin):
            return False
        self._ends.stopped = self._roster.hopeless(time.monotonic())
        return self._ends.stopped is None

    def _look_around(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            if wants_cancel(self._folder.path):
                self._cancel()
            for request in fleet_requests(self._folder.path):
                self._roster.change(request, self._enlist)
        self._roster.look(now)

    # Taking up what earlier processes have left

    def _take_up(self) -> None:
        for submission in self._work.open:
            self._attach(submission)
        self._ends.share_standing()

    def _attach(self, submission: OpenSubmission) -> None:
        found = self._inherited.look_at(submission)
        if found is None:
            for job_id in submission.job_ids:
                self._ends.put_back(job_id)
            return
        key, up = submission.prompt_id, [member for member in self._roster.members.values() if member.stage == "up"]
        # A server that does not take part may be one that does, under another name or port.
        member = self._roster.by_url(submission.server) or up[0]
        flight = Flight.of(found.submission, found.standing, server=member.name, waits_for=found.waits_for)
        flight.prompt_id = submission.server_prompt_id or key
        if member.stage == "up":
            self._holdings.begin(member, flight)
            self._holdings.seek(member, key, submission.server_prompt_id)
        else:
            # Others do these jobs, unless it answers before they have.
            self._holdings.flights[key] = flight
            for job_id in reversed(self._strays.release(key)):
                self._ends.put_back(job_id)
            self._strays.keep(member, key)

    # Submitting

    @property
    def _may_begin(self) -> bool:
        return self._ends.stopped is None and not (
            self._policy.fail_fast and (self._holdings.busy or self._ends.sharing or not self._ends.all_done)
        )

    def _fill(self) -> None:
        hungry = self._roster.hungry if self._queue.waits and self._may_begin else []
        while hungry and self._may_begin:
            drafts = self._queue.next(hungry[0])
            if drafts:
                self._submit(self._roster.members[hungry[0]], drafts)
                hungry = self._queue.order(hungry)
            else:
                del hungry[0]

    def _submit(self, member: Worker, drafts: Sequence[Draft]) -> None:
        key = str(uuid.uuid4())
        if len(drafts) > 1 and drafts[0].job_id in self._trouble.alone:
            for draft in reversed(drafts[1:]):
                self._ends.put_back(draft.job_id)
            drafts = drafts[:1]
        free = [draft for draft in drafts if not self._ends.passed(draft)]
        ready, settled = member.preparer.pack(free, key, self._ends.attempts)
        for end in settled:
            if end.change is Change.FAILED and end.error is not None and self._trouble.try_elsewhere(member, end.job_id, end.error):
                continue
            self._ends.end(end.job_id, end.change, end.error, files=end.files)
        if not ready:
            return
        submission = Submission.of(key, [found.job for found in ready])
        self._ledger.submit(key, server=member.url, parcel=submission.to_text(), job_ids=submission.job_ids)
        left_out = {found.job.job_id: found.left_out for found in ready if found.left_out is not None}
        standing = {found.job.job_id: found.standing for found in ready}
        self._holdings.begin(member, Flight.of(submission, standing, server=member.name, left_out=left_out))
        member.engine.submit(submission)

    # Reports

    def _handle(self, message: _Message) -> None:
        match message:
            case Collected():
                self._holdings.busy -= 1
                self._collected(message)
            case Shared():
                self._ends.was_shared(message)
            case Freed(job_id):
                self._holdings.busy -= 1
                self._ends.put_back(job_id)
            case Examined():
                self._trouble.examined(message)
            case Crashed():
                raise message.error
            case Cancel():
                self._cancel()
            case _:
                # Of a submission that was given up meanwhile, nobody wants to hear.
                if message.key in self._holdings.active:
                    self._reported(message)

    def _reported(self, report: SubmissionReport) -> None:
        member = self._holdings.member_of(report.key)
        match report:
            case Submitted(key, prompt_id):
                self._submitted(member, key, prompt_id)
            case Waiting() | CachedNodes() | NodeProgress() | TakenInPart():
                self._telling.news(report)
            case Finished(key, verdict):
                self._finished(member, key, verdict)
            case Refused(key, complaints):
                self._trouble.refused(member, key, complaints)
            case Cancelled(key):
                self._cancelled(key)
            case Broken(key, error):
                self._trouble.broken(member, key, error)

    def _cancel(self) -> None:
        if not self._ends.interrupted:
            self._ends.stopped = Interrupted("interrupted", hint="run the same command again to go on")
            self._deadline = time.monotonic() + _CANCEL_SECONDS
            self._sharers.hurry()
            for member in self._roster.members.values():
                member.engine.stop_waiting()
                # What the server does not know may have left its files there: that shows first.
                if known := member.active - self._inherited.sought:
                    member.engine.cancel(known)

    def _submitted(self, member: Worker, key: str, prompt_id: str) -> None:
        flight = self._holdings.flights[key]
        if prompt_id != key:
            flight.prompt_id = prompt_id
            self._ledger.accepted(key, prompt_id)
        if key in self._inherited.sought:
            unwanted = self._inherited.is_unwanted(key) or (not flight.waits_for and not self._strays.take_up(key))
            if unwanted or self._ends.interrupted:
                member.engine.cancel([key])
        self._telling.submitted(key)

    def _finished(self, member: Worker, key: str, verdict: Verdict) -> None:
        flight = self._holdings.flights[key]
        self._counting.ran(flight.submission.workflow, verdict)
        if not flight.waits_for and verdict.outcome is Outcome.SUCCEEDED:
            self._holdings.take_back(self._strays.claim(key))
        broken = verdict.failure is not None and verdict.failure.gpu_is_broken
        self._queue.landed(member.name, key, measured=verdict.outcome is Outcome.SUCCEEDED and not flight.attached)
        if flight.waits_for and flight.released and verdict.outcome is Outcome.INTERRUPTED and self._ends.stopped is None:
            # By us, when its server was out of order.
            self._trouble.lose(self._holdings.drop(key))
        elif flight.waits_for:
            self._holdings.landed(key)
            wanted = jobs_to_collect(flight, verdict, stopped=self._ends.stopped)
            member.engine.collect(flight.submission, verdict, wanted, prompt_id=flight.prompt_id)
        else:
            self._strays.forget(key)
        if not broken:
            self._roster.proved(member)
            return
        member.gpu_failures += 1
        for job_id in flight.waits_for & self._drafts.keys():
            self._queue.avoid(job_id, member.name)
        if member.gpu_failures >= _BROKEN_GPUS:
            what = f"{_BROKEN_GPUS} jobs running have failed of a broken GPU state"
            self._trouble.out(member, ServerStuck(what, where=member.url, hint="restart ComfyUI, then run the same command again"))

    def _cancelled(self, key: str) -> None:
        flight = self._holdings.drop(key)
        if not flight.waits_for:
            self._strays.forget(key)
        for job_id in flight.waits_for:
            if not self._ends.is_released(job_id, key):
                self._ends.end(job_id, Change.CANCELLED, self._ends.stopped, key=key, files=flight.standing[job_id])

    # What has landed

    def _collected(self, done: Collected) -> None:
        flight = self._holdings.flights[done.key]
        member = self._roster.members[flight.server]
        member.recovering -= done.verdict is None
        flight.waits_for.discard(done.job_id)
        if not self._ends.is_released(done.job_id, done.key):
            self._ended(member, flight, done)
        if not flight.waits_for:
            del self._holdings.flights[done.key]
            if flight.away:
                self._trouble.set_aside(member, flight)

    def _ended(self, member: Worker, flight: Flight, done: Collected) -> None:
        away = job_end.outage(done)
        if away is not None:
            self._trouble.kept_away(member, flight, done, away)
        elif self._ends.stopped is None and isinstance(done.error, JobLost if flight.released else CutShort):
            # That its server was out of order has been counted when it was.
            self._ends.lose(done.job_id, done.key)
        else:
            attempt = self._ends.tries_again(done) if self._ends.stopped is None else None
            if attempt is None:
                error = next(iter(job_end.errors_of(done)), None)
                change = job_end.change(done)
                if change is Change.DONE:
                    self._counting.finished(done.job_id, member.name)
                self._ends.end(done.job_id, change, error, key=done.key, files=done.files, done=done, server=member.name)
            elif attempt.freed:
                self._holdings.busy += 1
                member.engine.free(done.job_id)
            else:
                self._ends.put_back(done.job_id)
