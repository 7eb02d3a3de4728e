"""The beginning of a run: the plan held against the folder and the server, written to the ledger, then the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from comfy_runner.comfyui.about import About
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.comfyui.outage import Outage
from comfy_runner.errors import Note
from comfy_runner.folder.folder import RunFolder
from comfy_runner.folder.rows import End, OpenSubmission
from comfy_runner.folder.states import Event
from comfy_runner.plans.arrange import arrange
from comfy_runner.plans.drafts import Plan
from comfy_runner.plans.fitting import fit_all
from comfy_runner.plans.survey import plan_rows, survey
from comfy_runner.runs.coordinate import Coordinator
from comfy_runner.runs.events import RunStarted
from comfy_runner.runs.policy import Policy
from comfy_runner.runs.prepare import Preparer
from comfy_runner.runs.requests import forget
from comfy_runner.runs.run import Run
from comfy_runner.runs.work import Work
from comfy_runner.workflow.object_info import ObjectInfo


def begin(
    plan: Plan, chosen: frozenset[str], folder: RunFolder, *, connect: Callable[[], ComfyHttp], force: bool, policy: Policy
) -> Run:
    """Begin a run.

    Args:
        plan: All jobs of its recipes.
        chosen: The ids of those that are to be done now.
        folder: The run folder, locked.
        connect: Gives a client for the server; called only if something has to be rendered.
        force: Whether jobs that are done are rendered again.
        policy: How to treat the server.

    Raises:
        InputError: The server would refuse a job.
        ServerError: The server cannot be used.
        RunFolderError: The folder cannot be used.
    """
    surveyed = survey(plan.drafts, folder, folder.ledger, forced=chosen if force else ())
    jobs = tuple(draft.job_id for draft in plan.drafts if draft.job_id in chosen)
    todo = [draft for draft in plan.drafts if draft.job_id in chosen and draft.job_id not in surveyed.done]
    folder.require_space(sum(draft.space_needed for draft in todo))
    waiting = folder.ledger.open_submissions()
    http = connect() if todo or waiting else None
    if http is not None and waiting:
        # It may be just being restarted; what it has of ours is worth waiting for.
        Outage(http, policy.patience).is_over()
    about = About.of(http) if http else None
    fan_out = about is not None and about.cache == "none"
    arrangement = arrange(plan, chosen, surveyed, ledger=folder.ledger, force=force, fan_out=fan_out)
    notes = dict.fromkeys(plan.notes)
    info = ObjectInfo(http.object_info(), source=http.address.url) if http else None
    if info is not None:
        notes |= dict.fromkeys(fit_all(arrangement.rendered, info, allow_partial=policy.allow_partial))
    forget(folder.path)
    rows = plan_rows(plan.drafts, arrangement.leaders, surveyed.requeued)
    folder.ledger.write_plan(rows, recipes={draft.recipe_name for draft in plan.drafts})
    folder.ledger.settle_all(
        End(job_id=job_id, event=Event.DONE, files=tuple(folder.rows(files))) for job_id, files in surveyed.found.items()
    )
    coordinator = None
    if http is not None and about is not None and info is not None:
        preparer = Preparer(folder, info, allow_partial=policy.allow_partial, force=force)
        # Only now: jobs that have changed do not wait for their submissions any more.
        waiting = folder.ledger.open_submissions()
        notes |= dict.fromkeys(_elsewhere(waiting, http.address.url))
        work = Work(arrangement.groups, arrangement.shared, arrangement.awaited, waiting)
        coordinator = partial(Coordinator, folder, work, preparer=preparer, http=http, about=about, policy=policy)
    for job_id in jobs:
        if job_id in surveyed.again:
            notes[Note(f"is rendered again: {surveyed.again[job_id]}", job_id, "changed")] = None
    url = about.url if about and todo else ""
    return Run(folder, RunStarted(folder.path, url, jobs, len(jobs) - len(todo), tuple(notes)), coordinator)


def _elsewhere(waiting: Sequence[OpenSubmission], url: str) -> Iterator[Note]:
    """Yield what the user should know of submissions to servers that are not asked."""
    for server in sorted({submission.server for submission in waiting} - {url}):
        count = sum(len(submission.job_ids) for submission in waiting if submission.server == server)
        what = (
            f"{count} jobs were submitted to {server}, which is not asked now; what {url} has no pictures of is posted there again"
        )
        yield Note(what, "ledger")
