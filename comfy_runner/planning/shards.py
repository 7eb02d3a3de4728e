"""Which jobs each of several shards renders: whole groups that share model loads and first passes, dealt out by what they cost.

The deal depends on the plan alone: not on the machine, and not on what is done already, so that every process finds the same one
by itself. Two ways to deal are tried, and the one is taken by which the last shard ends sooner.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from comfy_runner.errors import Note, UsageError
from comfy_runner.planning.arrange import arrange
from comfy_runner.planning.draft import Draft, Plan
from comfy_runner.planning.estimate import WithBoundedLoads
from comfy_runner.planning.order import order
from comfy_runner.planning.passes import Passes, passes
from comfy_runner.planning.summary import Deal, PlanSummary, ShardShare
from comfy_runner.planning.survey import Survey
from comfy_runner.recipe.output_names import has_date
from comfy_runner.scheduling.backlog import Costs
from comfy_runner.shard import OPTION, Shard
from comfy_runner.wording import counted

_Jobs = Sequence[tuple[int, ...]]
_HALVINGS = 60  # of an interval that is no longer than all of the work: far below the cost of any node
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class DealtShard:
    """The jobs of one shard.

    Attributes:
        rendered: Those that it renders, in order.
        job_ids: All: also those that get the pictures of one of these.
    """

    rendered: tuple[Draft, ...]
    job_ids: frozenset[str]


def plan_of_shard(plan: Plan, chosen: Collection[str], shard: Shard) -> tuple[Plan, tuple[DealtShard, ...]]:
    """Return a plan with what is to be said of a shard, and what all shards have.

    Args:
        plan: All jobs.
        chosen: As for `deal`.
        shard: Which one it is.

    Raises:
        UsageError: Each shard would draw seeds of its own, or have a day of its own in the names of its files.
    """
    drawn = next((draft for draft in plan.drafts if draft.variant.draw), None)
    if drawn is not None:
        hint = "give it: --set seed=42, or --sweep seed=1,2,3"
        raise UsageError(f"the seed of {drawn.job_id} is random, and each shard would draw its own", where=OPTION, hint=hint)
    dated = next((draft for draft in plan.drafts if has_date(draft.variant.loaded.recipe)), None)
    if dated is not None:
        what = f"shards may begin on different days, and the output of {dated.job_id} has {{date}}"
        raise UsageError(what, where=OPTION, hint="write the day itself instead")
    dealt = deal(plan, chosen, shard.count)
    if not dealt[shard.index - 1].job_ids:
        groups = counted(sum(1 for each in dealt if each.job_ids), "shard has", "shards have")
        plan = replace(plan, notes=(*plan.notes, Note(f"shard {shard} has nothing to do: {groups} all the jobs", OPTION)))
    return plan, dealt


def deal(plan: Plan, chosen: Collection[str], count: int) -> tuple[DealtShard, ...]:
    """Deal jobs out to shards. Where there are fewer groups than shards, some get nothing.

    Args:
        plan: All jobs.
        chosen: The ids of those that are to be done, whether some of them are done already or not.
        count: How many shards there are.
    """
    arranged = arrange(plan, chosen, Survey(frozenset(), frozenset(), {}, {}), ledger=None)
    groups = [[draft.steps for draft in group] for group in arranged.groups]
    # As for a fleet: beside small pictures, the load of a model would weigh so much that some shards got next to nothing.
    dealt = deal_groups(groups, WithBoundedLoads.of(plan.steps, itertools.chain.from_iterable(groups)), count)
    found = []
    for numbers in dealt:
        rendered = tuple(draft for number in numbers for draft in arranged.groups[number])
        sharing = (draft for leader in rendered for draft in arranged.shared.get(leader.job_id, ()))
        found.append(DealtShard(rendered, frozenset(draft.job_id for draft in itertools.chain(rendered, sharing))))
    return tuple(found)


def with_deal(summary: PlanSummary, plan: Plan, dealt: Sequence[DealtShard], shard: Shard) -> PlanSummary:
    """Return the plan of a shard with what all of them have.

    Args:
        summary: The plan of the shard.
        plan: All jobs.
        dealt: How they are dealt out.
        shard: Which one it is.
    """

    def needed(rendered: Iterable[Draft]) -> Passes:
        jobs = [draft.steps for draft in rendered]
        return passes((jobs[index] for index in order(jobs, plan.steps)), plan.steps)

    shares = [
        ShardShare(index=index, jobs=len(each.job_ids), needed=needed(each.rendered)) for index, each in enumerate(dealt, start=1)
    ]
    rendered = {draft.job_id for each in dealt for draft in each.rendered}
    alone = needed(draft for draft in plan.drafts if draft.job_id in rendered)
    return replace(summary, deal=Deal(index=shard.index, shards=tuple(shares), alone=alone))


def deal_groups(groups: Sequence[_Jobs], steps: Costs, count: int) -> list[list[int]]:
    """Return the numbers of the groups that each shard gets, in order.

    No shard takes longer than (4/3 - 1/(3 * count)) times what it must, were nothing shared by two groups: that is the bound of
    the rule "the longest first, each to whom has least" (R. L. Graham, Bounds on multiprocessing timing anomalies, 1969).

    Args:
        groups: The jobs of each group as the results of their nodes, in the order in which one server would do all of them.
        steps: What these cost.
        count: How many shards there are.
    """
    # Rounded, so that groups that cost the same do so whatever their costs were added up in.
    alone = [round(passes(group, steps).weighted, _DIGITS) for group in groups]

    def saved(before: int, number: int) -> float:
        """Return what a group need not do where it comes after another one: they may have a checkpoint in common."""
        return sum(steps.cost(step) for step in {*groups[before][-1]}.intersection(groups[number][0]))

    def cost(numbers: Sequence[int]) -> float:
        return sum(alone[number] for number in numbers) - sum(itertools.starmap(saved, itertools.pairwise(numbers)))

    def judged(way: list[list[int]]) -> tuple[float, float]:
        costs = [cost(numbers) for numbers in way]
        return round(max(costs), _DIGITS), round(sum(costs), _DIGITS)

    # Of two that are as good it is the first, whose shards are more alike.
    after = [0.0, *itertools.starmap(saved, itertools.pairwise(range(len(groups))))]
    return min(_longest_first(alone, count), _in_a_row(alone, after, count), key=judged)


def _longest_first(costs: Sequence[float], count: int) -> list[list[int]]:
    """Give each group, the dearest first, to the shard that has the least so far."""
    found: list[list[int]] = [[] for _ in range(count)]
    loads = [(0.0, 0, shard) for shard in range(count)]
    for number in sorted(range(len(costs)), key=lambda number: (-costs[number], number)):
        load, size, shard = loads[0]
        found[shard].append(number)
        heapq.heapreplace(loads, (round(load + costs[number], _DIGITS), size + 1, shard))
    return [sorted(numbers) for numbers in found]


def _in_a_row(alone: Sequence[float], saved: Sequence[float], count: int) -> list[list[int]]:
    """Cut the groups, in their order, into parts the dearest of which costs as little as can be: neighbors stay together."""

    def cut(most: float) -> list[list[int]]:
        parts: list[list[int]] = []
        load = 0.0
        for number, cost in enumerate(alone):
            more = load + cost - saved[number]
            # Rather one group each than that the last shards have none.
            if not parts or more > most or len(alone) - number <= count - len(parts):
                parts.append([number])
                load = cost
            else:
                parts[-1].append(number)
                load = more
        return parts

    low, high = max(alone, default=0.0), sum(alone)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if len(cut(middle)) <= count else (middle, high)
    parts = cut(high)
    return [*parts, *([] for _ in range(count - len(parts)))]
