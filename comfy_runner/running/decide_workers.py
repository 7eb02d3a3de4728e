"""Who gets work: workers that join, rest, come back or are drained, and the jobs that each is given next.

What becomes of the jobs of a worker that is out of order is decided in `decide_failures`.
"""

from __future__ import annotations

from collections.abc import Sequence

from comfy_runner.errors import ComfyRunnerError, ServerError
from comfy_runner.planning.capabilities import unsuitable_jobs
from comfy_runner.planning.draft import Draft
from comfy_runner.running.actions import Answer, Emit, Enlist, Examine, Prepare
from comfy_runner.running.candidates import Candidate
from comfy_runner.running.decide_completion import Actions, put_back
from comfy_runner.running.events import ServerChanged
from comfy_runner.running.messages import FleetChange
from comfy_runner.running.state import RunState, Worker


def open_all(state: RunState) -> Actions:
    """Let the workers that have answered take part, and leave the others alone for a while."""
    for worker in state.workers.values():
        if worker.stage == "up":
            join(state, worker)
        else:
            yield from rest(state, worker, worker.reason)


def only_ask_all(state: RunState) -> None:
    """Count on all workers to say what they hold; they are given nothing, so nobody asks what they can do."""
    for worker in state.workers.values():
        worker.stage = "up"
        state.waiting.join(worker.name, places=state.places(worker), most=worker.most)


def join(state: RunState, worker: Worker) -> None:
    """Let a worker that has answered get work."""
    if worker.capabilities is None:
        raise ValueError(f"{worker.name} has not answered")
    others = [other.capabilities for other in state.workers.values() if other is not worker and other.capabilities is not None]
    state.waiting.join(
        worker.name,
        places=state.places(worker),
        most=worker.most,
        unable=unsuitable_jobs(state.drafts, worker.capabilities, others),
        speed=worker.speed,
    )


def rest(state: RunState, worker: Worker, error: ComfyRunnerError | None) -> Actions:
    """Leave a worker alone for a while."""
    worker.failures += 1
    pause = state.policy.backoff.pause(worker.failures)
    worker.until = state.now + pause
    if not state.is_single:
        yield Emit(ServerChanged(worker.name, worker.url, "out", error, pause))


def proved(state: RunState, worker: Worker) -> None:
    """Note that a worker has done a job."""
    worker.gpu_failures = 0
    if worker.failures and worker.stage == "up":
        worker.failures = 0
        state.waiting.limit(worker.name, state.places(worker))


def look_again(state: RunState) -> Actions:
    """Ask the workers of which it is time to ask whether they answer again."""
    for worker in state.workers.values():
        if worker.stage == "out" and not worker.is_asked and worker.until <= state.now:
            worker.is_asked = True
            yield Examine(worker.name)


def change_fleet(state: RunState, change: FleetChange) -> Actions:
    """Add or drain a worker as another process asks, and tell it what came of that."""
    request, candidate = change.request, change.candidate
    if candidate is None:
        yield Answer(request, str(change.error or ""))
        return
    known = _known(state, candidate)
    if request.action == "add":
        yield from add(state, candidate)
    elif known is not None:
        yield from _drain(state, known)
    yield Answer(request, "" if known or request.action == "add" else f"{request.server} is not part of this run")


def _known(state: RunState, candidate: Candidate) -> Worker | None:
    return state.workers.get(candidate.name) or state.by_url(candidate.url)


def add(state: RunState, candidate: Candidate) -> Actions:
    """Let a worker take part as soon as it answers; one that was drained takes part again."""
    known = _known(state, candidate)
    if known is None:
        known = state.workers[candidate.name] = Worker.of(candidate)
        yield Enlist(candidate)
    if known.stage != "up":
        known.stage = "out"
        known.until = state.now
    state.stuck_since = None


def _drain(state: RunState, worker: Worker) -> Actions:
    """Give a worker nothing more; what it has is finished."""
    if worker.stage != "draining":
        if worker.stage == "up":
            state.waiting.leave(worker.name)
        worker.stage = "draining"
        yield Emit(ServerChanged(worker.name, worker.url, "draining"))


def absent(state: RunState) -> list[str]:
    """Return the names of the workers that get no work and are asked again."""
    return [name for name, worker in state.workers.items() if worker.stage == "out"]


# Filling


def may_begin(state: RunState) -> bool:
    """Return whether anything more is begun."""
    return state.stopped is None and not (state.policy.fail_fast and (state.is_busy or not state.is_flawless))


def fill(state: RunState) -> Actions:
    """Have the jobs prepared that a worker is to be given next: of one worker, for what is posted decides what is next."""
    names = _hungry(state)
    while names:
        drafts = [state.drafts[number] for number in state.waiting.next(names[0], state.now)]
        if not drafts:
            state.passed_over.add(names.pop(0))
        elif found := _free(state, drafts):
            state.is_preparing = True
            attempts = {draft.job_id: state.jobs[draft.job_id].attempts for draft in found}
            # A retry completes what the first attempt has given; only that is not to be forced again.
            forced = frozenset(job_id for job_id, tried in attempts.items() if state.is_forced and not tried)
            yield Prepare(names[0], tuple(found), attempts, forced)
            return


def _hungry(state: RunState) -> list[str]:
    """Return the names of the workers that may be given work now, those with the least to do first."""
    if state.is_preparing or not state.waiting.waits or not may_begin(state):
        return []
    # One that has lost what it had is first asked which files it still has; nothing is posted that could overwrite a file.
    held = [each for each in state.submissions.values() if each.stage != "orphan"]
    waited_for = {each.worker for each in held if each.names_files or (each.is_recovered and each.stage == "collecting")}
    passed = waited_for | state.passed_over
    return state.waiting.order(name for name, worker in state.workers.items() if worker.stage == "up" and name not in passed)


def _free(state: RunState, drafts: Sequence[Draft]) -> list[Draft]:
    """Return which of these jobs can be posted now; the others wait."""
    if len(drafts) > 1 and state.jobs[drafts[0].job_id].is_alone:
        for draft in reversed(drafts[1:]):
            put_back(state, draft.job_id)
        drafts = drafts[:1]
    for draft in drafts:
        job = state.jobs[draft.job_id]
        job.is_due |= bool(job.held_by)
    return [draft for draft in drafts if not state.jobs[draft.job_id].held_by]


# The end


def goes_on(state: RunState, now: float) -> bool:
    """Return whether there is still something to do, or to wait for; where there is no use in waiting, `stopped` says why.

    Args:
        state: What the run knows.
        now: The moment, monotonic seconds.
    """
    state.now = now
    is_busy = state.is_busy
    # An interruption waits for the servers only so long; for the files that are on their way it does.
    if state.now > state.deadline and not is_busy:
        return False
    # A submission whose jobs others do is followed as long as its worker takes part.
    if is_busy or any(
        each.is_active and (each.waits_for or state.workers[each.worker].stage == "up") for each in state.submissions.values()
    ):
        state.stuck_since = None
        return True
    if state.waiting.waits and may_begin(state):
        state.stopped = _hopeless(state)
        return state.stopped is None
    return False


def _hopeless(state: RunState) -> ComfyRunnerError | None:
    """Return why there is no use in waiting for work to be done: nobody has done any for too long; None while there is."""
    out = [worker for worker in state.workers.values() if worker.stage == "out"]
    state.stuck_since = state.now if state.stuck_since is None else state.stuck_since
    if out and state.now - state.stuck_since <= state.policy.timeouts_with(1).outage:
        return None
    reasons = [worker.reason for worker in out if worker.reason]
    if not reasons:
        return ServerError("no server is left that can do the waiting jobs", hint="add one: comfy-runner fleet add RUN URL")
    problems = [problem for reason in reasons for problem in reason.problems]
    return (type(reasons[0]) if isinstance(reasons[0], ServerError) else ServerError).of(problems)
