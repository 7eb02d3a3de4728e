"""A plan as a user sees it before anything is rendered: each job, the total work, and the savings.

Pure functions of drafts, survey and arrangement, which `preview` collects. Nothing is printed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from comfy_runner.engine.info import CacheMode
from comfy_runner.errors import Note
from comfy_runner.graph.decoding import DecodeMemory
from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.prices import Price, total
from comfy_runner.graph.schedules import K_SAMPLERS, SecondPass, second_passes
from comfy_runner.planning.arrange import Arrangement
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.duplicates import Duplicates
from comfy_runner.planning.estimate import Estimate
from comfy_runner.planning.passes import Passes, passes, passes_of_submissions
from comfy_runner.planning.survey import Survey
from comfy_runner.scheduling.backlog import Costs

RowState = Literal["submitted", "to render", "shares", "done"]
"""``submitted``: on a server already; ``shares``: gets the pictures of another job, which would be the very same."""

_SETTINGS = frozenset(("steps", "denoise", "scheduler", "sampler_name", "start_at_step", "end_at_step"))


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A job of a plan.

    Attributes:
        job_id: The job.
        assignments: The values of the sweep's fields.
        state: What will happen to it.
        position: Its place in the order of rendering, from 1; None if it is not to be rendered.
        shares: The job whose pictures it shares; empty if it has its own.
        again: Why it is rendered again; empty if it was not rendered before, or need not be.
        second: Its second passes: denoise, schedule, start sigma.
        work: Its cost at its place in the order, in weighted steps; results that the previous job leaves in the cache are free.
        server: The one of several servers that would do it, or has it; empty if none has to, none can, or there is only one.
        price: The cost of the paid services that it calls; None if it calls none, need not be rendered, or no server was asked.
    """

    job_id: str
    assignments: Mapping[str, Any]
    state: RowState
    position: int | None
    shares: str
    again: str
    second: tuple[SecondPass, ...]
    work: float
    server: str = ""
    price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerShare:
    """The work of one of several servers, if nothing goes wrong.

    Attributes:
        name: The user's name for it.
        url: Its URL.
        comfyui: Its version; ``unknown`` if it does not say.
        cache: What it keeps of earlier prompts.
        jobs: The ids of the jobs, in its order.
        loads: The number of checkpoints and diffusion models that it loads.
        first: The number of first passes.
        second: The number of second passes.
        work: The cost of all jobs, in weighted steps.
        seconds: Seconds from now until it would be done; None if no earlier jobs show the speed of any server.
        queued: The number of prompts that it has now, from all clients.
    """

    name: str
    url: str
    comfyui: str
    cache: CacheMode
    jobs: tuple[str, ...]
    loads: int
    first: int
    second: int
    work: float
    seconds: float | None
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardShare:
    """The work of one shard of a run, regardless of what is already done.

    Attributes:
        index: Its number, from 1.
        jobs: The number of its jobs, including those that share another one's pictures.
        needed: What its server has to run.
    """

    index: int
    jobs: int
    needed: Passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """How the jobs of a run are divided into shards, and what that costs.

    Attributes:
        index: The shard that the plan is for, from 1.
        shards: All of them.
        alone: What a single server would have to run for all jobs.
    """

    index: int
    shards: tuple[ShardShare, ...]
    alone: Passes


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    """A plan. For a shard, everything except `deal` is about its own jobs.

    For several servers, everything except `fleet` and `splits` is what one of them would have to do alone.

    Attributes:
        folder: The run folder that it is for; None if none is named.
        server: The URL of the server that it was checked against; empty if none. Of several, the first one that answers and
            keeps a cache, or else the first one that answers.
        cache: What that server keeps of earlier prompts. If that is unknown, ComfyUI's classic cache is assumed.
        graphs: How many graphs are to be posted: one for each job to render, or for each group on a server without a cache.
        jobs: The jobs: those on a server, those to render in their order, each followed by those that share its pictures, those
            that are done.
        duplicates: The groups of jobs that give exactly the same pixels.
        needed: What the server has to run.
        as_given: What it would have to run for the same jobs in the recipe's order, without sharing pictures.
        unshared: What it would have to run without any cache.
        memory: The memory that decoding needs; None if no size is known, or nothing is to be rendered.
        time: The estimated time; None if there are no earlier jobs to estimate from, or nothing is to be rendered.
        disk: The most bytes that the pictures of these jobs use; pictures of unknown size count as 0.
        notes: What the user should know.
        fleet: The work of each of several servers that answer; empty if there is only one.
        splits: How many groups of jobs that share model loads and first passes are split between servers.
        deal: The jobs of all shards of the run; None if it has no shards.
        price: The total cost of paid services; None as for a row.
        spent: The most that earlier submissions of this run folder have cost, in US dollars.
        is_searched: Whether the plan is for all jobs of a single recipe that has a ``find`` section.
    """

    folder: Path | None
    server: str
    cache: CacheMode
    graphs: int
    jobs: tuple[PlannedRow, ...]
    duplicates: tuple[Duplicates, ...]
    needed: Passes
    as_given: Passes
    unshared: Passes
    memory: DecodeMemory | None
    time: Estimate | None
    disk: int
    notes: tuple[Note, ...]
    fleet: tuple[ServerShare, ...] = ()
    splits: int = 0
    deal: Deal | None = None
    price: Price | None = None
    spent: float = 0.0
    is_searched: bool = False

    def count(self, state: RowState) -> int:
        """Return how many jobs are in a state."""
        return sum(row.state == state for row in self.jobs)

    def with_prices(self, prices: Mapping[str, Price], *, spent: float) -> PlanSummary:
        """Return the same plan with the cost of paid services.

        Args:
            prices: The prices of jobs that are to be rendered and call paid services, by id.
            spent: As in `PlanSummary`.
        """
        jobs = tuple(replace(row, price=prices[row.job_id]) if row.job_id in prices else row for row in self.jobs)
        return replace(self, jobs=jobs if prices else self.jobs, price=total(prices.values()) if prices else None, spent=spent)

    def with_fleet(self, fleet: Sequence[ServerShare], *, splits: int, submitted: Mapping[str, str]) -> PlanSummary:
        """Return the same plan, divided among several servers.

        Args:
            fleet: The work of each server.
            splits: As in `PlanSummary`.
            submitted: The servers of jobs that are already submitted, by id.
        """
        where = {**submitted, **{job_id: share.name for share in fleet for job_id in share.jobs}}
        jobs = tuple(replace(row, server=where.get(row.job_id, "")) for row in self.jobs)
        return replace(self, jobs=jobs, fleet=tuple(fleet), splits=splits)


def needed(arrangement: Arrangement, steps: Costs, cache: CacheMode) -> Passes:
    """Return what a server has to run.

    Args:
        arrangement: The work to do.
        steps: Its nodes and their costs.
        cache: What the server keeps of earlier prompts; any cache is treated as the classic one.
    """
    posted = [[draft.steps for draft in submission] for submission in arrangement.submissions(cache)]
    return passes_of_submissions(posted, steps) if cache == "none" else passes(itertools.chain.from_iterable(posted), steps)


def planned_rows(
    chosen: Sequence[Draft], surveyed: Survey, arrangement: Arrangement, steps: Costs, cache: CacheMode
) -> Iterator[PlannedRow]:
    """Yield what will happen to each job.

    Args:
        chosen: The jobs to do.
        surveyed: The files that already exist.
        arrangement: The work to do.
        steps: Its nodes and their costs.
        cache: What the server keeps of earlier prompts.
    """
    known: dict[tuple[Shape, str], tuple[SecondPass, ...]] = {}

    def second(filled: Filled) -> tuple[SecondPass, ...]:
        # As text, since 1, 1.0 and true are equal and not the same, and a literal may be a list.
        key = filled.shape, repr([filled.literals[index] for index in _sampler_settings(filled.shape)])
        if key not in known:
            known[key] = tuple(second_passes(filled.workflow))
        return known[key]

    def row(draft: Draft, state: RowState, *, position: int | None = None, shares: str = "", work: float = 0.0) -> PlannedRow:
        again = "" if state == "done" else surveyed.again.get(draft.job_id, "")
        return PlannedRow(draft.job_id, draft.variant.assignments, state, position, shares, again, second(draft.filled), work)

    def sharing(leader_id: str) -> Iterator[PlannedRow]:
        for draft in arrangement.shared.get(leader_id, ()):
            yield row(draft, "shares", shares=leader_id)

    leaders = set()
    for draft in arrangement.awaited:
        leaders.add(draft.job_id)
        yield row(draft, "submitted")
        yield from sharing(draft.job_id)
    position = 0
    before: set[int] = set()
    for submission in arrangement.submissions(cache):
        in_graph: set[int] = set()
        for draft in submission:
            position += 1
            leaders.add(draft.job_id)
            work = sum(steps.cost(step) for step in draft.steps if step not in before and step not in in_graph)
            in_graph.update(draft.steps)
            yield row(draft, "to render", position=position, work=work)
            yield from sharing(draft.job_id)
        before = in_graph if cache != "none" else set()
    for leader_id in arrangement.shared:
        if leader_id not in leaders:
            yield from sharing(leader_id)
    for draft in chosen:
        if draft.job_id in surveyed.done:
            yield row(draft, "done")


@lru_cache(maxsize=32)
def _sampler_settings(shape: Shape) -> list[int]:
    nodes = shape.bare.nodes
    return [
        index for index, (node_id, name) in enumerate(shape.places) if name in _SETTINGS and nodes[node_id].class_type in K_SAMPLERS
    ]
