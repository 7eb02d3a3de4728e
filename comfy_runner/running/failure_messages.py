"""What is said of a job that went wrong: the node by its title, the recipe's line where there is one, the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from comfy_runner.engine.interface import JobToCollect
from comfy_runner.engine.reports import Complaint
from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.engine.verdict import Conclusion, Verdict
from comfy_runner.errors import ComfyRunnerError, InputError, JobFailed, JobLost, Problem, WorkflowError
from comfy_runner.planning.draft import Draft
from comfy_runner.running.in_flight import Tracked


class CutShort(JobLost):
    """A job that another one, in the same graph, has ended by its failure."""


def jobs_to_collect(tracked: Tracked, verdict: Verdict | None, *, error: ComfyRunnerError | None) -> tuple[JobToCollect, ...]:
    """Return the jobs of an ended submission whose files are wanted, each with why the engine did not finish it.

    Args:
        tracked: The submission.
        verdict: What the engine says of it; None where it has forgotten it.
        error: Why we took it back, if we did; where there is no verdict, why there is none.
    """
    found = []
    for number, job in enumerate(tracked.submission.jobs):
        if job.job_id in tracked.waits_for:
            why = error if verdict is None else _why(tracked, job, tracked.submission.verdict_on(number, verdict), error)
            found.append(JobToCollect(job.job_id, tracked.reusable[job.job_id], why))
    return tuple(found)


def _why(tracked: Tracked, job: SubmittedJob, verdict: Verdict, stopped: ComfyRunnerError | None) -> ComfyRunnerError | None:
    if tracked.submission.is_cut_short(verdict):
        return CutShort("was ended because another job of its graph failed", where=job.job_id)
    known = tracked.left_out.get(job.job_id)
    return failure(job, verdict, stopped=stopped) or left_out(job.job_id, tracked.complaints, known)


def failure(job: SubmittedJob, verdict: Verdict, *, stopped: ComfyRunnerError | None) -> ComfyRunnerError | None:
    """Return why a server did not finish a job; None where it did.

    Args:
        job: The job as it was posted.
        verdict: What the server says, in the node ids of the job's own graph.
        stopped: Why we took the job back, if we did.
    """
    if verdict.outcome is Conclusion.SUCCEEDED:
        return None
    if verdict.outcome is Conclusion.INTERRUPTED:
        return stopped or JobFailed("was interrupted by someone else", where=job.job_id)
    failure = verdict.failure
    if failure is None:
        return JobFailed("failed on the server, which gave no reason", where=job.job_id)
    node = job.workflow.nodes.get(failure.node)
    title = node.title if node else failure.class_type
    what = f'node "{failure.node}" ({title}, {failure.class_type}) failed: {failure.exception}: {failure.message}'
    return JobFailed(what, where=job.job_id, hint=failure.hint)


def naming(job_id: str, error: ComfyRunnerError) -> ComfyRunnerError:
    """Return an error that names its job: at the end of a run, a server's URL alone tells nobody which job it is about.

    What names the job already, or the line of a recipe, stays as it is.
    """
    if isinstance(error, InputError) or re.search(rf"(?<![\w-]){re.escape(job_id)}(?![\w-])", str(error)):
        return error
    return error.at(lambda where: f"{job_id}, {where}" if where else job_id)


def left_out(job_id: str, complaints: Sequence[Complaint], known: ComfyRunnerError | None) -> ComfyRunnerError | None:
    """Return what is missing of a job that was allowed to be partial; None where nothing is."""
    reasons = [*([known.problems[0].what.removeprefix("left out: ")] if known else []), *map(str, complaints)]
    return JobFailed(f"left out: {'; '.join(reasons)}", where=job_id) if reasons else None


def refusal(draft: Draft | None, job_id: str, complaints: Sequence[Complaint], url: str) -> ComfyRunnerError:
    """Return why a server took nothing of a job, each complaint at the recipe's line that it is about."""
    planned = draft.planned() if draft else None
    problems = [
        Problem(str(complaint), (planned.locate(complaint.node, complaint.input) if planned else "") or f"{url}: {job_id}")
        for complaint in complaints
    ]
    return WorkflowError.of(problems or [Problem("the server refuses the workflow", f"{url}: {job_id}")])
