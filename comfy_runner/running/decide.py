"""What happens next in a run: pure decisions, one message at a time.

`decide` takes the state of a run, something that has happened, and the moment, and returns what is to be done, in order. It asks
nobody and waits for nobody, so that whole runs can be driven through it without servers, folders or threads. HTTP is the truth:
what engines report here they have read from it, and whatever is about to be done is in the ledger before it is done.
"""

from __future__ import annotations

from dataclasses import replace

from comfy_runner.engine import reports
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.verdict import Conclusion, Verdict
from comfy_runner.errors import Interrupted, JobLost, ServerStuck
from comfy_runner.graph.prices import total
from comfy_runner.planning.costs import spending_refusal
from comfy_runner.running import actions as do
from comfy_runner.running import messages
from comfy_runner.running.actions import Action
from comfy_runner.running.decide_completion import (
    Actions,
    change_of,
    end,
    errors_of,
    forget,
    is_let_go,
    lose,
    put_back,
    share_what_is_there,
    shared,
    tell_the_rest,
    tries_again,
    unreachable,
)
from comfy_runner.running.decide_failures import (
    broken,
    collect,
    drop,
    examined,
    give_up_unread,
    gpu_broke,
    kept_away,
    leave,
    lose_all,
    refused,
    set_aside,
    settled,
)
from comfy_runner.running.decide_names import look_at_names, put_back_alone, render_again
from comfy_runner.running.decide_recovery import claim, forget_done, take_back_jobs, take_up
from comfy_runner.running.decide_workers import add, change_fleet, fill, goes_on, look_again, only_ask_all, open_all, proved
from comfy_runner.running.events import JobPreviewed, JobProgressed, JobSubmitted, JobWaiting
from comfy_runner.running.failure_messages import CutShort
from comfy_runner.running.in_flight import Tracked
from comfy_runner.running.state import RunState, Worker
from comfy_runner.store.states import Change, after

__all__ = ["decide", "goes_on"]


def decide(state: RunState, message: messages.Message, now: float) -> list[Action]:
    """Take what has happened, and return what is to be done about it.

    Args:
        state: What the run knows; it is changed.
        message: What has happened.
        now: When, monotonic seconds.
    """
    state.now = now
    if not isinstance(message, messages.Prepared):
        state.passed_over.clear()
    return list(_decide(state, message))


def _decide(state: RunState, message: messages.Message) -> Actions:
    match message:
        case messages.Begin(left, cancel):
            if cancel is not None:
                _stop(state, cancel)
                only_ask_all(state)
            else:
                yield from open_all(state)
            for each in left:
                yield from take_up(state, each)
            yield from share_what_is_there(state)
        case messages.Finish():
            yield from _finish(state)
            return
        case messages.Cancel():
            yield from _cancel(state, message)
        case messages.Prepared():
            yield from _prepared(state, message)
        case reports.Collected():
            yield from _collected(state, message)
        case reports.Freed(job_id):
            state.freeing -= 1
            put_back(state, job_id)
        case messages.Shared():
            yield from shared(state, message)
        case messages.Examined():
            yield from examined(state, message)
        case messages.FleetChange():
            yield from change_fleet(state, message)
        case messages.Joined(candidate):
            yield from add(state, candidate)
        case messages.Tick():
            pass
        case _:
            tracked = state.submissions.get(message.key)
            # Otherwise it was given up meanwhile.
            if tracked is not None and tracked.is_active:
                yield from _reported(state, tracked, message)
    yield from look_again(state)
    yield from fill(state)


# Submitting


def _prepared(state: RunState, message: messages.Prepared) -> Actions:
    """Record jobs as submitted, and have them posted; see to those that need not be."""
    state.is_preparing = False
    worker = state.workers[message.worker]
    for found in message.settled:
        yield from settled(state, worker, found)
    ready = message.ready
    if len(ready) > 1 and any(state.names_files(found.job.workflow) for found in ready):
        # In one graph they would write the same files.
        put_back_alone(state, [found.job.job_id for found in ready[1:]])
        ready = ready[:1]
    if not ready:
        return
    price = total(found.price for found in ready if found.price is not None)
    if (refusal := spending_refusal(price, spent=state.spent, limit=state.policy.max_cost)) is not None:
        for each in ready:
            yield from end(state, each.job.job_id, Change.FAILED, refusal, files=each.reusable)
        return
    state.spent += price.high
    submission = Submission.of(message.key, [found.job for found in ready])
    left_out = {found.job.job_id: found.left_out for found in ready if found.left_out is not None}
    reusable = {found.job.job_id: found.reusable for found in ready}
    tracked = Tracked.of(submission, worker.name, "posted", reusable=reusable, left_out=left_out)
    state.follow(tracked)
    state.posted(tracked)
    for job in map(state.jobs.__getitem__, submission.job_ids):
        job.state, job.submission = after(job.state, Change.SUBMITTED), message.key
    yield do.Record(submission, worker.url, price.high)
    yield do.Submit(worker.name, submission)


# What workers report


def _reported(state: RunState, tracked: Tracked, report: reports.SubmissionReport) -> Actions:
    worker = state.workers[tracked.worker]
    match report:
        case reports.Submitted(_, prompt_id):
            yield from _submitted(state, tracked, prompt_id)
        case reports.Finished(_, verdict):
            yield from _finished(state, worker, tracked, verdict)
        case reports.Refused(_, complaints):
            yield from refused(state, tracked, complaints)
        case reports.Cancelled():
            yield from _cancelled(state, tracked)
        case reports.Broken(_, error):
            yield from broken(state, tracked, error)
        case _:
            yield from _progressed(state, tracked, report)
            return
    if state.is_interrupted:
        yield from _take_back(state, worker)


def _submitted(state: RunState, tracked: Tracked, prompt_id: str) -> Actions:
    """Its worker has it."""
    tracked.is_confirmed = True
    if prompt_id != tracked.key:
        tracked.prompt_id = prompt_id
        yield do.Accept(tracked.key, prompt_id)
    if tracked.stage == "sought":
        tracked.stage = "posted"
        wanted = not tracked.is_outdated and (tracked.waits_for or (yield from take_back_jobs(state, tracked)))
        if not wanted and not state.is_interrupted:
            yield do.CancelOn(tracked.worker, (tracked.key,))
    for job_id in _told_of(state, tracked):
        yield do.Emit(JobSubmitted(job_id, tracked.prompt_id, tracked.worker))


def _progressed(state: RunState, tracked: Tracked, report: reports.SubmissionReport) -> Actions:
    match report:
        case reports.Waiting(_, ahead):
            for job_id in _told_of(state, tracked):
                yield do.Emit(JobWaiting(job_id, ahead))
        case reports.CachedNodes(_, nodes):
            tracked.progress.cached(nodes)
        case reports.NodeProgress(_, node_id, step, steps):
            tracked.progress.at(node_id, step, steps)
            # A node that several jobs share is told of once.
            job_id = tracked.submission.job_of(node_id)
            # Of what was given to another worker, that one tells.
            if job_id and state.jobs[job_id].draft is not None and tracked.waits_for:
                title = tracked.submission.workflow.nodes[node_id].title
                yield do.Emit(JobProgressed(job_id, title, step, steps, tracked.progress.fraction))
        case reports.NodePreview(_, node_id, image):
            job_id = tracked.submission.job_of(node_id)
            if job_id and state.jobs[job_id].draft is not None and tracked.waits_for:
                yield do.Emit(JobPreviewed(job_id, image))
        case reports.TakenInPart(_, complaints):
            tracked.complaints = complaints


def _told_of(state: RunState, tracked: Tracked) -> list[str]:
    return [job.job_id for job in tracked.jobs if state.jobs[job.job_id].draft is not None]


def _finished(state: RunState, worker: Worker, tracked: Tracked, verdict: Verdict) -> Actions:
    """Collect what a worker has finished, and count on it more, or less."""
    succeeded = verdict.outcome is Conclusion.SUCCEEDED
    state.stats.ran(tracked.submission.workflow, verdict)
    doubtful = look_at_names(state, tracked, verdict)
    if not tracked.waits_for and succeeded and not doubtful:
        yield from claim(state, tracked)
    leave(state, tracked, measured=succeeded and not tracked.is_attached)
    if not tracked.submission.jobs:
        yield from give_up_unread(state, tracked)
    elif not tracked.waits_for:
        drop(state, tracked)
        yield from forget(state, tracked)
    elif tracked.is_released and verdict.outcome is Conclusion.INTERRUPTED and state.stopped is None:
        # By us, when its worker was out of order.
        drop(state, tracked)
        yield from lose_all(state, tracked)
    elif doubtful and succeeded:
        drop(state, tracked)
        yield from render_again(state, tracked, doubtful, is_cached=any(node_id in verdict.cached for node_id in doubtful))
    else:
        known = {node_id: files for node_id, files in verdict.files.items() if node_id not in doubtful}
        yield from collect(tracked, replace(verdict, files=known), state.stopped)
    if verdict.failure is not None and verdict.failure.gpu_is_broken:
        yield from gpu_broke(state, worker, tracked)
    else:
        proved(state, worker)


def _cancelled(state: RunState, tracked: Tracked) -> Actions:
    """It is gone from its worker because we asked for that."""
    if not tracked.submission.jobs:
        yield from give_up_unread(state, tracked)
        return
    drop(state, tracked)
    if not tracked.waits_for:
        yield from forget(state, tracked)
    for job_id in tracked.job_ids:
        if not (yield from is_let_go(state, tracked, job_id)):
            files = tracked.reusable.get(job_id, {})
            yield from end(state, job_id, Change.CANCELLED, state.stopped, key=tracked.key, files=files)


# What was collected


def _collected(state: RunState, done: reports.Collected) -> Actions:
    tracked = state.submissions[done.key]
    tracked.waits_for.discard(done.job_id)
    if not (yield from is_let_go(state, tracked, done.job_id)):
        yield from _ended(state, tracked, done)
    if not tracked.waits_for:
        if tracked.unreachable:
            yield from set_aside(state, tracked)
        else:
            del state.submissions[done.key]


def _ended(state: RunState, tracked: Tracked, done: reports.Collected) -> Actions:
    away = unreachable(done)
    if away is not None:
        yield from kept_away(state, tracked, done, away)
    elif state.stopped is None and isinstance(done.error, JobLost if tracked.is_released else CutShort):
        # That its worker was out of order has been counted when it was.
        yield from lose(state, done.job_id, done.key)
    else:
        attempt = (yield from tries_again(state, done)) if state.stopped is None else None
        if attempt is None:
            change = change_of(done)
            if change is Change.DONE:
                state.stats.finished(done.job_id, tracked.worker)
            error = next(iter(errors_of(done)), None)
            yield from end(state, done.job_id, change, error, key=done.key, files=done.files, done=done)
        elif attempt.freed:
            state.freeing += 1
            yield do.Free(tracked.worker, done.job_id)
        else:
            put_back(state, done.job_id)


# The user


def _cancel(state: RunState, message: messages.Cancel) -> Actions:
    """Begin nothing more, and take everything back."""
    if state.is_interrupted:
        return
    _stop(state, message)
    yield do.StopWaiting()
    for worker in state.workers.values():
        yield from _take_back(state, worker)


def _stop(state: RunState, cancel: messages.Cancel) -> None:
    state.stopped = Interrupted(cancel.what, hint="run the same command again to continue")
    state.deadline = state.now + cancel.seconds


def _take_back(state: RunState, worker: Worker) -> Actions:
    """Take back what a worker has: all at once, or it would begin what waits when what runs is interrupted.

    Not before it is known what it has: what it does not know may have left its files there.
    """
    held = list(state.held_by(worker.name))
    keys = tuple(tracked.key for tracked in held if not tracked.is_cancelled)
    if keys and not any(tracked.stage == "sought" for tracked in held):
        for tracked in held:
            tracked.is_cancelled = True
        yield do.CancelOn(worker.name, keys)


def _finish(state: RunState) -> Actions:
    """Tell of what is left."""
    if state.is_interrupted:
        for worker in state.workers.values():
            if count := sum(1 for _ in state.held_by(worker.name)):
                what = f"does not let go of {count} of our prompts"
                hint = "it may be loading a model, which cannot be interrupted: run the same command again"
                state.kept.append(ServerStuck(what, where=worker.url, hint=hint))
    yield from forget_done(state)
    yield from tell_the_rest(state)
