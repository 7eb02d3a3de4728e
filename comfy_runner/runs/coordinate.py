"""The coordinator: the one thread that decides what happens to jobs next, and that alone writes the ledger.

Submitting and following is a lane's business, files are the collectors'; both report to it. A caller that reads events slowly holds
nobody up. What is about to be done is in the ledger before it is done, so that a process which is killed at any instant can be
followed by another. Not here: how jobs end (`ends`), which servers get work (`roster`), and who gets which job (`queueing`).
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from comfy_runner import __version__
from comfy_runner.comfyui.lane import Submission
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
from comfy_runner.comfyui.verdict import Outcome, Verdict
from comfy_runner.errors import ComfyRunnerError, Interrupted, JobLost, ServerError, ServerRefused, ServerStuck, Unreachable
from comfy_runner.folder.folder import RunFolder
from comfy_runner.folder.rows import OpenSubmission
from comfy_runner.folder.states import Event as Change
from comfy_runner.plans.drafts import Draft
from comfy_runner.runs import ending
from comfy_runner.runs.collecting import Sharers
from comfy_runner.runs.counting import Counting
from comfy_runner.runs.ends import Ends
from comfy_runner.runs.events import Event, JobResult, Spent
from comfy_runner.runs.examine import Door, Examiner
from comfy_runner.runs.inherited import Inherited
from comfy_runner.runs.member import Member
from comfy_runner.runs.messages import CutShort, refusal
from comfy_runner.runs.outcomes import Files
from comfy_runner.runs.parcel import Parcel
from comfy_runner.runs.policy import Policy
from comfy_runner.runs.progress import JobProgress
from comfy_runner.runs.queueing import Queue
from comfy_runner.runs.requests import FleetRequest, answer, fleet_requests, wants_cancel
from comfy_runner.runs.roster import Roster
from comfy_runner.runs.strays import Strays
from comfy_runner.runs.telling import Telling
from comfy_runner.runs.work import Again, Cancel, Crashed, Done, Examined, Flight, Shared, Work
from comfy_runner.workflow.pixels import node_work

_CANCEL_SECONDS = 30.0
_LOOK_SECONDS = 1.0
_BROKEN_GPUS = 2  # jobs running that have failed of it: one may have been the job's fault
_CLOSED_DOORS = (401, 403, 407, 429)  # about the server, whatever is posted; other refusals are about what was posted

_Message = Report | Done | Shared | Again | Crashed | Cancel | Examined


class Coordinator:
    """Renders jobs on the servers of a fleet, which may be one.

    Args:
        folder: The run folder, locked by the caller.
        work: What to do.
        doors: The servers.
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
        doors: Sequence[Door],
        examiner: Examiner,
        enlist: Callable[[str], Door],
        emit: Callable[[Event], None],
        policy: Policy | None = None,
        force: bool = False,
    ) -> None:
        self._folder, self._ledger, self._work, self._drafts = folder, folder.ledger, work, work.drafts
        self._doors, self._examiner, self._enlist = doors, examiner, enlist
        self._emit, self._policy, self._force = emit, policy or Policy(), force
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
        self._flights: dict[str, Flight] = {}
        self._telling = Telling(self._flights, self._drafts, emit)
        self._active: set[str] = set()
        self._alone: set[str] = set()  # jobs of graphs that were refused as a whole
        self._busy = 0  # what the collectors have been given and not reported yet
        self._deadline = math.inf  # of an interruption
        self._looked_at = time.monotonic()
        self._stack = contextlib.ExitStack()

    def cancel(self) -> None:
        """Take our jobs back from the servers and end the run; may be called from a signal handler."""
        self._inbox.put(Cancel())

    def on_server(self) -> list[str]:
        """Return the prompt ids that the servers have of us now."""
        return [flight.prompt_id for key in list(self._active) if (flight := self._flights.get(key)) is not None]

    @property
    def spent(self) -> Spent | None:
        """Return what the servers had to do so far; None where nothing was rendered."""
        return self._counting.spent(self._queue.splits)

    def run(self) -> dict[str, JobResult]:
        """Render all jobs and return the result of each by its id."""
        with self._stack:
            self._stack.enter_context(self._sharers)
            self._roster = Roster(
                self._doors,
                member=self._member,
                queue=self._queue,
                examiner=self._examiner,
                report=self._inbox.put,
                emit=self._emit,
                patience=self._policy.patience.outage,
            )
            self._strays = Strays(self._folder, self._queue, self._flights, self._ends)
            try:
                self._take_up()
                self._fill()
                while self._goes_on():
                    # An interruption waits for the server only so long; for the files that are on their way it does.
                    if not (self._busy or self._ends.sharing) and time.monotonic() > self._deadline:
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
        self._ends.tell_the_rest(self._standing_of)
        return self._ends.results

    def _member(self, door: Door) -> Member:
        policy, patience = self._policy, self._policy.patience
        if len(self._doors) > 1:
            patience = replace(patience, outage=min(patience.outage, policy.fleet_outage))
        member = Member(door, self._folder, policy, patience, self._inbox.put, force=self._force)
        self._stack.enter_context(member.collectors)
        return member

    def _goes_on(self) -> bool:
        if self._busy or self._ends.sharing or any(map(self._is_awaited, self._active)):
            self._roster.goes_on()
            return True
        if not (self._queue.waits and self._may_begin):
            return False
        self._ends.stopped = self._roster.hopeless(time.monotonic())
        return self._ends.stopped is None

    def _is_awaited(self, key: str) -> bool:
        """Return whether the run is not over before a parcel has ended."""
        flight = self._flights[key]
        return bool(flight.waits_for) or self._roster.members[flight.server].stage == "up"

    def _look_around(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            if wants_cancel(self._folder.path):
                self._cancel()
            for request in fleet_requests(self._folder.path):
                self._change_fleet(request)
        self._roster.look(now)

    def _change_fleet(self, request: FleetRequest) -> None:
        try:
            door = self._enlist(request.server)
        except ComfyRunnerError as error:
            answer(request, str(error))
            return
        member = self._roster.members.get(door.name) or self._roster.by_url(door.url)
        if request.action == "add":
            self._roster.add(door)
        elif member is not None:
            self._roster.drain(member)
        answer(request, "" if member or request.action == "add" else f"{request.server} takes no part in this run")

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
        flight = self._flight(member, found.parcel, found.standing, waits_for=found.waits_for)
        flight.prompt_id = submission.server_prompt_id or key
        if member.stage == "up":
            self._begin(member, flight)
            self._seek(member, key, submission.server_prompt_id)
        else:
            # Others do these jobs, unless it answers before they have.
            self._flights[key] = flight
            for job_id in reversed(self._strays.release(key)):
                self._ends.put_back(job_id)
            self._strays.keep(member, key)

    def _seek(self, member: Member, key: str, server_prompt_id: str) -> None:
        self._inherited.sought.add(key)
        self._flights[key].attached = True
        api = self._flights[key].parcel.workflow.to_api()
        member.lane.attach(Submission(key, key, api, server_prompt_id=server_prompt_id))

    # Submitting

    @property
    def _may_begin(self) -> bool:
        return self._ends.stopped is None and not (
            self._policy.fail_fast and (self._busy or self._ends.sharing or not self._ends.all_done)
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

    def _submit(self, member: Member, drafts: Sequence[Draft]) -> None:
        key = str(uuid.uuid4())
        if len(drafts) > 1 and drafts[0].job_id in self._alone:
            for draft in reversed(drafts[1:]):
                self._ends.put_back(draft.job_id)
            drafts = drafts[:1]
        free = [draft for draft in drafts if not self._ends.passed(draft)]
        ready, settled = member.preparer.pack(free, key, self._ends.attempts)
        for end in settled:
            if end.change is Change.FAILED and end.error is not None and self._try_elsewhere(member, end.job_id, end.error):
                continue
            self._ends.end(end.job_id, end.change, end.error, files=end.files)
        if not ready:
            return
        parcel = Parcel.of(key, [found.piece for found in ready])
        self._ledger.submit(key, server=member.url, parcel=parcel.to_text(), job_ids=parcel.job_ids)
        left_out = {found.piece.job_id: found.left_out for found in ready if found.left_out is not None}
        standing = {found.piece.job_id: found.standing for found in ready}
        self._begin(member, self._flight(member, parcel, standing, left_out))
        pnginfo = {"comfy_runner": {"version": __version__, **parcel.about}}
        api = parcel.workflow.to_api()
        member.lane.submit(Submission(key, key, api, pnginfo, allow_partial=self._policy.allow_partial))

    def _flight(
        self,
        member: Member,
        parcel: Parcel,
        standing: Mapping[str, Files],
        left_out: Mapping[str, ComfyRunnerError] | None = None,
        *,
        waits_for: Iterable[str] | None = None,
    ) -> Flight:
        waiting = set(parcel.job_ids if waits_for is None else waits_for)
        progress = JobProgress(node_work(parcel.workflow))
        return Flight(parcel, standing, left_out or {}, progress, parcel.prompt_id, waiting, server=member.name)

    def _begin(self, member: Member, flight: Flight) -> None:
        key = flight.parcel.prompt_id
        self._flights[key] = flight
        self._active.add(key)
        member.active.add(key)
        self._queue.posted(member.name, key, flight.parcel.job_ids)

    # Reports

    def _handle(self, message: _Message) -> None:
        match message:
            case Done():
                self._busy -= 1
                self._collected(message)
            case Shared():
                self._ends.was_shared(message)
            case Again(job_id):
                self._busy -= 1
                self._ends.put_back(job_id)
            case Examined():
                self._examined(message)
            case Crashed(error):
                raise error
            case Cancel():
                self._cancel()
            case _ if message.key in self._active:
                self._reported(message)
            case _:
                pass  # of a parcel that was given up meanwhile

    def _reported(self, report: Report) -> None:
        member = self._roster.members[self._flights[report.key].server]
        match report:
            case Submitted(key, prompt_id):
                self._submitted(member, key, prompt_id)
            case Waiting() | CachedNodes() | NodeProgress() | TakenInPart():
                self._telling.news(report)
            case Finished(key, verdict):
                self._finished(member, key, verdict)
            case Refused(key, complaints):
                self._refused(member, key, complaints)
            case Cancelled(key):
                self._cancelled(key)
            case Broken(key, error):
                self._broken(member, key, error)

    def _cancel(self) -> None:
        if not self._ends.interrupted:
            self._ends.stopped = Interrupted("interrupted", hint="run the same command again to go on")
            self._deadline = time.monotonic() + _CANCEL_SECONDS
            self._sharers.hurry()
            for member in self._roster.members.values():
                member.collectors.hurry()
                # What the server does not know may have left its files there: that shows first.
                if known := member.active - self._inherited.sought:
                    member.lane.cancel(known)

    def _submitted(self, member: Member, key: str, prompt_id: str) -> None:
        flight = self._flights[key]
        if prompt_id != key:
            flight.prompt_id = prompt_id
            self._ledger.accepted(key, prompt_id)
        if key in self._inherited.sought:
            unwanted = self._inherited.is_unwanted(key) or (not flight.waits_for and not self._strays.take_up(key))
            if unwanted or self._ends.interrupted:
                member.lane.cancel([key])
        self._telling.submitted(key)

    def _finished(self, member: Member, key: str, verdict: Verdict) -> None:
        flight = self._flights[key]
        self._counting.ran(flight.parcel.workflow, verdict)
        if not flight.waits_for and verdict.outcome is Outcome.SUCCEEDED:
            self._take_back(self._strays.claim(key))
        broken = verdict.failure is not None and verdict.failure.gpu_is_broken
        self._queue.landed(member.name, key, measured=verdict.outcome is Outcome.SUCCEEDED and not flight.attached)
        if flight.waits_for and flight.released and verdict.outcome is Outcome.INTERRUPTED and self._ends.stopped is None:
            # By us, when its server was out of order.
            self._lose(self._drop(key))
        elif flight.waits_for:
            member.collectors.collect(self._landed(key), verdict, stopped=self._ends.stopped)
        else:
            self._forget(key)
        if not broken:
            self._roster.proved(member)
            return
        member.gpu_failures += 1
        for job_id in flight.waits_for & self._drafts.keys():
            self._queue.avoid(job_id, member.name)
        if member.gpu_failures >= _BROKEN_GPUS:
            what = f"{_BROKEN_GPUS} jobs running have failed of a broken GPU state"
            self._out(member, ServerStuck(what, where=member.url, hint="restart ComfyUI, then run the same command again"))

    def _refused(self, member: Member, key: str, complaints: Sequence[Complaint]) -> None:
        flight = self._drop(key)
        if len(flight.parcel.pieces) > 1:
            # Each is asked for alone, so that what is right is rendered.
            self._alone.update(flight.waits_for)
            self._lose(flight)
            return
        for job_id in flight.waits_for:
            error = refusal(self._drafts.get(job_id), job_id, complaints, member.url)
            self._fail_or_try_elsewhere(member, key, job_id, error, flight.standing[job_id])

    def _cancelled(self, key: str) -> None:
        flight = self._drop(key)
        if not flight.waits_for:
            self._strays.forget(key)
        for job_id in flight.waits_for:
            if not self._ends.is_released(job_id, key):
                self._ends.end(job_id, Change.CANCELLED, self._ends.stopped, key=key, files=flight.standing[job_id])

    def _broken(self, member: Member, key: str, error: ComfyRunnerError) -> None:
        flight = self._flights[key]
        if isinstance(error, JobLost):
            if not (flight.waits_for or self._strays.take_up(key)):
                self._forget(key)
                return
            member.recovering += len(flight.waits_for)
            member.collectors.recover(self._landed(key), error)
        elif isinstance(error, ServerError) and not self._roster.is_single:
            self._broken_in_fleet(member, key, error)
        else:
            self._broken_alone(key, error)

    def _broken_alone(self, key: str, error: ComfyRunnerError) -> None:
        flight = self._drop(key)
        for job_id in flight.waits_for:
            if isinstance(error, ServerError):
                # It may well be there, and run: the next process asks for it.
                self._ends.stopped = self._ends.stopped or error
                self._ends.tell_of_outage(job_id, error, flight.standing[job_id])
            elif not self._ends.is_released(job_id, key):
                self._ends.end(job_id, Change.FAILED, error, key=key, files=flight.standing[job_id])

    def _broken_in_fleet(self, member: Member, key: str, error: ServerError) -> None:
        if isinstance(error, ServerRefused) and error.status < 500 and error.status not in _CLOSED_DOORS:
            flight = self._drop(key)
            for job_id in flight.waits_for:
                self._fail_or_try_elsewhere(member, key, job_id, error, flight.standing[job_id])
            return
        if member.stage != "out":
            self._out(member, error)
        # Its jobs have been given to others.
        if key in self._active:
            self._active.discard(key)
            member.active.discard(key)
            self._strays.keep(member, key)

    # Servers that are out of order

    def _out(self, member: Member, error: ComfyRunnerError) -> None:
        """Leave a server alone, and give its jobs to others; where there are none, the run ends."""
        if self._roster.is_single:
            self._ends.stopped = self._ends.stopped or error
            return
        self._roster.out(member, error)
        # The one that it was just working on may be what it does not bear; what a dead worker has not begun is not.
        for number, key in enumerate([key for key in self._flights if key in member.active]):
            ran = self._flights[key].progress.begun or not isinstance(error, ServerStuck)
            self._release(key, blamed=number == 0 and ran)
        if not isinstance(error, Unreachable):
            member.lane.cancel(member.active)

    def _release(self, key: str, *, blamed: bool = False) -> None:
        """Give the jobs of a parcel to others."""
        flight = self._flights[key]
        self._queue.landed(flight.server, key, measured=False)
        for job_id in reversed(self._strays.release(key)):
            error = JobLost(f"{flight.server} is out of order", where=job_id)
            if blamed and job_id in self._drafts and self._ends.begins_again(job_id, reason="server_lost", what=str(error)) is None:
                self._ends.end(job_id, Change.FAILED, error, files=flight.standing[job_id])
            else:
                self._ends.put_back(job_id)

    def _examined(self, found: Examined) -> None:
        member = self._roster.examined(found)
        if member is None:
            return
        # What it was not silent for long enough to be given up goes on being followed.
        for key in [key for key in member.active if self._flights[key].released and not self._flights[key].waits_for]:
            self._queue.posted(member.name, key, self._flights[key].parcel.job_ids)
            if not self._strays.take_up(key):
                member.lane.cancel([key])
        self._seek_strays(member)

    def _seek_strays(self, member: Member) -> None:
        for key, flight in member.strays.items():
            self._begin(member, flight)
            # Nobody else begins with them before it is known whether they are there.
            self._strays.take_up(key)
            self._seek(member, key, flight.prompt_id if flight.prompt_id != key else "")
        member.strays.clear()

    def _take_back(self, keys: Iterable[str]) -> None:
        """Take back prompts that nobody waits for."""
        for key in keys:
            self._roster.members[self._flights[key].server].lane.cancel([key])

    def _try_elsewhere(self, member: Member, job_id: str, error: ComfyRunnerError) -> bool:
        """Have another server do what this one does not take, if there is one; return whether there is."""
        if job_id not in self._drafts or self._roster.is_single or not self._queue.avoid(job_id, member.name):
            return False
        self._ends.refuse(job_id, error)
        self._ends.put_back(job_id)
        return True

    def _fail_or_try_elsewhere(self, member: Member, key: str, job_id: str, error: ComfyRunnerError, files: Files) -> None:
        if self._ends.stopped is None and job_id in self._drafts and not self._roster.is_single:
            if self._queue.avoid(job_id, member.name):
                self._ends.refuse(job_id, error)
                self._ends.lose(job_id, key, what=str(error))
                return
            error = self._ends.refuse(job_id, error)
        self._ends.end(job_id, Change.FAILED, error, key=key, files=files)

    # What has landed

    def _landed(self, key: str) -> Flight:
        """The server has nothing more to do for a parcel; its jobs will each be reported by the collectors."""
        flight = self._flights[key]
        flight.landed = True
        self._leave(key)
        self._busy += len(flight.waits_for)
        return flight

    def _drop(self, key: str) -> Flight:
        self._leave(key)
        return self._flights.pop(key)

    def _forget(self, key: str) -> None:
        self._leave(key)
        self._strays.forget(key)

    def _leave(self, key: str) -> None:
        flight = self._flights[key]
        self._active.discard(key)
        self._inherited.sought.discard(key)
        self._roster.members[flight.server].active.discard(key)
        self._queue.landed(flight.server, key, measured=False)

    def _lose(self, flight: Flight) -> None:
        for job_id in [job_id for job_id in reversed(flight.parcel.job_ids) if job_id in flight.waits_for]:
            self._ends.lose(job_id, flight.parcel.prompt_id)

    def _collected(self, done: Done) -> None:
        flight = self._flights[done.key]
        member = self._roster.members[flight.server]
        member.recovering -= done.verdict is None
        flight.waits_for.discard(done.job_id)
        if not self._ends.is_released(done.job_id, done.key):
            self._ended(member, flight, done)
        if not flight.waits_for:
            del self._flights[done.key]
            if flight.away:
                self._set_aside(member, flight)

    def _ended(self, member: Member, flight: Flight, done: Done) -> None:
        away = ending.outage(done)
        if away is not None:
            self._kept_away(member, flight, done, away)
        elif self._ends.stopped is None and isinstance(done.error, JobLost if flight.released else CutShort):
            # That its server was out of order has been counted when it was.
            self._ends.lose(done.job_id, done.key)
        else:
            attempt = self._ends.tries_again(done) if self._ends.stopped is None else None
            if attempt is None:
                error = next(iter(ending.errors_of(done)), None)
                change = ending.change(done)
                if change is Change.DONE:
                    self._counting.finished(done.job_id, member.name)
                self._ends.end(done.job_id, change, error, key=done.key, files=done.collected.files, done=done)
            elif attempt.freed:
                self._busy += 1
                member.collectors.free_for(done.job_id)
            else:
                self._ends.put_back(done.job_id)

    def _kept_away(self, member: Member, flight: Flight, done: Done, away: ComfyRunnerError) -> None:
        """The pictures may be there, and cannot be had or kept; what cannot be kept must not be rendered."""
        if self._roster.is_single or not isinstance(away, ServerError):
            self._ends.stopped = self._ends.stopped or away
            self._ends.tell_of_outage(done.job_id, away, done.collected.files)
            return
        if member.stage == "up":
            self._out(member, away)
        flight.away.add(done.job_id)

    def _set_aside(self, member: Member, flight: Flight) -> None:
        """Have others begin last of all with what a server has finished: its pictures come back with it."""
        key = flight.parcel.prompt_id
        self._ledger.release(key)
        member.strays[key] = replace(flight, landed=False, released=True, away=set())
        for job_id in [job_id for job_id in flight.parcel.job_ids if job_id in flight.away]:
            self._ends.put_back(job_id, last=True)
        if member.stage == "up":
            self._seek_strays(member)

    def _standing_of(self, job_id: str) -> Files:
        flying = (flight for flight in self._flights.values() if job_id in flight.waits_for)
        return next((flight.standing[job_id] for flight in flying), {})
