"""The coordinator of a run: the one thread that decides what happens to jobs next, and that alone writes the ledger.

It is a loop, and no more: a message comes in, `decide` says what is to be done about it, `Performer` does that. Engines follow
submissions and fetch files on threads of their own and report; a caller that reads events slowly holds nobody up.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from comfy_runner.collect.a1111_text import parameters_of
from comfy_runner.engine.interface import EngineSupply
from comfy_runner.engine.reports import Crashed
from comfy_runner.engine.submission import Submission, SubmittedJob
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.inbox import Inbox
from comfy_runner.planning.draft import Draft
from comfy_runner.running import actions as do
from comfy_runner.running.candidates import Candidate, Examiner
from comfy_runner.running.decide import decide, goes_on
from comfy_runner.running.events import Event, JobResult, Spent
from comfy_runner.running.in_flight import Files, Left
from comfy_runner.running.messages import Begin, Cancel, Examined, Finish, FleetChange, Joined, Message, Prepared, Tick
from comfy_runner.running.perform import Performer
from comfy_runner.running.policy import Policy
from comfy_runner.running.state import RunState, Work
from comfy_runner.store.about import metadata_of
from comfy_runner.store.control_files import fleet_requests, wants_cancel
from comfy_runner.store.ledger_rows import OpenSubmission
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import UNREADABLE
from comfy_runner.store.states import ENDED, State

_LOOK_SECONDS = 1.0
_MOST_TOGETHER = 64  # messages whose changes of the ledger go onto the disk at once
_TOGETHER_SECONDS = 0.01  # for which a change waits for others


class Coordinator:
    """Renders jobs on the servers of a fleet, which may be one.

    Args:
        folder: The run folder, locked by the caller.
        work: What to do.
        candidates: The servers.
        examiner: Asks servers what they are and can do.
        supply: Where engines come from that join the run on its way; closed at its end.
        emit: Takes events; must return at once.
        policy: How to treat the servers.
        take_back: Given where nothing is to be begun: submissions that earlier processes have left are taken back from the
            servers, and what turns out to be finished is collected.
    """

    def __init__(
        self,
        folder: RunFolder,
        work: Work,
        *,
        candidates: Sequence[Candidate],
        examiner: Examiner,
        supply: EngineSupply,
        emit: Callable[[Event], None],
        policy: Policy | None = None,
        take_back: Cancel | None = None,
    ) -> None:
        self._folder, self._supply, self._policy = folder, supply, policy or Policy()
        self._inbox = Inbox[Message | Crashed]()
        drafts = work.drafts
        self._left = left = tuple(_read_left(folder, submission, drafts) for submission in work.open)
        self._begin = Begin(left, take_back)
        known, spent = folder.ledger.known(), folder.ledger.spent()
        self._state = RunState.of(work, candidates, left=left, folder=folder.path, policy=self._policy, known=known, spent=spent)
        self._performer = Performer(
            folder,
            candidates,
            examiner=examiner,
            report=self._inbox.put,
            emit=emit,
            policy=self._policy,
        )
        self._looked_at = time.monotonic()
        self._prepared: deque[Prepared] = deque()

    def cancel(self) -> None:
        """Take our jobs back from the servers and end the run; may be called from a signal handler."""
        self._inbox.put(Cancel())

    def on_server(self) -> list[str]:
        """Return the prompt ids that servers have of this run now; may be asked from a signal handler."""
        return [each.prompt_id for each in list(self._state.submissions.values()) if each.is_active]

    @property
    def spent(self) -> Spent | None:
        """Return what the servers had to do so far; None where nothing was rendered."""
        return self._state.stats.spent(self._state.waiting.splits)

    @property
    def ended(self) -> dict[str, State]:
        """Return how the jobs stand that earlier processes had submitted, by job id; only those that have ended."""
        found = {job_id: self._state.jobs[job_id].state for each in self._left for job_id in each.job_ids}
        return {job_id: state for job_id, state in found.items() if state in ENDED}

    @property
    def kept(self) -> list[ComfyRunnerError]:
        """Return why submissions stay open that were to be taken back, or collected."""
        return self._state.kept

    def run(self) -> dict[str, JobResult]:
        """Render all jobs and return the result of each by its id."""
        with contextlib.closing(self._supply), self._performer:
            self._carry_out([self._begin])
            while goes_on(self._state, time.monotonic()):
                self._carry_out(self._messages())
                self._look_around()
        self._carry_out([Finish()])
        return self._state.results

    def _messages(self) -> Iterator[Message | Crashed]:
        """Yield what comes in, at least one message, which may be that nothing has for a while.

        While something waits to be written, what comes in a moment later goes onto the disk with it: mostly one job has been
        collected just before the next one is to be submitted.
        """
        wait, until = _LOOK_SECONDS, math.inf
        for number in range(_MOST_TOGETHER):
            try:
                yield self._inbox.get(timeout=wait)
            except queue.Empty:
                if not number:
                    yield Tick()
                return
            now = time.monotonic()
            until = min(until, now + _TOGETHER_SECONDS) if self._folder.ledger.is_unwritten else math.inf
            wait = max(0.0, until - now) if until < math.inf else 0.0

    def _carry_out(self, messages: Iterable[Message | Crashed]) -> None:
        """Do all that follows from messages.

        What they change in the ledger goes onto the disk together, and before anything that follows it: commits are most of what
        a job costs us. Only preparing and collecting do not wait for that, since they bring about nothing that a later process
        would have to know of.
        """
        ledger, events = self._folder.ledger, list[do.Emit]()
        with ledger.batch():
            for action in self._actions(messages):
                if isinstance(action, do.Emit):
                    events.append(action)
                    continue
                if not isinstance(action, do.LedgerAction | do.Prepare | do.Collect):
                    ledger.flush()
                    self._tell(events)
                found = self._performer.perform(action)
                if found is not None:
                    self._prepared.append(found)
        self._tell(events)

    def _actions(self, messages: Iterable[Message | Crashed]) -> Iterator[do.Action]:
        for message in messages:
            if isinstance(message, Crashed):
                raise message.error
            if isinstance(message, Examined) and message.answer is not None:
                self._performer.answered(message.server, message.answer)
            yield from decide(self._state, message, time.monotonic())
            while self._prepared:
                yield from decide(self._state, self._prepared.popleft(), time.monotonic())

    def _tell(self, events: list[do.Emit]) -> None:
        for event in events:
            self._performer.perform(event)
        events.clear()

    def _look_around(self) -> None:
        """See who has come up, and what other processes ask of this run, and have it survive a power cut."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        self._folder.ledger.sync()
        if wants_cancel(self._folder.path):
            self._carry_out([Cancel()])
        if newcomers := self._supply.newcomers():
            self._carry_out([Joined(Candidate.of(named)) for named in newcomers])
        for request in fleet_requests(self._folder.path):
            try:
                change = FleetChange(request, Candidate.of(self._supply.enlist(request.server)))
            except ComfyRunnerError as error:
                change = FleetChange(request, None, error)
            self._carry_out([change])


def _read_left(folder: RunFolder, submission: OpenSubmission, drafts: Mapping[str, Draft]) -> Left:
    """Return a submission that an earlier process has left, with the files of its jobs that are there already.

    What that process was writing when it ended is cleared away.

    Args:
        folder: The run folder.
        submission: As its ledger has it.
        drafts: The jobs that are asked for now, by their ids.
    """
    reusable: dict[str, Files] = {}
    found = None
    with contextlib.suppress(*UNREADABLE, ComfyRunnerError):
        found = Submission.from_text(submission.prompt_id, submission.text)
    if found is not None and not set(submission.job_ids) <= set(found.job_ids):
        found = None
    jobs = []
    for posted in found.jobs if found else ():
        folder.remove_leftovers(posted.job_id, posted.outputs.values())
        job = _as_wanted_now(posted, drafts.get(posted.job_id))
        said = metadata_of(job.recipe)
        there = folder.reusable_files(job.job_id, job.content_hash, job.outputs, metadata=said)
        # What was not posted, since it was there, is there still, if perhaps not as it is wanted now.
        before = folder.reusable_files(job.job_id, job.content_hash, posted.outputs, metadata=said)
        unposted = {role: files for role, files in before.items() if role not in job.workflow.outputs}
        reusable[job.job_id] = {**unposted, **there}
        jobs.append(job)
    found = replace(found, jobs=tuple(jobs)) if found else None
    return Left(submission.prompt_id, submission.server, submission.server_prompt_id, submission.job_ids, found, reusable)


def _as_wanted_now(job: SubmittedJob, draft: Draft | None) -> SubmittedJob:
    """Return a job that was posted, to be collected where its recipe wants its files now, and in the format that it wants."""
    if draft is None or draft.content_hash != job.content_hash:
        return job
    planned = draft.planned()
    return replace(
        job,
        outputs=planned.outputs,
        recipe=planned.repeatable,
        assignments=draft.assignments,
        parameters=parameters_of(planned),
        filled_from=planned.job.filled_from,
    )
