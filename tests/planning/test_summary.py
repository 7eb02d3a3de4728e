"""What a plan tells before any work: rows, order, duplicates, passes, memory, time; and that looking changes nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.errors import RunFolderError
from comfy_runner.graph.decoding import largest_decode
from comfy_runner.graph.filled import Filled
from comfy_runner.planning.draft import Draft, Plan
from comfy_runner.planning.drafting import draft_all
from comfy_runner.planning.estimate import WithBoundedLoads, earlier_speeds, fitting_speed
from comfy_runner.planning.passes import Passes
from comfy_runner.planning.summary import PlannedRow, PlanSummary
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import JobUpdate, PlanRow, ServerSpeed
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Change
from tests.running.support import small
from tests.standin import StandIn

_GIB = 1 << 30


def _plan(*recipes: Any, sweeps: Sequence[str] = (), out: Path | None = None, **options: Any) -> PlanSummary:
    given = recipes or [small(sampler={"steps": 10})]
    return api.plan(given, sweeps=sweeps, out=out, config=Config(), **options)


def _drafted(**changes: Any) -> Plan:
    return draft_all(expand(from_mapping(small(**changes))), templates=(), seed_of=lambda _variant: 0)


def _render(server: StandIn, out: Path, *, sweeps: Sequence[str] = (), **changes: Any) -> None:
    recipe = small(**{"sampler": {"steps": 10}, **changes})
    api.run([recipe], server=server.url, out=out, sweeps=sweeps, config=Config()).results()


def _states(rows: Sequence[PlannedRow]) -> dict[str, str]:
    return {row.job_id: row.state for row in rows}


def _tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


# What is in it


def test_axes_in_the_worst_order_are_rendered_in_the_best_one() -> None:
    checkpoints = 'checkpoint=["a.safetensors", "b.safetensors"]'
    found = _plan(sweeps=["upscale.denoise=0.40:0.80:0.05", "seed=1,2,3,4", checkpoints])

    assert len(found.jobs) == 72
    assert (found.needed.loads, found.needed.first, found.needed.second) == (2, 8, 72)
    assert (found.as_given.loads, found.as_given.first, found.as_given.second) == (72, 72, 72)
    assert found.unshared.weighted >= found.as_given.weighted > found.needed.weighted


def test_jobs_are_listed_in_the_order_of_rendering() -> None:
    found = _plan(sweeps=["upscale.denoise=0.5,0.6", "seed=1,2"])

    assert [row.assignments["seed"] for row in found.jobs] == [1, 1, 2, 2]
    assert [row.position for row in found.jobs] == [1, 2, 3, 4]


def test_what_the_job_before_leaves_in_the_cache_costs_nothing() -> None:
    first, second = _plan(sweeps=["upscale.denoise=0.5,0.6"]).jobs

    assert first.work > second.work > 0


def test_the_work_of_all_jobs_is_that_of_the_plan() -> None:
    found = _plan(sweeps=["upscale.denoise=0.5,0.6,0.7", "seed=1,2,3"])

    assert sum(row.work for row in found.jobs) == pytest.approx(found.needed.weighted)


def test_a_row_tells_the_schedule_and_the_start_sigma_of_the_second_pass() -> None:
    recipe = small(sampler={"steps": 30}, upscale={"denoise": 0.35})
    rows = _plan(recipe, sweeps=["upscale.sampler.scheduler=normal,karras,exponential"]).jobs

    sigmas = {second.scheduler: second.start_sigma for row in rows for second in row.second}
    assert sigmas == pytest.approx({"normal": 0.97, "karras": 0.48, "exponential": 0.25}, abs=0.005)
    assert {(second.denoise, second.steps, second.schedule_steps) for row in rows for second in row.second} == {(0.35, 30, 85)}


def test_second_passes_are_those_of_their_own_settings() -> None:
    rows = _plan(sweeps=["upscale.denoise=0.5,0.6", "upscale.sampler.steps=10,20"]).jobs

    for row in rows:
        (second,) = row.second
        assert (second.denoise, second.steps) == (row.assignments["upscale.denoise"], row.assignments["upscale.sampler.steps"])


def test_jobs_of_one_schedule_share_a_picture_and_the_plan_says_why() -> None:
    found = _plan(sweeps=["upscale.denoise=0.48,0.49,0.50,0.60"])

    assert [(row.job_id, row.state, row.shares) for row in found.jobs] == [
        ("lake-d048", "to render", ""),
        ("lake-d049", "shares", "lake-d048"),
        ("lake-d050", "shares", "lake-d048"),
        ("lake-d060", "to render", ""),
    ]
    (group,) = found.duplicates
    assert group.job_ids == ("lake-d048", "lake-d049", "lake-d050")
    assert group.why == "int(steps/denoise) is 20 for 0.48, 0.49 and 0.5"
    assert (found.needed.second, found.as_given.second) == (2, 4)


def test_area_at_a_whole_factor_is_nearest_exact() -> None:
    (group,) = _plan(sweeps=["upscale.method=area,nearest-exact,bislerp"]).duplicates

    assert (len(group.job_ids), group.why) == (2, "area is nearest-exact at whole factors")


def test_a_difference_in_two_ways_is_told_in_both() -> None:
    (group,) = _plan(
        small(sampler={"steps": 10}, sweep={"zip": [{"upscale.method": ["area", "nearest-exact"], "upscale.denoise": [0.49, 0.5]}]})
    ).duplicates

    assert set(group.why.split("; ")) == {"int(steps/denoise) is 20 for 0.49 and 0.5", "area is nearest-exact at whole factors"}


def test_many_values_of_one_schedule_are_not_all_listed() -> None:
    (group,) = _plan(sweeps=["upscale.denoise=0.481:0.499:0.001"]).duplicates

    assert group.why == "int(steps/denoise) is 20 for 0.481, 0.482, 0.483, 0.484, 0.485 and 14 more"


def test_only_chosen_jobs_are_in_the_plan() -> None:
    found = _plan(sweeps=["upscale.denoise=0.5,0.6", "seed=1,2"], only=["*-s1"], skip=["*d060*"])

    assert [row.job_id for row in found.jobs] == ["lake-d050-s1"]


def test_several_recipes_need_no_folder_to_be_planned() -> None:
    found = _plan(small(name="a"), small(name="b"))

    assert (found.folder, len(found.jobs)) == (None, 2)


# Memory


def _graphs(drafts: Sequence[Draft]) -> list[Filled]:
    return [draft.filled for draft in drafts]


def test_the_largest_picture_is_held_against_the_memory_of_the_server() -> None:
    drafts = [*_drafted(size={"width": 1024, "height": 576}).drafts, *_drafted(name="b").drafts]

    memory, notes = largest_decode(_graphs(drafts), vram_total=8 * _GIB)

    assert memory is not None
    assert (str(memory.picture), memory.tiled, memory.vram_total) == ("2048x1152", False, 8 * _GIB)
    assert memory.bytes_needed / _GIB == pytest.approx(9.6, abs=0.05)
    assert "2048x1152" in notes[0].what


def test_memory_that_suffices_is_no_warning() -> None:
    memory, notes = largest_decode(_graphs(_drafted().drafts), vram_total=8 * _GIB)

    assert memory is not None
    assert notes == ()


def test_what_is_decoded_in_tiles_needs_the_memory_of_a_tile() -> None:
    memory, notes = largest_decode(
        _graphs(_drafted(size={"width": 2048, "height": 1152}, vae_decode="tiled").drafts), vram_total=8 * _GIB
    )

    assert memory is not None
    assert (str(memory.picture), memory.tiled) == ("4096x2304", True)
    assert memory.bytes_needed < 3 * _GIB
    assert notes == ()


def test_no_jobs_need_no_memory() -> None:
    assert largest_decode([], vram_total=None) == (None, ())


# Time


def test_the_same_server_is_the_most_telling_then_this_folder_then_where_most_jobs_were() -> None:
    here = [ServerSpeed("one", 1.0, 10.0, 3), ServerSpeed("two", 1.0, 20.0, 5)]
    beside = [ServerSpeed("three", 1.0, 30.0, 100)]

    assert fitting_speed([here, beside], server="one") == here[0]
    assert fitting_speed([here, beside], server="three") == beside[0]
    assert fitting_speed([here, beside], server="four") == here[1]
    assert fitting_speed([[], beside]) == beside[0]


def test_speeds_of_no_work_or_no_time_tell_nothing() -> None:
    assert fitting_speed([[ServerSpeed("one", 1.0, 0.0, 1), ServerSpeed("two", 0.0, 1.0, 1)], []], server="one") is None


def test_loads_are_no_work_where_a_ledger_has_none() -> None:
    plan = _drafted()
    (draft,) = plan.drafts
    all_work = sum(plan.steps.cost(step) for step in draft.steps)
    loads = sum(plan.steps.cost(step) for step in draft.steps if plan.steps.kind(step) == "load")

    without = WithBoundedLoads(plan.steps)

    assert sum(without.cost(step) for step in draft.steps) == pytest.approx(all_work - loads)
    assert 0 < loads < all_work


def test_folders_beside_are_asked_newest_first_and_damaged_ones_not_at_all(tmp_path: Path) -> None:
    _ledger_with(tmp_path / "old", "old", age=2)
    _ledger_with(tmp_path / "new", "new", age=1)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / FILE).write_bytes(b"what ever")
    (tmp_path / "a file").write_bytes(b"")

    speeds = earlier_speeds(tmp_path / "this", None)

    assert [speed.server for some in speeds for speed in some] == ["new", "old"]


def test_without_earlier_jobs_there_is_no_time(tmp_path: Path) -> None:
    assert _plan(out=tmp_path / "runs" / "lake").time is None


def _ledger_with(folder: Path, server: str, *, age: int) -> None:
    folder.mkdir()
    with Ledger(folder / FILE) as ledger:
        row = PlanRow(job_id="a", position=0, recipe="r", content_hash="c", pixel_hash="p", shares="", assignments={})
        ledger.write_plan([row], recipes=["r"])
        ledger.submit("p", server=server, text="", job_ids=["a"])
        ledger.settle(JobUpdate("a", Change.DONE, seconds=2.0, work=10.0))
    os.utime(folder / FILE, (10**9 - age, 10**9 - age))


# Held against a run folder


def test_planning_makes_no_folder(tmp_path: Path) -> None:
    _plan(out=tmp_path / "runs" / "lake")

    assert list(tmp_path.iterdir()) == []


def test_planning_changes_nothing_in_a_run_folder(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake")
    before = _tree(tmp_path)

    _plan(small(sampler={"steps": 10}, prompt="a hill"), out=tmp_path / "lake", server=server.url)

    assert _tree(tmp_path) == before


def test_a_run_folder_that_somebody_uses_can_be_planned_for(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake")
    folder = RunFolder(tmp_path / "lake")
    try:
        found = _plan(out=tmp_path / "lake")
    finally:
        folder.close()

    assert _states(found.jobs) == {"lake": "done"}


def test_what_is_done_is_not_rendered_and_costs_nothing(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake", sweeps=["seed=1"])

    found = _plan(out=tmp_path / "lake", sweeps=["seed=1,2"])

    assert _states(found.jobs) == {"lake-s2": "to render", "lake-s1": "done"}
    assert (found.needed.first, found.as_given.first) == (1, 1)


def test_where_all_is_done_nothing_is_needed(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake")

    found = _plan(out=tmp_path / "lake")

    assert (found.needed, found.time, found.memory, found.graphs) == (Passes(), None, None, 0)


def test_forced_jobs_are_made_again(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake")

    (row,) = _plan(out=tmp_path / "lake", force=True).jobs

    assert (row.state, row.again) == ("to render", "is made again")


def test_a_changed_job_is_made_again_and_the_plan_says_why(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake", upscale={"denoise": 0.4})

    (row,) = _plan(small(sampler={"steps": 10}, upscale={"denoise": 0.5}), out=tmp_path / "lake").jobs

    assert (row.state, row.again) == ("to render", "upscale.denoise 0.4 → 0.5")


def test_a_job_that_was_planned_and_never_begun_is_not_made_again(server: StandIn, tmp_path: Path) -> None:
    api.run(
        [small(sampler={"steps": 10})], server=server.url, out=tmp_path / "lake", sweeps=["seed=1,2"], only=["*s1"], config=Config()
    ).results()

    rows = _plan(out=tmp_path / "lake", sweeps=["seed=1,2"]).jobs

    assert [(row.job_id, row.again) for row in rows if row.state == "to render"] == [("lake-s2", "")]


def test_a_job_that_is_on_a_server_is_told_and_not_rendered(tmp_path: Path) -> None:
    (draft,) = _drafted(sampler={"steps": 10}).drafts
    (tmp_path / "lake").mkdir()
    with Ledger(tmp_path / "lake" / FILE) as ledger:
        row = PlanRow(
            job_id="lake",
            position=0,
            recipe="lake",
            content_hash=draft.content_hash,
            pixel_hash=draft.pixel_hash,
            shares="",
            assignments={},
        )
        ledger.write_plan([row], recipes=["lake"])
        ledger.submit("p", server="http://one", text="", job_ids=["lake"])

    found = _plan(out=tmp_path / "lake")

    assert _states(found.jobs) == {"lake": "submitted"}
    assert found.needed == Passes()


def test_a_picture_that_is_there_is_shared_with_a_job_that_would_give_the_same(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake", sweeps=["upscale.denoise=0.5"])

    found = _plan(out=tmp_path / "lake", sweeps=["upscale.denoise=0.49,0.5"], only=["*d049"])

    assert [(row.state, row.shares) for row in found.jobs] == [("shares", "lake-d050")]


def test_a_seed_that_was_drawn_is_that_of_the_plan(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake", seed="random")

    found = _plan(small(sampler={"steps": 10}, seed="random"), out=tmp_path / "lake")

    assert _states(found.jobs) == {"lake": "done"}


def test_a_seed_that_is_yet_to_be_drawn_is_not_drawn(tmp_path: Path) -> None:
    found = _plan(small(seed="random"), out=tmp_path / "lake")

    assert _states(found.jobs) == {"lake": "to render"}
    assert list(tmp_path.iterdir()) == []


def test_the_time_is_that_of_earlier_jobs_on_the_same_server(server: StandIn, tmp_path: Path) -> None:
    _render(server, tmp_path / "lake", sweeps=["seed=1,2"])

    found = _plan(out=tmp_path / "lake", sweeps=["seed=1,2,3"], server=server.url)

    assert found.time is not None
    assert (found.time.server, found.time.jobs) == (server.url, 2)
    with Ledger(tmp_path / "lake" / FILE, readonly=True) as ledger:
        (speed,) = ledger.speeds()
    assert found.time.seconds == pytest.approx(speed.seconds / 2)


def test_a_damaged_ledger_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / FILE).write_bytes(b"what ever" * 1000)

    with pytest.raises(RunFolderError, match="is damaged"):
        _plan(out=tmp_path / "lake")


def test_an_empty_ledger_is_none(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / FILE).write_bytes(b"")

    assert _states(_plan(out=tmp_path / "lake").jobs) == {"lake": "to render"}


# Held against a server


def test_a_server_that_caches_nothing_gets_graphs_of_several_jobs(server: StandIn, tmp_path: Path) -> None:
    server.state.cache = "none"

    found = _plan(out=tmp_path / "lake", sweeps=["upscale.denoise=0.5,0.6,0.7", "seed=1,2"], server=server.url)

    assert (found.cache, found.graphs) == ("none", 2)
    assert (found.needed.first, found.needed.second) == (2, 6)
    assert (found.as_given.first, found.as_given.second) == (6, 6)
    assert sum(row.work for row in found.jobs) == pytest.approx(found.needed.weighted)


def test_planning_on_a_server_posts_nothing(server: StandIn, tmp_path: Path) -> None:
    _plan(out=tmp_path / "lake", server=server.url)

    assert {asked.method for asked in server.state.asked} == {"GET"}
