"""The beginning of a run: the plan held against the folder and the servers, written to the ledger, then the coordinator."""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from comfy_runner.check.expected import Expected
from comfy_runner.collect.reformat import reformat
from comfy_runner.engine.interface import EngineSupply
from comfy_runner.engine.submission import Submission
from comfy_runner.errors import ComfyRunnerError, Note
from comfy_runner.planning.arrange import Arrangement, arrange
from comfy_runner.planning.costs import job_prices, refuse_costly
from comfy_runner.planning.draft import Draft, Plan
from comfy_runner.planning.estimate import earlier_speeds, fitting_speed
from comfy_runner.planning.first_guess import guessed_pace
from comfy_runner.planning.passes import own_work
from comfy_runner.planning.survey import plan_rows, survey
from comfy_runner.running.candidates import Candidate, Examiner, hold_against
from comfy_runner.running.coordinator import Coordinator
from comfy_runner.running.events import RunStarted
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.running.state import Work
from comfy_runner.scheduling.backlog import Costs
from comfy_runner.store.control_files import clear_requests
from comfy_runner.store.ledger_rows import JobUpdate, OpenSubmission
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import UNREADABLE
from comfy_runner.store.states import Change
from comfy_runner.wording import counted


def begin(
    plan: Plan,
    chosen: frozenset[str],
    folder: RunFolder,
    *,
    supply: EngineSupply,
    force: bool,
    policy: Policy,
    expected: Mapping[str, Expected] = MappingProxyType({}),
    expect: Callable[[Sequence[Draft]], None] | None = None,
) -> Run:
    """Begin a run.

    Args:
        plan: All jobs of its recipes.
        chosen: The ids of those that are to be done now.
        folder: The run folder, locked.
        supply: Where its engines come from; asked only if something has to be rendered. The run closes it at its end, and the
            caller where none begins.
        force: Whether jobs that are done are rendered again.
        policy: How to treat the servers.
        expected: What is expected of each job of the plan, by its id.
        expect: Called with the jobs that are not done before the supply is asked; None for nothing.

    Raises:
        InputError: All servers would refuse a job.
        ServerError: No server can be used.
        RunFolderError: The folder cannot be used.
    """
    _retake_given_away(folder)
    if not force:
        reformat(folder, [draft for draft in plan.drafts if draft.job_id in chosen])
    surveyed = survey(plan.drafts, folder, folder.ledger, forced=chosen if force else ())
    jobs = tuple(draft.job_id for draft in plan.drafts if draft.job_id in chosen)
    todo = [draft for draft in plan.drafts if draft.job_id in chosen and draft.job_id not in surveyed.done]
    folder.require_space(sum(draft.space_needed for draft in todo))
    waiting = folder.ledger.open_submissions()
    if expect is not None:
        expect(todo)
    candidates = list(map(Candidate.of, supply.connect())) if todo or waiting else []
    arrangement = arrange(plan, chosen, surveyed, ledger=folder.ledger, force=force)
    shared = [draft for drafts in arrangement.shared.values() for draft in drafts]
    examiner = Examiner([*arrangement.rendered, *arrangement.awaited, *shared], allow_partial=policy.allow_partial)
    notes = dict.fromkeys(plan.notes)
    if candidates:
        candidates = _asked(candidates, examiner, waiting, policy)
        notes |= dict.fromkeys(_checked(candidates, arrangement.rendered))
        known = [each.answer.capabilities for each in candidates if each.answer]
        refuse_costly(job_prices(arrangement.rendered, known).values(), spent=folder.ledger.spent(), limit=policy.max_cost)
    clear_requests(folder.path)
    rows = plan_rows(plan.drafts, arrangement.leaders, surveyed.requeued)
    folder.ledger.write_plan(rows, recipes={draft.recipe_name for draft in plan.drafts})
    folder.ledger.settle(*(JobUpdate(job_id, Change.DONE, files=folder.rows(files)) for job_id, files in surveyed.found.items()))
    folder.record_plan()
    coordinator = None
    if candidates:
        # Only now: jobs that have changed do not wait for their submissions any more.
        waiting = folder.ledger.open_submissions()
        notes |= dict.fromkeys(_elsewhere(waiting, candidates))
        work = Work(arrangement.groups, plan.steps, arrangement.shared, arrangement.awaited, waiting, is_forced=force)
        speeds = earlier_speeds(folder.path, folder.ledger)
        candidates = [
            replace(candidate, speed=found.pace if (found := fitting_speed(speeds, server=candidate.url, alone=True)) else None)
            for candidate in candidates
        ]
        coordinator = partial(Coordinator, folder, work, candidates=candidates, examiner=examiner, supply=supply, policy=policy)
    for job_id in jobs:
        if job_id in surveyed.again:
            notes[Note(f"is rendered again: {surveyed.again[job_id]}", job_id, "changed")] = None
    used = candidates if todo else []
    costs = _job_work(arrangement, plan.steps) if used else {}
    paces = [candidate.speed for candidate in used if candidate.speed]
    started = RunStarted(
        folder.path,
        used[0].url if used else "",
        jobs,
        len(jobs) - len(todo),
        tuple(notes),
        tuple(candidate.name for candidate in used),
        tuple(round(costs.get(job_id, 0.0), 2) for job_id in jobs) if used else (),
        # Of servers of which nothing is known, the others tell.
        round(sum(costs.values()) / (statistics.fmean(paces) * len(used)), 3) if paces else None,
        None if paces else _guess(used, arrangement, sum(costs.values())),
    )
    its = {job_id: expected[job_id] for job_id in jobs if job_id in expected}
    its_drafts = {draft.job_id: draft for draft in plan.drafts if draft.job_id in chosen}
    return Run(folder, started, coordinator, expected=its, drafts=its_drafts)


def _guess(used: Sequence[Candidate], arrangement: Arrangement, work: float) -> float | None:
    """Return how many seconds a single server may take for some work; None where no published figures tell."""
    answer = used[0].answer if len(used) == 1 else None
    if answer is None or not answer.info.devices:
        return None
    pace = guessed_pace(answer.info.devices[0].name, (draft.filled for draft in arrangement.rendered))
    return round(work / pace.steps, 3) if pace else None


def _job_work(arrangement: Arrangement, steps: Costs) -> dict[str, float]:
    """Return what the jobs cost that servers have to render, or render already, by their ids; weighted steps."""
    work = own_work((draft.steps for draft in arrangement.rendered), steps)
    found = {draft.job_id: cost for draft, cost in zip(arrangement.rendered, work, strict=True)}
    return found | {draft.job_id: own_work([draft.steps], steps)[0] for draft in arrangement.awaited}


def _asked(
    candidates: Sequence[Candidate], examiner: Examiner, waiting: Sequence[OpenSubmission], policy: Policy
) -> list[Candidate]:
    """Return servers with what they say of themselves; at least one has to say something.

    Raises:
        ServerError: None does.
    """
    timeouts = policy.timeouts_with(len(candidates))
    urls = {submission.server for submission in waiting}

    def before(candidate: Candidate) -> None:
        # It may be just being restarted; what it has of ours is worth waiting for.
        if waiting and (len(candidates) == 1 or candidate.url in urls):
            candidate.engine.set_timeouts(timeouts)
            candidate.engine.wait_until_reachable()

    def late(candidate: Candidate) -> float:
        return policy.latecomers + (timeouts.outage if candidate.url in urls else 0.0)

    return examiner.ask_all(candidates, before, late=late)


def _checked(candidates: Sequence[Candidate], rendered: Sequence[Draft]) -> Iterator[Note]:
    """Yield what the servers change of the jobs; of those that do not answer the run tells when it asks them again.

    Raises:
        InputError: There is a job that no server can do.
    """
    count, changes = hold_against(rendered, candidates)
    if count:
        yield Note(f"none of the servers that answer can do {count} of the jobs: they wait for the others")
    yield from changes


def _elsewhere(waiting: Sequence[OpenSubmission], candidates: Sequence[Candidate]) -> Iterator[Note]:
    """Yield what the user should know of submissions to servers that are not asked."""
    asked = next(candidate.url for candidate in candidates if candidate.answer)
    for server in sorted({submission.server for submission in waiting} - {candidate.url for candidate in candidates}):
        count = sum(len(submission.job_ids) for submission in waiting if submission.server == server)
        if not count:
            continue
        what = (
            f"{counted(count, 'job was', 'jobs were')} submitted to {server}, which is not asked now; jobs of which {asked} "
            f"has no pictures are posted {'there ' if len(candidates) == 1 else ''}again"
        )
        yield Note(what, "ledger")


def _retake_given_away(folder: RunFolder) -> None:
    """Have jobs wait for the servers that were given them, which an earlier process had taken back since these did not answer.

    What such a server has finished need not be made again.

    Args:
        folder: The run folder, whose ledger is written.
    """
    for submission in folder.ledger.open_submissions():
        with contextlib.suppress(*UNREADABLE, sqlite3.Error, ComfyRunnerError):
            jobs = Submission.from_text(submission.prompt_id, submission.text).jobs
            rows = [(job, folder.ledger.job(job.job_id)) for job in jobs]
            pending = [job.job_id for job, row in rows if row and (row.state, row.content_hash) == ("pending", job.content_hash)]
            if pending:
                folder.ledger.retake(submission.prompt_id, pending)
