"""The servers of a run: who gets work, who is left alone for how long, who joins and who goes.

Decided on the coordinator's thread; servers are asked on others, which report `Examined`. Not here: what becomes of the jobs of a
server that is out of order (`coordinate`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from comfy_runner.engine.interface import NamedEngine
from comfy_runner.engine.reports import Crashed
from comfy_runner.errors import ComfyRunnerError, ServerError
from comfy_runner.planning.capabilities import unsuitable_jobs
from comfy_runner.running.events import Event, ServerChanged
from comfy_runner.running.policy import Policy
from comfy_runner.running.probe import Answered, Candidate, Examiner
from comfy_runner.running.state import Examined
from comfy_runner.running.waiting import Queue
from comfy_runner.running.worker import Worker
from comfy_runner.store.control_files import FleetRequest, answer


class Roster:
    """The servers of one run.

    Args:
        candidates: The servers that it begins with, at least one.
        member: Makes what holds one of them.
        queue: The jobs that wait.
        examiner: Asks servers.
        report: Takes `Examined`, on any thread.
        emit: Takes events; must return at once.
        policy: How to treat them; jobs may wait as long as its `Timeouts.outage` while no server gets work.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        member: Callable[[Candidate], Worker],
        queue: Queue,
        examiner: Examiner,
        report: Callable[[Examined | Crashed], None],
        emit: Callable[[Event], None],
        policy: Policy,
    ) -> None:
        self._make, self._queue, self._examiner = member, queue, examiner
        self._report, self._emit, self._policy = report, emit, policy
        self.members = {candidate.name: member(candidate) for candidate in candidates}
        self._asked: set[str] = set()
        self._stuck_since: float | None = None
        self._set_timeouts()

    def open(self) -> None:
        """Let those that have answered take part, and leave the others alone for a while."""
        for each in self.members.values():
            if each.stage == "up":
                self._join(each)
            else:
                self._rest(each, each.reason)

    def close(self) -> None:
        """Close all engines; those that do not answer are not waited for one after the other."""
        for thread in [member.closing() for member in self.members.values()]:
            thread.join()

    @property
    def is_single(self) -> bool:
        """Return whether there is but one server, so that nobody else can do its jobs."""
        return len(self.members) == 1

    @property
    def hungry(self) -> list[str]:
        """Return the names of the servers that may be given work now, those with the least to do first."""
        return self._queue.order(name for name, member in self.members.items() if member.stage == "up" and not member.recovering)

    @property
    def absent(self) -> list[str]:
        """Return the names of the servers that get no work and are asked again."""
        return [name for name, member in self.members.items() if member.stage == "out"]

    def by_url(self, url: str) -> Worker | None:
        """Return the server with this URL; None where none has it."""
        return next((member for member in self.members.values() if member.url == url), None)

    def out(self, member: Worker, error: ComfyRunnerError) -> None:
        """Leave a server alone for a while; `Examined` reports when it answers again."""
        if member.stage == "draining":
            member.reason = error
            return
        member.stage, member.reason, member.gpu_failures = "out", error, 0
        self._queue.leave(member.name)
        self._rest(member, error)

    def examined(self, found: Examined) -> Worker | None:
        """Take what a server said when it was asked again; return it where it gets work now."""
        self._asked.discard(found.server)
        member = self.members[found.server]
        if member.stage != "out":
            return None
        if found.answer is None:
            member.reason = found.error
            self._rest(member, found.error)
            return None
        return self._back(member, found.answer)

    def proved(self, member: Worker) -> None:
        """Note that a server has done a job."""
        member.gpu_failures = 0
        if member.quarantine.on_probation and member.stage == "up":
            member.quarantine.proved()
            self._queue.limit(member.name, member.places)

    def change(self, request: FleetRequest, enlist: Callable[[str], NamedEngine]) -> None:
        """Add or drain a server as another process asks, and tell it what came of that."""
        try:
            candidate = Candidate.of(enlist(request.server))
        except ComfyRunnerError as error:
            answer(request, str(error))
            return
        member = self.members.get(candidate.name) or self.by_url(candidate.url)
        if request.action == "add":
            self.add(candidate)
        elif member is not None:
            self.drain(member)
        answer(request, "" if member or request.action == "add" else f"{request.server} takes no part in this run")

    def add(self, candidate: Candidate) -> None:
        """Let a server take part as soon as it answers; one that was drained takes part again."""
        known = self.members.get(candidate.name) or self.by_url(candidate.url)
        if known is None:
            known = self.members[candidate.name] = self._make(candidate)
            self._set_timeouts()
        if known.stage != "up":
            known.stage = "out"
            known.quarantine.until = time.monotonic()
        self._stuck_since = None

    def drain(self, member: Worker) -> None:
        """Give a server nothing more; what it has is finished."""
        if member.stage != "draining":
            if member.stage == "up":
                self._queue.leave(member.name)
            member.stage = "draining"
            self._emit(ServerChanged(member.name, member.url, "draining"))

    def look(self, now: float) -> None:
        """Ask the servers of which it is time to ask whether they answer again."""
        for name, member in self.members.items():
            if member.stage == "out" and name not in self._asked and member.quarantine.until <= now:
                self._asked.add(name)
                # Each on a thread of its own: those that hang hold up nobody, nor the end of the program.
                threading.Thread(target=self._examine, args=(member,), name=f"examine {member.url}", daemon=True).start()

    def hopeless(self, now: float) -> ComfyRunnerError | None:
        """Return why there is no use in waiting: nobody has done anything for too long; None while there is.

        To be asked only while jobs wait and no server has any.
        """
        out = [member for member in self.members.values() if member.stage == "out"]
        self._stuck_since = now if self._stuck_since is None else self._stuck_since
        if out and now - self._stuck_since <= self._policy.timeouts.outage:
            return None
        problems = [problem for member in out if member.reason for problem in member.reason.problems]
        if not problems:
            return ServerError("no server is left that can do what waits", hint="add one: comfy-runner fleet add RUN URL")
        first = next(member.reason for member in out if member.reason)
        return (type(first) if isinstance(first, ServerError) else ServerError).of(problems)

    def goes_on(self) -> None:
        """Note that some server has work."""
        self._stuck_since = None

    def _set_timeouts(self) -> None:
        timeouts = self._policy.timeouts_with(len(self.members))
        for member in self.members.values():
            member.engine.set_timeouts(timeouts)

    def _examine(self, member: Worker) -> None:
        try:
            found = Examined(member.name, self._examiner.ask_again(member.candidate.engine), None)
        except ComfyRunnerError as error:
            found = Examined(member.name, None, error)
        except BaseException as crash:  # a fault of ours; the coordinator takes it to the caller
            self._report(Crashed(crash))
            return
        self._report(found)

    def _back(self, member: Worker, answer: Answered) -> Worker:
        is_new = not member.quarantine.on_probation
        member.answered(answer)
        self._join(member)
        self._emit(ServerChanged(member.name, member.url, "joined" if is_new else "back"))
        return member

    def _join(self, member: Worker) -> None:
        answer = member.candidate.answer
        if answer is None:
            raise ValueError(f"{member.name} has not answered")
        others = [
            other.candidate.answer.capabilities for other in self.members.values() if other is not member and other.candidate.answer
        ]
        self._queue.join(
            member.name,
            places=member.places,
            most=member.most,
            unable=unsuitable_jobs(self._queue.drafts, answer.capabilities, others),
            speed=member.candidate.speed,
        )

    def _rest(self, member: Worker, error: ComfyRunnerError | None) -> None:
        pause = member.quarantine.failed(time.monotonic())
        if not self.is_single:
            self._emit(ServerChanged(member.name, member.url, "out", error, pause))
