"""The coordinator of a run: the one thread that decides what happens to jobs next, and that alone writes the ledger.

It is a loop, and no more: a message comes in, `decide` says what is to be done about it, `Performer` does that. Engines follow
submissions and fetch files on threads of their own and report; a caller that reads events slowly holds nobody up.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Sequence

from comfy_runner.engine.interface import NamedEngine
from comfy_runner.engine.reports import Crashed
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running.decide import decide, goes_on
from comfy_runner.running.events import Event, JobResult, Spent
from comfy_runner.running.messages import Begin, Cancel, Examined, Finish, FleetChange, Message, Tick
from comfy_runner.running.perform import Performer
from comfy_runner.running.policy import Policy
from comfy_runner.running.probe import Candidate, Examiner
from comfy_runner.running.recovery import read_left
from comfy_runner.running.state import RunState, Work
from comfy_runner.store.control_files import fleet_requests, wants_cancel
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import ENDED, State

_LOOK_SECONDS = 1.0


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
        enlist: Callable[[str], NamedEngine],
        emit: Callable[[Event], None],
        policy: Policy | None = None,
        force: bool = False,
        take_back: Cancel | None = None,
    ) -> None:
        self._folder, self._enlist, self._policy = folder, enlist, policy or Policy()
        self._inbox: queue.SimpleQueue[Message | Crashed] = queue.SimpleQueue()
        self._left = left = tuple(read_left(folder, submission) for submission in work.open)
        self._begin = Begin(left, take_back)
        self._state = RunState.of(work, candidates, left=left, folder=folder.path, policy=self._policy, known=folder.ledger.known())
        self._performer = Performer(
            folder,
            candidates,
            examiner=examiner,
            report=self._inbox.put,
            emit=emit,
            policy=self._policy,
            force=force,
        )
        self._looked_at = time.monotonic()

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
        with self._performer:
            self._carry_out(self._begin)
            while goes_on(self._state, time.monotonic()):
                try:
                    message = self._inbox.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    message = Tick()
                if isinstance(message, Crashed):
                    raise message.error
                self._carry_out(message)
                self._look_around()
        self._carry_out(Finish())
        return self._state.results

    def _carry_out(self, message: Message) -> None:
        """Do all that follows from a message."""
        if isinstance(message, Examined) and message.answer is not None:
            self._performer.answered(message.server, message.answer)
        messages = deque([message])
        while messages:
            for action in decide(self._state, messages.popleft(), time.monotonic()):
                found = self._performer.perform(action)
                if found is not None:
                    messages.append(found)

    def _look_around(self) -> None:
        """See what other processes ask of this run."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        if wants_cancel(self._folder.path):
            self._carry_out(Cancel())
        for request in fleet_requests(self._folder.path):
            try:
                change = FleetChange(request, Candidate.of(self._enlist(request.server)))
            except ComfyRunnerError as error:
                change = FleetChange(request, None, error)
            self._carry_out(change)
