"""Submissions that a worker may still hold although nobody followed them: of earlier processes, and orphans.

An orphan is a submission whose worker is out of order, so that its jobs were given to others. When that worker answers again, what
it has finished is collected, unless another one was quicker; what it has not is taken back from it, or goes on there if nobody else
has begun.
"""

from __future__ import annotations

from collections.abc import Generator

from comfy_runner.engine.submission import Submission, SubmittedJob
from comfy_runner.running.actions import Action, Attach, CancelOn, Forget, Release, Retake
from comfy_runner.running.decide_completion import Actions, forget, is_let_go, put_back, unsubmit
from comfy_runner.running.in_flight import Left, Tracked
from comfy_runner.running.state import RunState, Worker
from comfy_runner.store.states import Change, after

# What earlier processes have left


def take_up(state: RunState, left: Left) -> Actions:
    """Follow a submission that an earlier process has left, as if it were our own, or close it where it gives nothing any more."""
    tracked = _left(state, left)
    if tracked is None:
        unsubmit(state, left.key, left.job_ids)
        yield Forget(left.key)
        for job_id in left.job_ids:
            put_back(state, job_id)
        return
    state.follow(tracked)
    # Only what is known to name its files was posted with nothing behind it.
    tracked.is_followed = not tracked.names_files
    worker = state.workers[tracked.worker]
    if worker.stage == "up":
        yield from _seek(state, tracked)
        return
    # Others do these jobs, unless it answers before they have.
    tracked.stage = "orphan"
    for job_id in reversed((yield from release(state, tracked))):
        put_back(state, job_id)


def _left(state: RunState, left: Left) -> Tracked | None:
    """Return a submission as it is to be followed; None where there is nothing to follow."""
    # A server that does not take part may be one that does, under another name or port.
    worker = state.by_url(left.server) or next(worker for worker in state.workers.values() if worker.stage == "up")
    prompt_id = left.server_prompt_id or left.key
    if left.submission is None:
        # Nobody can tell any more what it was: it is taken back from the server, and its jobs are done anew.
        unread = Tracked.of(
            Submission.unknown(left.key),
            worker.name,
            "sought",
            reusable={},
            waits_for=left.job_ids,
            prompt_id=prompt_id,
        )
        unread.is_outdated = True
        return unread
    jobs = {job.job_id: job.content_hash for job in left.submission.jobs}
    as_posted = {job_id for job_id, content_hash in jobs.items() if state.jobs[job_id].content_hash == content_hash}
    missing = {job_id for job_id in jobs if job_id not in as_posted or state.jobs[job_id].state != "done"}
    # Others were given these since, because its worker was out of order: it is asked all the same, for it may have finished them.
    given_away = (missing & as_posted).difference(left.job_ids)
    waits_for = missing - given_away
    if not missing:
        return None
    tracked = Tracked.of(left.submission, worker.name, "sought", reusable=left.reusable, waits_for=waits_for, prompt_id=prompt_id)
    tracked.is_outdated = not left.job_ids and not given_away
    # A job that has changed since is not posted anew before what it was is gone from the server, or collected: both would
    # write the same files.
    for job_id in waits_for.difference(left.job_ids):
        state.jobs[job_id].held_by = left.key
    return tracked


def _seek(state: RunState, tracked: Tracked) -> Actions:
    """Ask a worker whether it has a submission."""
    tracked.stage, tracked.is_attached = "sought", True
    state.posted(tracked)
    server_prompt_id = tracked.prompt_id if tracked.prompt_id != tracked.key else ""
    yield Attach(tracked.worker, tracked.submission, server_prompt_id)


# Orphans


def release(state: RunState, tracked: Tracked) -> Generator[Action, None, list[str]]:
    """Give the jobs of a submission to others; return those that wait again, in their order."""
    jobs = tracked.job_ids
    for job_id in tracked.job_ids:
        if (yield from is_let_go(state, tracked, job_id)):
            jobs.remove(job_id)
    if jobs:
        unsubmit(state, tracked.key, tracked.all_job_ids)
        yield Release(tracked.key)
    tracked.waits_for.clear()
    tracked.is_released = True
    return jobs


def follow_on(state: RunState, worker: Worker) -> Actions:
    """Go on with what a worker still follows that answers again: it was not silent for long enough to give that up."""
    for tracked in [each for each in state.held_by(worker.name) if each.is_released]:
        state.posted(tracked)
        if not (tracked.waits_for or (yield from take_back_jobs(state, tracked))):
            yield CancelOn(worker.name, (tracked.key,))


def seek_orphans(state: RunState, worker: Worker) -> Actions:
    """Ask a worker that answers for what it may still have."""
    for tracked in state.orphans_of(worker.name):
        # Nobody else begins with them before it is known whether they are there.
        yield from take_back_jobs(state, tracked)
        yield from _seek(state, tracked)


def take_back_jobs(state: RunState, tracked: Tracked) -> Generator[Action, None, list[str]]:
    """Have the jobs of an orphan done by its worker after all, as far as they still wait; return them."""
    jobs = [job.job_id for job in tracked.submission.jobs if _stops_waiting(state, job)]
    yield from _own(state, tracked, jobs)
    return jobs


def claim(state: RunState, tracked: Tracked) -> Actions:
    """Take what an orphan has finished, as far as nobody else has, and take back from others what is in vain now."""
    claimed: list[str] = []
    in_vain: list[Tracked] = []
    for job in tracked.submission.jobs:
        known = state.jobs[job.job_id]
        if _stops_waiting(state, job) or _is_nobodys(state, job):
            claimed.append(job.job_id)
            continue
        others = (each for each in state.submissions.values() if each is not tracked and job.job_id in each.waits_for)
        other = next(others, None)
        if other is not None and other.is_active and known.is_still(job.content_hash):
            claimed.append(job.job_id)
            other.waits_for.discard(job.job_id)
            in_vain += [] if other.waits_for else [other]
    yield from _own(state, tracked, claimed)
    for other in in_vain:
        yield CancelOn(other.worker, (other.key,))


def forget_done(state: RunState) -> Actions:
    """Close the orphans of workers that did not come back, where nothing of them is missing."""
    for tracked in state.submissions.values():
        if not tracked.waits_for and all(state.jobs[job_id].state == "done" for job_id in tracked.submission.job_ids):
            yield from forget(state, tracked)


def _own(state: RunState, tracked: Tracked, job_ids: list[str]) -> Actions:
    """Have jobs wait for a submission."""
    if not job_ids:
        return
    tracked.waits_for.update(job_ids)
    for job in map(state.jobs.__getitem__, job_ids):
        pending = after(job.state, Change.LOST) if job.state == "submitted" else job.state
        job.state, job.submission = after(pending, Change.SUBMITTED), tracked.key
    yield Retake(tracked.key, tuple(job_ids))


def _stops_waiting(state: RunState, job: SubmittedJob) -> bool:
    """Take a job out of those that wait; return whether it was there, and is what was posted."""
    known = state.jobs[job.job_id]
    return known.is_still(job.content_hash) and state.waiting.remove(known.number)


def _is_nobodys(state: RunState, job: SubmittedJob) -> bool:
    """Return whether a job is pending that this run was not asked for."""
    known = state.jobs[job.job_id]
    return known.draft is None and known.state == "pending" and known.content_hash == job.content_hash
