"""A plan held against a run folder: nobody is forgotten, nobody done twice, and neighbours share the most."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.planning.arrange import MOST_IN_A_GRAPH, Arrangement, arrange
from comfy_runner.planning.survey import Survey, plan_rows
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import JobUpdate
from comfy_runner.store.states import Change
from tests.example_counts import tried
from tests.running.support import CHECKPOINTS, plan_of, posted, rendered, states, sweep
from tests.standin import StandIn, Work

_PLAN = plan_of(sweep({"seed": [1, 2], "upscale.denoise": [0.4, 0.48, 0.49, 0.5, 0.9]}, sampler={"steps": 10}))
_DRAFTS = {draft.job_id: draft for draft in _PLAN.drafts}
_IDS = tuple(_DRAFTS)
_PIXELS = sorted({draft.pixel_hash for draft in _PLAN.drafts})
_WAYS = st.sampled_from(["new", "done", "submitted", "changed"])


def _before(ledger: Ledger, done: dict[str, str]) -> None:
    """Write down what was done before, with the pixels that these jobs had then."""
    drafts = [replace(draft, pixel_hash=done.get(draft.job_id, draft.pixel_hash)) for draft in _PLAN.drafts]
    ledger.write_plan(plan_rows(drafts, {}, {}), recipes=["lake"])
    ledger.settle(*(JobUpdate(job_id, Change.DONE) for job_id in done))


@settings(max_examples=tried(60))
@given(
    ways=st.lists(_WAYS, min_size=len(_IDS), max_size=len(_IDS)),
    chosen=st.sets(st.sampled_from(_IDS)),
    old=st.lists(st.sampled_from(_PIXELS), min_size=len(_IDS), max_size=len(_IDS)),
    force=st.booleans(),
)
def test_every_selected_job_is_done_awaited_rendered_or_shares_and_nothing_else(
    ways: list[str], chosen: set[str], old: list[str], force: bool
) -> None:
    way = dict(zip(_IDS, ways, strict=True))
    done = {job_id: _DRAFTS[job_id].pixel_hash for job_id in _IDS if way[job_id] == "done" and not (force and job_id in chosen)}
    changed = {job_id: pixels for job_id, pixels in zip(_IDS, old, strict=True) if way[job_id] == "changed"}
    submitted = frozenset(job_id for job_id in _IDS if way[job_id] == "submitted")
    surveyed = Survey(frozenset(done), submitted, dict.fromkeys(changed, "changed"), {})
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / FILE) as ledger:
        _before(ledger, {**done, **changed})
        found = arrange(_PLAN, chosen, surveyed, ledger=ledger, force=force)

    rendered_ids = [draft.job_id for draft in found.rendered]
    shared = [draft.job_id for drafts in found.shared.values() for draft in drafts]
    awaited = [draft.job_id for draft in found.awaited]
    counts = Counter([*rendered_ids, *shared, *awaited, *(chosen & done.keys())])
    assert counts == Counter(chosen)
    assert set(awaited) == chosen & submitted
    for job_id, leader_id in found.leaders.items():
        assert leader_id != job_id
        assert leader_id in {*rendered_ids, *awaited, *done, *changed}
        # What it is now, where it is made now; what it was, where that is what lies there.
        is_made = leader_id in {*rendered_ids, *shared, *awaited}
        pixels = _DRAFTS[leader_id].pixel_hash if is_made else {**done, **changed}[leader_id]
        assert pixels == _DRAFTS[job_id].pixel_hash, f"{job_id} would get other pictures, those of {leader_id}"
        assert leader_id not in found.leaders, f"{leader_id} has no pictures of its own"
    assert not force or not found.leaders.keys() & found.shared.keys()
    _check_groups(found)


def _check_groups(found: Arrangement) -> None:
    assert [draft for submission in found.submissions("none") for draft in submission] == found.rendered
    assert all(1 <= len(submission) <= MOST_IN_A_GRAPH for submission in found.submissions("none"))
    assert [len(submission) for submission in found.submissions("classic")] == [1] * len(found.rendered)
    for group in [*found.groups, *found.submissions("none")]:
        firsts = [{step for step in draft.steps if _PLAN.steps.kind(step) == "first"} for draft in group]
        assert all(first == firsts[0] for first in firsts)


def test_no_two_jobs_of_the_same_pixels_are_rendered() -> None:
    found = arrange(_PLAN, _IDS, Survey(frozenset(), frozenset(), {}, {}), ledger=None)

    pixels = [draft.pixel_hash for draft in found.rendered]
    assert len(pixels) == len(set(pixels)) == 6
    assert found.leaders == {f"lake-d0{n}-s{seed}": f"lake-d048-s{seed}" for seed in (1, 2) for n in (49, 50)}


# The order, as a server sees it

_AXES = {"checkpoint": list(CHECKPOINTS), "seed": [1, 2], "upscale.denoise": [0.4, 0.6, 0.9]}


@pytest.mark.parametrize("names", list(itertools.permutations(_AXES)), ids="-".join)
def test_whatever_the_order_of_the_axes_the_server_loads_and_samples_as_little_as_can_be(
    server: StandIn, tmp_path: Path, names: tuple[str, ...]
) -> None:
    server.state.cache = "classic"
    recipe = sweep({name: _AXES[name] for name in names}, sampler={"steps": 8})

    results = rendered(server, tmp_path, recipe)

    assert set(states(results).values()) == {"done"}
    assert server.state.work() == Work(loads=2, first=4, second=12)
    assert len(posted(server)) == 12


def test_recipes_whose_jobs_have_much_in_common_are_mixed(server: StandIn, tmp_path: Path) -> None:
    recipes = [
        sweep({"upscale.denoise": values}, name=name, checkpoint=checkpoint, sampler={"steps": 8})
        for name, checkpoint, values in zip("abc", [*CHECKPOINTS, CHECKPOINTS[0]], [[0.4], [0.5], [0.9]], strict=True)
    ]

    rendered(server, tmp_path, *recipes)

    assert server.state.work() == Work(loads=2, first=2, second=3)


def test_after_a_restart_the_order_goes_on_where_it_was(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"upscale.denoise": [0.4, 0.6, 0.9], "seed": [1, 2]}, sampler={"steps": 8})
    rendered(server, tmp_path, recipe, only=["*s1"])

    rendered(server, tmp_path, recipe)

    assert server.state.work() == Work(loads=1, first=2, second=6)
