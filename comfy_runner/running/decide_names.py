"""Whose a file is whose name does not say that: of savers with a fixed file name, or the time as one, the next job's replaces it.

A submission with such an output has nothing of ours behind it on its server until its files are here (`RunState.names_files`). What
was posted otherwise, since nobody knew, is rendered again. Whose a file is that somebody else has overwritten is not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from comfy_runner.engine.verdict import Verdict
from comfy_runner.errors import JobLost
from comfy_runner.running.actions import Free
from comfy_runner.running.decide_completion import Actions, begins_again, end, is_let_go, lose, put_back, settle
from comfy_runner.running.in_flight import Tracked
from comfy_runner.running.state import RunState
from comfy_runner.store.states import Change


def look_at_names(state: RunState, tracked: Tracked, verdict: Verdict) -> frozenset[str]:
    """Return the nodes of a submission whose files may be another job's, and remember which classes name files by themselves.

    They are another's if something was posted after it, or is in the same graph, or if the server has not run the node again: then
    the file is what the node has written once, or what another one has written since.
    """
    submission = tracked.submission
    unmarked: set[str] = set()
    learnt = set[str]()
    for job, ids in zip(submission.jobs, submission.ids, strict=True):
        for node_id in job.workflow.collected.values():
            node, posted = job.workflow.nodes[node_id], ids[node_id]
            if not all(job.owns(node_id, file) for file in verdict.files.get(posted, ())):
                unmarked.add(posted)
                learnt |= set() if node.names_its_files else {node.class_type}
    if not unmarked:
        return frozenset()
    tracked.names_files = True
    if learnt - state.naming:
        state.naming |= learnt
        for other in state.submissions.values():
            other.names_files |= state.names_files(other.submission.workflow)
    if tracked.is_followed or len(submission.jobs) > 1:
        return frozenset(unmarked)
    return frozenset(unmarked.intersection(verdict.cached))


def put_back_alone(state: RunState, job_ids: Iterable[str]) -> None:
    """Have jobs wait again, before all others, each to be posted in a graph of its own."""
    for job_id in reversed(list(job_ids)):
        state.jobs[job_id].is_alone = True
        put_back(state, job_id)


def render_again(state: RunState, tracked: Tracked, doubtful: Collection[str], *, is_cached: bool) -> Actions:
    """Have the jobs of a submission rendered again whose files may be others', alone and with nothing behind them.

    Args:
        state: What the run knows.
        tracked: The submission, which is held no more.
        doubtful: The nodes whose files these are.
        is_cached: Whether the server would not run the nodes again: then it is to forget what it has.
    """
    nodes = tracked.submission.workflow.nodes
    named = ", ".join(f'"{node_id}" ({nodes[node_id].class_type})' for node_id in sorted(doubtful))
    hint = "have it save under a filename_prefix of ours, or have SaveImage save the same picture"
    for job_id in reversed(tracked.job_ids):
        job = state.jobs[job_id]
        job.is_alone = True
        if (yield from is_let_go(state, tracked, job_id)):
            continue
        error = JobLost(
            f"the names of its files are chosen by the node {named}: the file there may be another job's", where=job_id, hint=hint
        )
        is_wanted = state.stopped is None and job.draft is not None
        if is_wanted and (yield from begins_again(state, job_id, reason="server_lost", what=str(error))) is None:
            yield from end(state, job_id, Change.FAILED, error, key=tracked.key, files=tracked.reusable.get(job_id, {}))
        elif is_wanted and is_cached:
            yield from settle(state, job_id, Change.LOST, key=tracked.key, error=str(error))
            state.freeing += 1
            yield Free(tracked.worker, job_id)
        else:
            yield from lose(state, job_id, tracked.key, what=str(error))
