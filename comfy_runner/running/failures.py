"""What becomes of jobs whose server refuses them, loses them, or is out of order: others do them, if there are any.

Not here: when such a server is asked again (`roster`), and what it may still have then (`strays`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from comfy_runner.engine.reports import Collected, Complaint
from comfy_runner.errors import ComfyRunnerError, JobLost, ServerError, ServerRefused, ServerStuck, Unreachable
from comfy_runner.planning.draft import Draft
from comfy_runner.running.completion import Ends
from comfy_runner.running.failure_messages import jobs_to_recover, refusal
from comfy_runner.running.in_flight import Holdings
from comfy_runner.running.orphans import Strays
from comfy_runner.running.results import Files
from comfy_runner.running.state import Examined, Flight
from comfy_runner.running.waiting import Queue
from comfy_runner.running.worker import Worker
from comfy_runner.running.workers import Roster
from comfy_runner.store.ledger import Ledger
from comfy_runner.store.states import Event as Change

_CLOSED_DOORS = (401, 403, 407, 429)  # about the server, whatever is posted; other refusals are about what was posted


class Trouble:
    """The way out for jobs of servers that cannot do them, or not now.

    Args:
        ledger: Of the run folder.
        drafts: The jobs that the run was asked for, by id.
        roster: The servers.
        queue: The jobs that wait.
        holdings: What servers have of us.
        strays: What they may still have although others do it.
        ends: How jobs end.

    Attributes:
        alone: The jobs of graphs that were refused as a whole.
    """

    def __init__(
        self,
        ledger: Ledger,
        drafts: Mapping[str, Draft],
        *,
        roster: Roster,
        queue: Queue,
        holdings: Holdings,
        strays: Strays,
        ends: Ends,
    ) -> None:
        self._ledger, self._drafts, self._roster, self._queue = ledger, drafts, roster, queue
        self._holdings, self._strays, self._ends = holdings, strays, ends
        self.alone: set[str] = set()

    def refused(self, member: Worker, key: str, complaints: Sequence[Complaint]) -> None:
        """Have another server do what one has refused, also one that is waited for; where there is none, the job fails."""
        flight = self._holdings.drop(key)
        if len(flight.submission.jobs) > 1:
            # Each is asked for alone, so that what is right is rendered.
            self.alone.update(flight.waits_for)
            self.lose(flight)
            return
        for job_id in flight.waits_for:
            error = refusal(self._drafts.get(job_id), job_id, complaints, member.url)
            self._fail_or_try_elsewhere(member, key, job_id, error, flight.standing[job_id])

    def broken(self, member: Worker, key: str, error: ComfyRunnerError) -> None:
        """See to a submission of which nothing more can be learnt from its server."""
        flight = self._holdings.flights[key]
        if isinstance(error, JobLost):
            if not (flight.waits_for or self._strays.take_up(key)):
                self._strays.forget(key)
                return
            member.recovering += len(flight.waits_for)
            flight = self._holdings.landed(key)
            member.engine.collect(flight.submission, None, jobs_to_recover(flight, error), prompt_id=flight.prompt_id)
        elif isinstance(error, ServerError) and not self._roster.is_single:
            self._broken_in_fleet(member, key, error)
        else:
            self._broken_alone(key, error)

    def _broken_alone(self, key: str, error: ComfyRunnerError) -> None:
        flight = self._holdings.drop(key)
        for job_id in flight.waits_for:
            if isinstance(error, ServerError):
                # It may well be there, and run: the next process asks for it.
                self._ends.stopped = self._ends.stopped or error
                self._ends.tell_of_outage(job_id, error, flight.standing[job_id])
            elif not self._ends.is_released(job_id, key):
                self._ends.end(job_id, Change.FAILED, error, key=key, files=flight.standing[job_id])

    def _broken_in_fleet(self, member: Worker, key: str, error: ServerError) -> None:
        if isinstance(error, ServerRefused) and error.status < 500 and error.status not in _CLOSED_DOORS:
            flight = self._holdings.drop(key)
            for job_id in flight.waits_for:
                self._fail_or_try_elsewhere(member, key, job_id, error, flight.standing[job_id])
            return
        if member.stage != "out":
            self.out(member, error)
        # Its jobs have been given to others.
        if key in self._holdings.active:
            self._holdings.active.discard(key)
            member.active.discard(key)
            self._strays.keep(member, key)

    def out(self, member: Worker, error: ComfyRunnerError) -> None:
        """Leave a server alone, and give its jobs to others; where there are none, the run ends."""
        if self._roster.is_single:
            self._ends.stopped = self._ends.stopped or error
            return
        self._roster.out(member, error)
        # The one that it was just working on may be what it does not bear; what a dead worker has not begun is not.
        for number, key in enumerate([key for key in self._holdings.flights if key in member.active]):
            ran = self._holdings.flights[key].progress.begun or not isinstance(error, ServerStuck)
            self._release(key, blamed=number == 0 and ran)
        if not isinstance(error, Unreachable):
            member.engine.cancel(member.active)

    def _release(self, key: str, *, blamed: bool = False) -> None:
        """Give the jobs of a submission to others."""
        flight = self._holdings.flights[key]
        self._queue.landed(flight.server, key, measured=False)
        for job_id in reversed(self._strays.release(key)):
            error = JobLost(f"{flight.server} is out of order", where=job_id)
            if blamed and job_id in self._drafts and self._ends.begins_again(job_id, reason="server_lost", what=str(error)) is None:
                self._ends.end(job_id, Change.FAILED, error, files=flight.standing[job_id])
            else:
                self._ends.put_back(job_id)

    def examined(self, found: Examined) -> None:
        """Count on a server again that answers, and look for what it may have of us."""
        member = self._roster.examined(found)
        if member is None:
            return
        # What it was not silent for long enough to be given up goes on being followed.
        followed = [(key, self._holdings.flights[key]) for key in member.active]
        for key, flight in [(key, flight) for key, flight in followed if flight.released and not flight.waits_for]:
            self._queue.posted(member.name, key, flight.submission.job_ids)
            if not self._strays.take_up(key):
                member.engine.cancel([key])
        self._seek_strays(member)

    def try_elsewhere(self, member: Worker, job_id: str, error: ComfyRunnerError) -> bool:
        """Have another server do what this one does not take, if there is one; return whether there is."""
        if job_id not in self._drafts or self._roster.is_single or not self._others_can(member, job_id):
            return False
        self._ends.refuse(job_id, error)
        self._ends.put_back(job_id)
        return True

    def _fail_or_try_elsewhere(self, member: Worker, key: str, job_id: str, error: ComfyRunnerError, files: Files) -> None:
        if self._ends.stopped is None and job_id in self._drafts and not self._roster.is_single:
            if self._others_can(member, job_id):
                self._ends.refuse(job_id, error)
                self._ends.lose(job_id, key, what=str(error))
                return
            error = self._ends.refuse(job_id, error)
        self._ends.end(job_id, Change.FAILED, error, key=key, files=files)

    def _others_can(self, member: Worker, job_id: str) -> bool:
        """Return whether anybody else may do what a server does not take, also one that is waited for."""
        return self._queue.refuse(job_id, member.name, self._roster.absent)

    def kept_away(self, member: Worker, flight: Flight, done: Collected, away: ComfyRunnerError) -> None:
        """The pictures may be there, and cannot be had or kept; what cannot be kept must not be rendered."""
        if self._roster.is_single or not isinstance(away, ServerError):
            self._ends.stopped = self._ends.stopped or away
            self._ends.tell_of_outage(done.job_id, away, done.files)
            return
        if member.stage == "up":
            self.out(member, away)
        flight.away.add(done.job_id)

    def set_aside(self, member: Worker, flight: Flight) -> None:
        """Have others begin last of all with what a server has finished: its pictures come back with it."""
        key = flight.submission.prompt_id
        self._ledger.release(key)
        member.strays[key] = replace(flight, landed=False, released=True, away=set())
        for job_id in [job_id for job_id in flight.submission.job_ids if job_id in flight.away]:
            self._ends.put_back(job_id, last=True)
        if member.stage == "up":
            self._seek_strays(member)

    def lose(self, flight: Flight) -> None:
        """Have the jobs of a submission wait again that gives nothing."""
        for job_id in [job_id for job_id in reversed(flight.submission.job_ids) if job_id in flight.waits_for]:
            self._ends.lose(job_id, flight.submission.prompt_id)

    def _seek_strays(self, member: Worker) -> None:
        for key, flight in member.strays.items():
            self._holdings.begin(member, flight)
            # Nobody else begins with them before it is known whether they are there.
            self._strays.take_up(key)
            self._holdings.seek(member, key, flight.prompt_id if flight.prompt_id != key else "")
        member.strays.clear()
