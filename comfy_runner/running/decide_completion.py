"""How jobs end: recorded, tried again, or passed on to the jobs that get their pictures.

Like all of `decide`: functions that change the state and yield what is to be done, without any I/O. A function that yields actions
does nothing until they are taken: `yield from` it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence

from comfy_runner.engine.reports import Collected
from comfy_runner.engine.submission import Attempt
from comfy_runner.engine.verdict import Conclusion, Verdict
from comfy_runner.errors import ComfyRunnerError, FlatPicture, Interrupted, JobLost, RunFolderError, ServerError, ServerRefused
from comfy_runner.retry import Remedy, Retry
from comfy_runner.running.actions import Action, Emit, Forget, Settle, Share
from comfy_runner.running.events import JobFinished, JobResult, JobRetried
from comfy_runner.running.failure_messages import naming
from comfy_runner.running.in_flight import Files, Tracked
from comfy_runner.running.messages import Shared
from comfy_runner.running.state import RunJob, RunState
from comfy_runner.store.states import Change, State, after

Actions = Iterator[Action]


def errors_of(done: Collected) -> list[ComfyRunnerError]:
    """Return all that went wrong with a job, what the server said first."""
    return [error for error in (done.error, *done.errors) if error is not None]


def unreachable(done: Collected) -> ComfyRunnerError | None:
    """Return why the pictures of a job could not be had, or kept, although the server may still have them; None for other ends."""
    return next((error for error in errors_of(done) if isinstance(error, RunFolderError) or _leaves_open(error)), None)


def _leaves_open(error: ComfyRunnerError) -> bool:
    return isinstance(error, ServerError) and error.leaves_open


def _is_missing(error: ComfyRunnerError) -> bool:
    return isinstance(error, ServerRefused) and error.is_missing


def change_of(done: Collected) -> Change:
    """Return what has happened to a job, told from what was collected of it; `LOST` where it is as if it were never submitted."""
    error = next(iter(errors_of(done)), None)
    if error is None:
        return Change.DONE
    if isinstance(error, JobLost) and not done.files:
        return Change.LOST
    was_interrupted = done.verdict is not None and done.verdict.outcome is Conclusion.INTERRUPTED
    return Change.CANCELLED if was_interrupted else Change.FAILED


# The ledger, and how jobs stand in it


def settle(
    state: RunState,
    job_id: str,
    change: Change,
    *,
    key: str | None = None,
    error: str = "",
    files: Files | None = None,
    done: Collected | None = None,
) -> Generator[Action, None, State]:
    """Write down what has happened to a job that waited, or was on a server; return how it stands now."""
    job = state.jobs[job_id]
    stands = job.state = after(job.state, change)
    job.submission = "" if stands == "pending" else key or job.submission
    seconds, work = (done.seconds, done.work) if done else (None, None)
    yield Settle(job_id, change, key, error, files, seconds, work)
    return stands


def forget(state: RunState, tracked: Tracked) -> Actions:
    """Close a submission that no server has any more; jobs that still wait for it are pending again."""
    unsubmit(state, tracked.key, tracked.all_job_ids)
    yield Forget(tracked.key)


def unsubmit(state: RunState, key: str, job_ids: Iterable[str]) -> None:
    """Note that of these jobs those that wait for a submission are pending again, as the ledger has it from now on."""
    for job in map(state.jobs.__getitem__, job_ids):
        if job.submission == key and job.state == "submitted":
            job.state, job.submission = after(job.state, Change.LOST), ""


# Jobs that wait again


def put_back(state: RunState, job_id: str, *, last: bool = False) -> None:
    """Have a job wait again, before all others or after them; others of its group may have ended."""
    job = state.jobs[job_id]
    if job.draft is not None:
        state.waiting.put_back([job.number], last=last)


def lose(state: RunState, job_id: str, key: str, *, what: str = "") -> Actions:
    """Record that a submission gives nothing for a job, which waits again."""
    yield from settle(state, job_id, Change.LOST, key=key, error=what)
    put_back(state, job_id)


def is_let_go(state: RunState, tracked: Tracked, job_id: str) -> Generator[Action, None, bool]:
    """Return whether a submission that has ended was of what a job is no longer, and have the job as it is now posted."""
    job, key = state.jobs[job_id], tracked.key
    if job.held_by != key:
        return False
    job.held_by = ""
    if tracked.is_outdated and not any(state.jobs[other].held_by == key for other in tracked.all_job_ids):
        yield from forget(state, tracked)
    if job.leader:
        yield from _follow(state, job_id, job.leader)
    elif job.is_due:
        put_back(state, job_id)
    return True


def begins_again(state: RunState, job_id: str, *, reason: str, what: str) -> Generator[Action, None, Attempt | None]:
    """Return how a job is tried again, and tell so; None where it has been tried often enough, or this run does not want it."""
    job = state.jobs[job_id]
    if job.draft is None:
        return None
    attempt = next_attempt(Retry.merged(job.draft.retry, state.policy.retry), job.attempts, reason=reason, what=what)
    if attempt is not None:
        job.attempts = (*job.attempts, attempt)
        yield Emit(JobRetried(job_id, attempt.reason, what))
    return attempt


def tries_again(state: RunState, done: Collected) -> Generator[Action, None, Attempt | None]:
    """Return how a job is tried again after what went wrong, and record that; None where it is not."""
    reason = failure_kind(done.verdict, errors_of(done))
    if not reason or state.jobs[done.job_id].draft is None:
        return None
    what, missing = str(errors_of(done)[0]), [str(error) for error in errors_of(done) if _is_missing(error)]
    if missing and any(attempt.what in missing for attempt in state.jobs[done.job_id].attempts):
        return None  # it was rendered once more, and is gone again: that is no accident
    attempt = yield from begins_again(state, done.job_id, reason=reason, what=what)
    if attempt is not None:
        yield from settle(state, done.job_id, Change.LOST, key=done.key, error=what)
    return attempt


# Retries: none where a server refuses the graph, a node fails of anything but memory, or the user interrupted the job


def failure_kind(verdict: Verdict | None, errors: Sequence[ComfyRunnerError]) -> str:
    """Return the kind of what went wrong, a field of `Retry`; empty for what is never tried again, or where nothing did.

    Args:
        verdict: What the server said; None where it said nothing.
        errors: What was found wrong.
    """
    if any(isinstance(error, JobLost) or _is_missing(error) for error in errors):
        return "server_lost"
    if verdict is not None and verdict.failure is not None and verdict.failure.gpu_is_broken:
        # It is the server that has failed, not the job.
        return "server_lost"
    if (
        verdict is not None
        and verdict.outcome is Conclusion.FAILED
        and verdict.failure is not None
        and verdict.failure.out_of_memory
    ):
        return "out_of_memory"
    if errors and all(isinstance(error, FlatPicture) for error in errors):
        return "flat_picture"
    return ""


def next_attempt(retry: Retry, attempts: Sequence[Attempt], *, reason: str, what: str) -> Attempt | None:
    """Return what to try next, or None where it has been tried as often as it may be.

    Args:
        retry: What may be tried again.
        attempts: What has been tried, by this process.
        reason: The kind of what went wrong, a field of `Retry`; empty for none.
        what: The same for people.
    """
    if not reason:
        return None
    remedy: Remedy = getattr(retry, reason)
    if sum(attempt.reason == reason for attempt in attempts) >= remedy.times:
        return None
    return Attempt(reason, what, remedy.free, remedy.vae_decode or "")


def refuse(job: RunJob, error: ComfyRunnerError) -> ComfyRunnerError:
    """Note why a worker does not take a job; return why none of those that were tried does."""
    job.refusals = (*job.refusals, error)
    return type(error).of(dict.fromkeys(problem for each in job.refusals for problem in each.problems))


# Ends


def end(
    state: RunState,
    job_id: str,
    change: Change,
    error: ComfyRunnerError | None,
    *,
    files: Files,
    key: str | None = None,
    done: Collected | None = None,
) -> Actions:
    """Record how a job has ended, and see to the jobs that get its pictures; with pictures it has not failed but is partial.

    A job that was lost is pending again, and its run ends without it; of an interrupted run it is cancelled: what a server knows
    nothing of is as much gone from it as what was interrupted.
    """
    if change is Change.LOST and not state.is_interrupted:
        yield from settle(state, job_id, change, key=key, error=str(error or ""))
        yield from tell(state, job_id, "failed", state.stopped or error, files=files)
        for follower in state.followers.get(job_id, ()):
            yield from tell(state, follower, "failed", state.stopped or error, files={})
        return
    if state.is_interrupted and (change is Change.LOST or isinstance(error, JobLost)):
        change, error = Change.CANCELLED, state.stopped
    if files and change in (Change.FAILED, Change.CANCELLED):
        change = Change.PARTIAL
    stands = yield from settle(state, job_id, change, key=key, error=str(error or ""), files=files, done=done)
    told = error if error is None or error is state.stopped else naming(job_id, error)
    yield from tell(state, job_id, stands, told, files=files, done=done)
    yield from share(state, job_id)


def tell(
    state: RunState,
    job_id: str,
    stands: State,
    error: ComfyRunnerError | None,
    *,
    files: Files,
    done: Collected | None = None,
) -> Actions:
    """Tell how a job stands at the end of this run, without recording anything; of what it was not asked for nothing is told."""
    job = state.jobs[job_id]
    if job.draft is None:
        return
    paths = {role: tuple(state.folder / record.path for record in records) for role, records in files.items()}
    seconds = done.seconds if done else None
    cached = done.verdict.cached if done and done.verdict else ()
    server = state.submissions[done.key].worker if done else ""
    job.result = JobResult(job_id, stands, paths, error, seconds=seconds, cached_nodes=cached, server=server)
    state.is_flawless &= stands == "done"
    yield Emit(JobFinished(job.result))


def tell_the_rest(state: RunState) -> Actions:
    """Tell of the jobs that were not begun, or that a server kept longer than an interruption waits."""
    for job_id, job in state.jobs.items():
        if job.draft is not None and job.result is None:
            held = (each for each in state.submissions.values() if job_id in each.waits_for)
            files = next((each.reusable.get(job_id, {}) for each in held), {})
            yield from tell(state, job_id, job.state or "pending", _why_left(state, job), files=files)


def _why_left(state: RunState, job: RunJob) -> ComfyRunnerError | None:
    if not job.refusals or not isinstance(state.stopped, ServerError):
        return state.stopped
    # It waited for those that did not come back, because the others would not have it.
    known = [problem for each in (*job.refusals, state.stopped) for problem in each.problems]
    return type(state.stopped).of(dict.fromkeys(known))


# Jobs that get the pictures of others


def share_what_is_there(state: RunState) -> Actions:
    """See to the jobs whose leader is not rendered in this run, because it is done."""
    for leader_id in list(state.followers):
        if state.jobs[leader_id].draft is None:
            yield from share(state, leader_id)


def share(state: RunState, leader_id: str) -> Actions:
    """See to the jobs that get the pictures of one that has ended."""
    for follower in list(state.followers.get(leader_id, ())):
        if not state.jobs[follower].held_by:
            yield from _follow(state, follower, leader_id)


def shared(state: RunState, message: Shared) -> Actions:
    """Record that a job has got the pictures of another one, or find another way where they were gone."""
    state.sharing -= 1
    job_id, leader_id = message.job_id, message.leader_id
    if message.files is not None or message.error is not None:
        change = Change.FAILED if message.error else Change.DONE
        yield from end(state, job_id, change, message.error, files=message.files or {})
        return
    # The first follower that finds out is rendered, and the others wait for that.
    heir = state.heirs.setdefault(leader_id, job_id)
    if heir == job_id:
        state.jobs[job_id].leader = ""
        put_back(state, job_id)
    else:
        state.jobs[job_id].leader = heir
        state.followers.setdefault(heir, []).append(job_id)
        yield from _follow(state, job_id, heir)


def _follow(state: RunState, job_id: str, leader_id: str) -> Actions:
    """Do with a job as its leader was done with, if that has ended."""
    job, leader = state.jobs[job_id], state.jobs[leader_id]
    result = leader.result
    if job.draft is None or (leader.draft is not None and result is None):
        return
    if result is None or result.state in ("done", "partial"):
        error = result.error if result else None
        if not isinstance(error, Interrupted):
            state.sharing += 1
            leader_hash = leader.draft.content_hash if leader.draft else leader.content_hash
            yield Share(job.draft, leader_id, leader_hash, error)
    elif result.state == "failed":
        # It would fail alike.
        yield from end(state, job_id, Change.FAILED, result.error, files={})
