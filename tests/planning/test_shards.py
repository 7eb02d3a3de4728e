"""Jobs dealt out to shards: each group once, evenly, the same by every process."""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.planning.order import groups, order
from comfy_runner.planning.passes import passes
from comfy_runner.planning.shards import deal, deal_groups
from tests.example_counts import tried
from tests.planning.model_lists import Steps, picked
from tests.running.support import plan_of, sweep

_WORK = st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=5), max_size=14)
_Groups = list[list[tuple[int, ...]]]


def _grouped(steps: Steps, jobs: list[tuple[int, ...]]) -> _Groups:
    ordered = picked(jobs, order(jobs, steps))
    return [[ordered[position] for position in group] for group in groups(ordered, steps)]


def _apart(costs: list[list[int]]) -> tuple[Steps, _Groups]:
    """Return groups that have nothing in common; each job costs something of its own."""
    steps = Steps()
    return steps, [
        [(steps.add("first", number), steps.add("second", number, job, cost=float(cost))) for job, cost in enumerate(group)]
        for number, group in enumerate(costs)
    ]


def _longest(found: list[list[int]], work: _Groups, steps: Steps) -> float:
    return max(passes(chain.from_iterable(work[number] for number in numbers), steps).weighted for numbers in found)


@settings(max_examples=tried(50))
@given(_WORK, st.integers(1, 20))
def test_every_group_has_exactly_one_shard_and_none_is_idle_without_need(costs: list[list[int]], count: int) -> None:
    steps, work = _apart(costs)

    found = deal_groups(work, steps, count)

    assert len(found) == count
    assert Counter(chain.from_iterable(found)) == Counter(range(len(work)))
    assert all(numbers == sorted(numbers) for numbers in found)
    assert sum(map(bool, found)) == min(count, len(work))


@settings(max_examples=tried(50))
@given(_WORK.filter(bool), st.integers(1, 6))
def test_the_longest_shard_keeps_the_bound_of_the_longest_first(costs: list[list[int]], count: int) -> None:
    steps, work = _apart(costs)
    alone = sorted((passes(group, steps).weighted for group in work), reverse=True)
    # No deal is better than these: the average, the dearest group, and the two that have to go together.
    together = alone[count - 1] + alone[count] if len(alone) > count else 0.0
    best = _best(alone, count) if len(alone) <= 7 else max(sum(alone) / count, alone[0], together)

    found = _longest(deal_groups(work, steps, count), work, steps)

    bound = 4 / 3 - 1 / (3 * count) if len(alone) <= 7 else 2
    assert found <= best * bound + 1e-6


def _best(costs: list[float], count: int, loads: tuple[float, ...] = ()) -> float:
    """Return the least that the longest of so many shards takes, by trying all deals."""
    if not costs:
        return max(loads)
    loads = loads or (0.0,) * count
    ways = {tuple(sorted((*loads[:shard], loads[shard] + costs[0], *loads[shard + 1 :]))) for shard in range(count)}
    return min(_best(costs[1:], count, way) for way in ways)


@pytest.mark.parametrize(("count", "loads"), [(1, 2), (2, 2), (4, 4), (8, 8), (16, 16), (20, 16)])
def test_groups_of_one_checkpoint_stay_together(count: int, loads: int) -> None:
    steps = Steps()
    work = _grouped(steps, steps.sweep(seed=range(8), denoise=range(3), checkpoint="ab"))
    assert len(work) == 16

    found = [passes(chain.from_iterable(work[number] for number in numbers), steps) for numbers in deal_groups(work, steps, count)]

    assert (sum(each.loads for each in found), sum(each.first for each in found)) == (loads, 16)
    assert max(each.second for each in found) == math.ceil(16 / count) * 3


# --- plans

_PLAN = plan_of(sweep({"seed": [1, 2, 3], "upscale.denoise": [0.4, 0.48, 0.49, 0.5, 0.9]}, sampler={"steps": 10}))
_IDS = [draft.job_id for draft in _PLAN.drafts]


@settings(max_examples=tried(50))
@given(st.sets(st.sampled_from(_IDS)), st.integers(1, 12))
def test_every_chosen_job_is_in_one_shard_with_all_that_have_its_pictures(chosen: set[str], count: int) -> None:
    found = deal(_PLAN, chosen, count)

    assert Counter(chain.from_iterable(each.job_ids for each in found)) == Counter(chosen)
    shard = {job_id: index for index, each in enumerate(found) for job_id in each.job_ids}
    pixels: dict[str, set[int]] = {}
    firsts: dict[int, set[int]] = {}
    for draft in _PLAN.drafts:
        if draft.job_id in chosen:
            pixels.setdefault(draft.pixel_hash, set()).add(shard[draft.job_id])
            for step in draft.steps:
                if _PLAN.steps.kind(step) == "first":
                    firsts.setdefault(step, set()).add(shard[draft.job_id])
    assert all(len(shards) == 1 for shards in (*pixels.values(), *firsts.values()))


def test_every_process_finds_the_same_deal() -> None:
    again = plan_of(sweep({"seed": [1, 2, 3], "upscale.denoise": [0.4, 0.48, 0.49, 0.5, 0.9]}, sampler={"steps": 10}))

    assert [each.job_ids for each in deal(again, frozenset(_IDS), 2)] == [each.job_ids for each in deal(_PLAN, set(_IDS), 2)]
