"""What becomes of jobs whose worker refuses them, loses them, or is out of order: others do them, if there are any."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_runner.engine.reports import Collected, Complaint
from comfy_runner.engine.verdict import Verdict
from comfy_runner.errors import BrokenDownload, ComfyRunnerError, JobLost, ServerError, ServerRefused, ServerStuck, Unreachable
from comfy_runner.running.actions import CancelOn, Collect, Emit, Release
from comfy_runner.running.decide_completion import (
    Actions,
    begins_again,
    end,
    forget,
    is_let_go,
    lose,
    put_back,
    refuse,
    tell,
    unsubmit,
)
from comfy_runner.running.decide_recovery import follow_on, release, seek_orphans, take_back_jobs
from comfy_runner.running.decide_workers import absent, join, rest
from comfy_runner.running.events import ServerChanged
from comfy_runner.running.failure_messages import jobs_to_collect, naming, refusal
from comfy_runner.running.in_flight import Tracked
from comfy_runner.running.messages import Examined
from comfy_runner.running.prepare import Settled
from comfy_runner.running.state import RunState, Worker
from comfy_runner.store.states import Change

_BROKEN_GPUS = 2  # jobs running that have failed of it: one may have been the job's fault


def leave(state: RunState, tracked: Tracked, *, measured: bool = False) -> None:
    """Note that a worker has nothing more to do for a submission; `measured` if its time tells how fast the worker is."""
    state.waiting.landed(tracked.worker, tracked.key, state.now, measured=measured)


def drop(state: RunState, tracked: Tracked) -> None:
    """Forget a submission that gives nothing more."""
    leave(state, tracked)
    del state.submissions[tracked.key]


# What a worker does not take


def refused(state: RunState, tracked: Tracked, complaints: Sequence[Complaint]) -> Actions:
    """Have another worker do what one has refused, also one that is waited for; where there is none, the job fails."""
    drop(state, tracked)
    if len(tracked.submission.jobs) > 1:
        # Each is asked for alone, so that what is right is rendered.
        for job_id in tracked.waits_for:
            state.jobs[job_id].is_alone = True
        yield from lose_all(state, tracked)
        return
    url = state.workers[tracked.worker].url
    for job_id in tracked.job_ids:
        error = refusal(state.jobs[job_id].draft, job_id, complaints, url)
        yield from _fail_or_try_elsewhere(state, tracked, job_id, error)


def settled(state: RunState, worker: Worker, found: Settled) -> Actions:
    """Record the end of a job that need not be posted; what a worker cannot do another one does, if there is one."""
    if found.change is Change.FAILED and found.error is not None and _is_for_others(state, worker.name, found.job_id):
        refuse(state.jobs[found.job_id], found.error)
        put_back(state, found.job_id)
    else:
        yield from end(state, found.job_id, found.change, found.error, files=found.files)


def _fail_or_try_elsewhere(state: RunState, tracked: Tracked, job_id: str, error: ComfyRunnerError) -> Actions:
    job = state.jobs[job_id]
    if state.stopped is None and job.draft is not None and not state.is_single:
        if _is_for_others(state, tracked.worker, job_id):
            refuse(job, error)
            yield from lose(state, job_id, tracked.key, what=str(error))
            return
        error = refuse(job, error)
    yield from end(state, job_id, Change.FAILED, error, key=tracked.key, files=tracked.reusable.get(job_id, {}))


def _is_for_others(state: RunState, name: str, job_id: str) -> bool:
    """Return whether anybody else may do what a worker does not take, also one that is waited for."""
    job = state.jobs[job_id]
    if job.draft is None or state.is_single:
        return False
    state.waiting.refuse(job.number, name)
    return state.waiting.others_can(job.number, absent(state))


def lose_all(state: RunState, tracked: Tracked) -> Actions:
    """Have the jobs of a submission wait again that gives nothing."""
    for job_id in reversed(tracked.job_ids):
        yield from lose(state, job_id, tracked.key)


# What a worker has lost, and workers that are out of order


def broken(state: RunState, tracked: Tracked, error: ComfyRunnerError) -> Actions:
    """See to a submission of which nothing more can be learnt from its worker."""
    if isinstance(error, JobLost):
        yield from _lost(state, tracked, error)
    elif isinstance(error, ServerError) and not state.is_single:
        yield from _broken_in_fleet(state, tracked, error)
    else:
        yield from _broken_alone(state, tracked, error)


def _lost(state: RunState, tracked: Tracked, error: JobLost) -> Actions:
    """Look for the files of a submission that its server has forgotten."""
    if not tracked.submission.jobs:
        yield from give_up_unread(state, tracked)
    elif tracked.waits_for or (yield from take_back_jobs(state, tracked)):
        leave(state, tracked)
        tracked.is_recovered = True
        yield from collect(tracked, None, error)
    else:
        drop(state, tracked)
        yield from forget(state, tracked)


def give_up_unread(state: RunState, tracked: Tracked) -> Actions:
    """Close a submission of which nobody can tell what it was, and do its jobs anew, unless the run ends."""
    drop(state, tracked)
    for job_id in tracked.job_ids:
        if state.is_interrupted:
            yield from end(state, job_id, Change.CANCELLED, state.stopped, key=tracked.key, files={})
        else:
            yield from lose(state, job_id, tracked.key)
    yield from forget(state, tracked)


def collect(tracked: Tracked, verdict: Verdict | None, error: ComfyRunnerError | None) -> Actions:
    """Have the files of a submission collected that its worker has nothing more to do for."""
    tracked.stage = "collecting"
    jobs = jobs_to_collect(tracked, verdict, error=error)
    yield Collect(tracked.worker, tracked.submission, verdict, jobs, tracked.prompt_id)


def _broken_alone(state: RunState, tracked: Tracked, error: ComfyRunnerError) -> Actions:
    drop(state, tracked)
    if isinstance(error, ServerError):
        # It may well be there, and run: the next process asks for it.
        state.stopped = state.stopped or error
        state.kept.append(error)
    for job_id in tracked.job_ids:
        files = tracked.reusable.get(job_id, {})
        if isinstance(error, ServerError):
            # What was never taken is not there, unless nobody could be asked; what a dead server has is lost with it.
            may_be_there = (tracked.is_confirmed and not isinstance(error, ServerStuck)) or isinstance(error, Unreachable)
            yield from tell(state, job_id, "submitted" if may_be_there else "partial" if files else "failed", error, files=files)
        elif not (yield from is_let_go(state, tracked, job_id)):
            yield from end(state, job_id, Change.FAILED, error, key=tracked.key, files=files)


def _broken_in_fleet(state: RunState, tracked: Tracked, error: ServerError) -> Actions:
    if isinstance(error, ServerRefused) and error.status < 500 and not error.leaves_open:
        drop(state, tracked)
        for job_id in tracked.job_ids:
            yield from _fail_or_try_elsewhere(state, tracked, job_id, error)
        return
    worker = state.workers[tracked.worker]
    if worker.stage != "out":
        yield from put_out(state, worker, error)
    # Its jobs have been given to others.
    tracked.stage = "orphan"


def put_out(state: RunState, worker: Worker, error: ComfyRunnerError) -> Actions:
    """Leave a worker alone, and give its jobs to others; where there are none, the run ends."""
    if state.is_single:
        state.stopped = state.stopped or error
        return
    if worker.stage == "draining":
        worker.reason = error
    else:
        worker.stage, worker.reason, worker.gpu_failures = "out", error, 0
        state.waiting.leave(worker.name)
        yield from rest(state, worker, error)
    # The one that it was just working on may be what it does not bear; what a dead worker has not begun is not.
    held = list(state.held_by(worker.name))
    for number, tracked in enumerate(held):
        ran = tracked.progress.begun or not isinstance(error, ServerStuck)
        yield from _release(state, tracked, blamed=number == 0 and ran)
    if held and not isinstance(error, Unreachable):
        yield CancelOn(worker.name, tuple(tracked.key for tracked in held))


def _release(state: RunState, tracked: Tracked, *, blamed: bool) -> Actions:
    """Give the jobs of a submission to others."""
    leave(state, tracked)
    for job_id in reversed((yield from release(state, tracked))):
        error = JobLost(f"{tracked.worker} is out of order", where=job_id)
        wanted = state.jobs[job_id].draft is not None
        if blamed and wanted and (yield from begins_again(state, job_id, reason="server_lost", what=str(error))) is None:
            yield from end(state, job_id, Change.FAILED, error, files=tracked.reusable.get(job_id, {}))
        else:
            put_back(state, job_id)


def examined(state: RunState, message: Examined) -> Actions:
    """Count on a worker again that answers, and look for what it may still have."""
    worker = state.workers[message.server]
    worker.is_asked = False
    if worker.stage != "out":
        return
    if message.answer is None:
        worker.reason = message.error
        yield from rest(state, worker, message.error)
        return
    is_new = not worker.failures
    worker.answered(message.answer)
    join(state, worker)
    yield Emit(ServerChanged(worker.name, worker.url, "joined" if is_new else "back"))
    yield from follow_on(state, worker)
    yield from seek_orphans(state, worker)


def gpu_broke(state: RunState, worker: Worker, tracked: Tracked) -> Actions:
    """Rather give jobs that failed of a broken GPU to others, and leave a worker alone where that has happened twice running."""
    worker.gpu_failures += 1
    for job in map(state.jobs.__getitem__, tracked.waits_for):
        if job.draft is not None:
            state.waiting.avoid(job.number, worker.name)
    if worker.gpu_failures >= _BROKEN_GPUS:
        what = f"{_BROKEN_GPUS} jobs in a row have failed because of a broken GPU state"
        error = ServerStuck(what, where=worker.url, hint="restart ComfyUI, then run the same command again")
        yield from put_out(state, worker, error)


# Pictures that a server has, and that could not be had


def kept_away(state: RunState, tracked: Tracked, done: Collected, error: ComfyRunnerError) -> Actions:
    """Leave a job for later whose pictures may be on its server; what cannot be kept must not be rendered."""
    if isinstance(error, BrokenDownload) or state.is_single or state.is_interrupted or not isinstance(error, ServerError):
        # Other files may come whole.
        error = naming(done.job_id, error)
        state.stopped = state.stopped or (None if isinstance(error, BrokenDownload) else error)
        state.kept.append(error)
        yield from tell(state, done.job_id, "submitted", error, files=done.files)
        return
    worker = state.workers[tracked.worker]
    if worker.stage == "up":
        yield from put_out(state, worker, error)
    tracked.unreachable.add(done.job_id)


def set_aside(state: RunState, tracked: Tracked) -> Actions:
    """Have others begin last of all with what a worker has finished: its pictures come back with it."""
    jobs = [job_id for job_id in tracked.submission.job_ids if job_id in tracked.unreachable]
    unsubmit(state, tracked.key, tracked.all_job_ids)
    yield Release(tracked.key)
    tracked.stage, tracked.is_released, tracked.is_recovered = "orphan", True, False
    tracked.unreachable.clear()
    for job_id in jobs:
        put_back(state, job_id, last=True)
    worker = state.workers[tracked.worker]
    if worker.stage == "up":
        yield from seek_orphans(state, worker)
