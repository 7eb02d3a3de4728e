"""A plan looked at for several servers: who would do what, and when it would be done. Nothing is rendered, nothing is written.

Servers are asked as `begin` asks them, all at the same time, but only once; then the policy of a run goes through the jobs in
imagined time. A plan for one server, or for none, is `planning.preview`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comfy_runner.engine.interface import NamedEngine
from comfy_runner.errors import Note
from comfy_runner.graph.decoding import largest_decode
from comfy_runner.planning.arrange import MOST_IN_A_GRAPH
from comfy_runner.planning.capabilities import unsuitable_jobs
from comfy_runner.planning.costs import job_prices
from comfy_runner.planning.draft import Draft, Plan
from comfy_runner.planning.estimate import fitting_speed
from comfy_runner.planning.preview import FolderPreview, preview_folder
from comfy_runner.planning.summary import PlanSummary, ServerShare
from comfy_runner.running.candidates import Answered, Candidate, Examiner, hold_against
from comfy_runner.running.policy import IN_FLIGHT, LATECOMER_SECONDS
from comfy_runner.running.state import backlog_of
from comfy_runner.scheduling.backlog import Costs
from comfy_runner.scheduling.forecast import Entrant, forecast
from comfy_runner.store.ledger_rows import ServerSpeed
from comfy_runner.wording import counted


def preview_fleet(
    plan: Plan,
    chosen: frozenset[str],
    folder: Path | None,
    *,
    connect: Callable[[], Sequence[NamedEngine]],
    force: bool = False,
    allow_partial: bool = False,
) -> PlanSummary:
    """Look at a plan for several servers.

    Args:
        plan: All jobs of its recipes.
        chosen: The ids of those that are to be done.
        folder: The run folder, which need not be there; None where none is looked at.
        connect: Gives the servers, which are not asked anything yet.
        force: Whether jobs that are done are rendered again.
        allow_partial: Whether outputs that a server would refuse are left out where no other one takes them.

    Raises:
        InputError: All servers would refuse a job.
        ServerError: No server can be asked.
        RunFolderError: What is in the folder cannot be read.
    """
    with preview_folder(plan, chosen, folder, force=force) as seen:
        rendered = seen.arrangement.rendered
        examiner = Examiner(rendered, allow_partial=allow_partial)
        candidates = [Candidate.of(each) for each in connect()]
        if all(each.key_hint for each in candidates):  # a run would refuse; what it would cost can be told all the same
            candidates = [replace(each, key_hint="") for each in candidates]
        present, asked = _asked(candidates, examiner, seen.speeds)
        notes = dict.fromkeys(plan.notes)
        notes |= dict.fromkeys(_checked(rendered, asked))
        drafts, backlog = backlog_of(seen.arrangement.groups, plan.steps)
        found = forecast(backlog, [_entrant(each, drafts, present) for each in present])
        jobs = [[drafts[number] for number in share.jobs] for share in found.shares]
        for each, its in zip(present, jobs, strict=True):
            _, warnings = largest_decode([draft.filled for draft in its], vram_total=each.said.info.vram_total)
            notes |= dict.fromkeys(replace(note, where=each.server.name) for note in warnings)
        smallest = min((each.said.info.vram_total for each in present if each.said.info.vram_total is not None), default=None)
        alone = next((each for each in present if each.said.info.cache != "none"), present[0])
        memory, _ = largest_decode([draft.filled for draft in rendered], vram_total=smallest)
        summary = seen.summary(server=alone.server.url, cache=alone.said.info.cache, memory=memory, notes=tuple(notes))
        usual = statistics.median([each.pace for each in present if each.pace] or [1.0])
        # As a policy reckons with them, and as a plan does.
        placed, reckoned = (_cost_of_load(drafts, costs) for costs in (backlog.costs, plan.steps))
        shares = [
            ServerShare(
                name=each.server.name,
                url=each.server.url,
                comfyui=each.said.info.comfyui,
                cache=each.said.info.cache,
                jobs=tuple(draft.job_id for draft in its),
                loads=(loads := share.kinds["load"]),
                first=share.kinds["first"],
                second=share.kinds["second"],
                work=share.work + loads * (reckoned - placed),
                # For one server it is reckoned without loads, which are in the pace already (`WithBoundedLoads`).
                seconds=None if share.seconds is None else max(0.0, share.seconds - loads * placed / (each.pace or usual)),
                queued=each.queued,
            )
            for each, share, its in zip(present, found.shares, jobs, strict=True)
        ]
        prices = job_prices(rendered, [each.said.capabilities for each in present])
        summary = summary.with_prices(prices, spent=seen.spent)
        return summary.with_fleet(shares, splits=found.splits, submitted=_submitted(seen, present))


@dataclass(frozen=True, slots=True)
class _Present:
    """A server that answers, and what it says of itself.

    Attributes:
        server: The server.
        said: What it says.
        queued: How many prompts it has, whoever's.
        speed: How fast it was with earlier jobs; None where nothing is known.
    """

    server: Candidate
    said: Answered
    queued: int
    speed: ServerSpeed | None

    @property
    def pace(self) -> float | None:
        """Return weighted steps per second; None where nothing is known."""
        return self.speed.pace if self.speed else None


def _entrant(server: _Present, drafts: Sequence[Draft], present: Sequence[_Present]) -> Entrant:
    """Return a server as the forecast is to know it; what it has is expected to take as long as earlier jobs on average."""
    speed = server.speed
    return Entrant(
        server.server.url,
        places=server.server.in_flight or IN_FLIGHT,
        most=MOST_IN_A_GRAPH if server.said.info.cache == "none" else 1,
        unable=unsuitable_jobs(
            drafts, server.said.capabilities, [other.said.capabilities for other in present if other is not server]
        ),
        speed=server.pace,
        begins=server.queued * speed.seconds / speed.jobs if speed else 0.0,
    )


def _cost_of_load(drafts: Sequence[Draft], steps: Costs) -> float:
    """Return what a load of a model costs, which is the same for all; nothing where nobody loads any."""
    return next((steps.cost(step) for draft in drafts for step in draft.steps if steps.kind(step) == "load"), 0.0)


def _asked(
    candidates: Sequence[Candidate], examiner: Examiner, speeds: Sequence[Sequence[ServerSpeed]]
) -> tuple[Sequence[_Present], Sequence[Candidate]]:
    """Return the servers that answer, at least one, and all that were asked.

    Raises:
        ServerError: None does.
    """
    queued: dict[str, int] = {}

    def look_at_queue(candidate: Candidate) -> None:
        queue = candidate.engine.queue()
        queued[candidate.url] = queue.running + queue.pending

    asked = examiner.ask_all(candidates, look_at_queue, late=lambda _candidate: LATECOMER_SECONDS)
    present = [
        _Present(each, each.answer, queued[each.url], fitting_speed(speeds, server=each.url, alone=True))
        for each in asked
        if each.answer is not None
    ]
    return present, asked


def _checked(rendered: Sequence[Draft], asked: Sequence[Candidate]) -> Iterator[Note]:
    """Yield what the servers change of the jobs, and what is known of servers that do not answer.

    Raises:
        InputError: There is a job that no server can do.
    """
    count, changes = hold_against(rendered, asked)
    for candidate in asked:
        if candidate.answer is None:
            yield Note(
                f"does not answer, and is left out of the plan: {candidate.error.problems[0].what if candidate.error else ''}",
                candidate.name,
            )
    if count:
        jobs = counted(count, "job is", "jobs are")
        yield Note(f"{jobs} assigned to no server, because none of those that answer can do that; a run waits for the others")
    yield from changes


def _submitted(seen: FolderPreview, present: Sequence[_Present]) -> Mapping[str, str]:
    """Return on which server jobs are already, by id: its name, or the URL of one that is not asked now."""
    if seen.ledger is None or not seen.arrangement.awaited:
        return {}
    names = {each.server.url: each.server.name for each in present}
    awaited = {draft.job_id for draft in seen.arrangement.awaited}
    waiting = [(found.server, job_id) for found in seen.ledger.open_submissions() for job_id in found.job_ids]
    return {job_id: names.get(url, url) for url, job_id in waiting if job_id in awaited}
