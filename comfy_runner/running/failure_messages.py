"""What is said of a job that went wrong: the node by its title, the recipe's line where there is one, the way out."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_runner.engine.comfyui.advice import advice
from comfy_runner.engine.comfyui.refusal import Complaint
from comfy_runner.engine.comfyui.verdict import Outcome, Verdict
from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.errors import ComfyRunnerError, JobFailed, JobLost, Problem, WorkflowError
from comfy_runner.planning.draft import Draft


class CutShort(JobLost):
    """A job that another one, in the same graph, has ended by its failure."""


def failure(job: SubmittedJob, verdict: Verdict, *, stopped: ComfyRunnerError | None) -> ComfyRunnerError | None:
    """Return why a server did not finish a job; None where it did.

    Args:
        job: The job as it was posted.
        verdict: What the server says, in the node ids of the job's own graph.
        stopped: Why we took the job back, if we did.
    """
    if verdict.outcome is Outcome.SUCCEEDED:
        return None
    if verdict.outcome is Outcome.INTERRUPTED:
        return stopped or JobFailed("was interrupted by somebody", where=job.job_id)
    failure = verdict.failure
    if failure is None:
        return JobFailed("failed on the server, which gives no reason", where=job.job_id)
    node = job.workflow.nodes.get(failure.node)
    title = node.title if node else failure.class_type
    what = f'node "{failure.node}" ({title}, {failure.class_type}) failed: {failure.exception}: {failure.message}'
    return JobFailed(what, where=job.job_id, hint=advice(failure))


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
