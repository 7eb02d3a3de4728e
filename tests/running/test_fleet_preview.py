"""What a plan tells for several servers: who would do what, when it would be done, and what that costs; looking changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.config import Config, ServerConfig
from comfy_runner.errors import ServerError, UsageError, WorkflowError
from comfy_runner.planning.passes import passes, passes_of_submissions
from comfy_runner.planning.summary import PlanSummary
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import JobUpdate, PlanRow
from comfy_runner.store.states import Change
from tests.running.fleet.support import begin, finished, fleet_of
from tests.running.support import CHECKPOINTS, draft, plan_of, small, sweep
from tests.standin import StandIn, State
from tests.standin.state import MODELS

_TINY, _BASE = CHECKPOINTS
_GRID = sweep({"checkpoint": list(CHECKPOINTS), "seed": [1, 2, 3], "upscale.denoise": [0.4, 0.6, 0.8]}, sampler={"steps": 10})


def _with(*checkpoints: str, **changes: Any) -> State:
    return State(models={**MODELS, "checkpoints": list(checkpoints)}, **changes)


def _plan(servers: Sequence[StandIn], *recipes: Any, **options: Any) -> PlanSummary:
    given = {"server": [server.url for server in servers], "config": Config(), **options}
    return api.plan(recipes or [_GRID], **given)


def _jobs(summary: PlanSummary) -> dict[str, Counter[object]]:
    """Return how many jobs with each checkpoint each server would do."""
    checkpoints = {row.job_id: row.assignments["checkpoint"] for row in summary.jobs}
    return {share.url: Counter(checkpoints[job_id] for job_id in share.jobs) for share in summary.fleet}


def _earlier(folder: Path, server: str, *, seconds: float, work: float) -> None:
    """Leave a run folder in which a server has done a job."""
    folder.mkdir(parents=True)
    with Ledger(folder / FILE) as ledger:
        ledger.write_plan(
            [PlanRow(job_id="a", position=0, recipe="r", content_hash="c", pixel_hash="p", shares="", assignments={})],
            recipes=["r"],
        )
        ledger.submit("p", server=server, text="", job_ids=["a"])
        ledger.settle(JobUpdate("a", Change.DONE, seconds=seconds, work=work))


@pytest.fixture
def two() -> Iterator[list[StandIn]]:
    """Two servers, each with a checkpoint of its own."""
    with fleet_of(_with(_TINY), _with(_BASE)) as servers:
        yield servers


# Who does what


def test_jobs_are_planned_for_the_servers_that_have_their_models_whatever_these_call_them() -> None:
    with fleet_of(_with(_TINY), _with(_BASE, windows=True)) as (tiny, windows):
        found = _plan([tiny, windows])

    assert _jobs(found) == {tiny.url: Counter({_TINY: 9}), windows.url: Counter({_BASE: 9})}
    assert [note.level for note in found.notes if "SDXL\\\\base.safetensors" in note.what] == ["changed"]


def test_each_row_says_which_server_would_do_it(two: list[StandIn]) -> None:
    found = _plan(two)

    where = {job_id: share.name for share in found.fleet for job_id in share.jobs}
    assert {row.job_id: row.server for row in found.jobs} == where
    assert len(where) == 18


def test_a_server_goes_by_the_name_that_the_config_file_gives_it(two: list[StandIn]) -> None:
    config = Config(servers={"left": ServerConfig(url=two[0].url), "right": ServerConfig(url=two[1].url)})

    found = api.plan([_GRID], server=["right", "left"], config=config)

    assert [(share.name, share.url) for share in found.fleet] == [("right", two[1].url), ("left", two[0].url)]
    assert {row.server for row in found.jobs} == {"left", "right"}


def test_a_job_that_gets_the_pictures_of_another_one_is_for_no_server(two: list[StandIn]) -> None:
    found = _plan(two, sweep({"upscale.denoise": [0.49, 0.5]}, sampler={"steps": 10}))

    assert [(row.state, row.server) for row in found.jobs] == [("to render", two[0].url), ("shares", "")]


def test_the_jobs_that_a_server_has_already_are_said_to_be_there(two: list[StandIn], tmp_path: Path) -> None:
    waiting = draft()
    (tmp_path / "lake").mkdir()
    with Ledger(tmp_path / "lake" / FILE) as ledger:
        hashes = {"content_hash": waiting.content_hash, "pixel_hash": waiting.pixel_hash}
        ledger.write_plan(
            [PlanRow(job_id="lake", position=0, recipe="lake", shares="", assignments={}, **hashes)], recipes=["lake"]
        )
        ledger.submit("p", server=two[1].url, text="", job_ids=["lake"])

    found = _plan(two, small(), out=tmp_path / "lake")

    assert [(row.state, row.server) for row in found.jobs] == [("submitted", two[1].url)]
    assert [share.jobs for share in found.fleet] == [(), ()]


# What it costs


def test_the_sums_of_the_servers_are_what_their_jobs_need_there() -> None:
    with fleet_of(State(), State(), State(cache="none")) as servers:
        found = _plan(servers)

    plan = plan_of(_GRID)
    steps = {each.job_id: each.steps for each in plan.drafts}
    assert sorted(job_id for share in found.fleet for job_id in share.jobs) == sorted(steps)
    for share in found.fleet:
        jobs = [steps[job_id] for job_id in share.jobs]
        if share.cache == "none":
            # A group that is here in parts would have begun anew with each of them.
            most, least = passes(jobs, plan.steps, cached=False), passes_of_submissions([jobs], plan.steps)
            assert least.first <= share.first <= most.first
            assert least.weighted <= share.work <= most.weighted + 1e-9
        else:
            needed = passes(jobs, plan.steps)
            assert (share.loads, share.first, share.second) == (needed.loads, needed.first, needed.second)
            assert share.work == pytest.approx(needed.weighted)
    assert sum(share.second for share in found.fleet) == found.needed.second == 18


def test_the_needs_are_those_of_one_server_that_keeps_a_cache() -> None:
    with fleet_of(State(cache="none"), State()) as servers:
        found = _plan(servers)
        alone = _plan(servers[1:])

    assert (found.server, found.cache) == (servers[1].url, "classic")
    assert (found.needed, found.as_given, found.graphs) == (alone.needed, alone.as_given, alone.graphs)
    assert [(row.job_id, row.position, row.work) for row in found.jobs] == [
        (row.job_id, row.position, row.work) for row in alone.jobs
    ]


def test_where_nobody_keeps_a_cache_the_needs_are_for_that() -> None:
    with fleet_of(State(cache="none"), State(cache="none")) as servers:
        found = _plan(servers)

    assert (found.cache, found.graphs) == ("none", 6)


def test_what_the_plan_says_of_servers_that_cannot_help_each_other_is_what_the_run_does(two: list[StandIn], tmp_path: Path) -> None:
    found = _plan(two)
    with begin(two, tmp_path / "lake", _GRID) as rendering:
        spent = finished(list(rendering)).spent

    assert spent is not None
    assert spent.jobs == {share.name: len(share.jobs) for share in found.fleet}
    assert (spent.loads, spent.first) == (sum(share.loads for share in found.fleet), sum(share.first for share in found.fleet))
    assert (spent.fewest_loads, spent.fewest_first) == (found.needed.loads, found.needed.first)
    assert spent.splits == found.splits == 0


def test_servers_that_are_alike_share_the_jobs_and_the_run_costs_about_what_the_plan_says(tmp_path: Path) -> None:
    with fleet_of(State(step_seconds=0.01), State(step_seconds=0.01)) as servers:
        found = _plan(servers)
        with begin(servers, tmp_path / "lake", _GRID) as rendering:
            spent = finished(list(rendering)).spent

    assert spent is not None
    assert [(len(share.jobs), share.loads) for share in found.fleet] == [(9, 1), (9, 1)]
    assert sum(spent.jobs.values()) == 18
    # What is measured decides who takes the end of which group: at most a load and the first passes of two groups are more.
    assert 2 <= spent.loads <= 3
    assert 6 <= spent.first <= 8


# When it is done


def test_what_is_in_a_queue_comes_before_a_servers_share(two: list[StandIn], tmp_path: Path) -> None:
    for number, server in enumerate(two):
        _earlier(tmp_path / str(number), server.url, seconds=2.0, work=10.0)
    quiet = _plan(two, out=tmp_path / "lake")
    two[1].state.frozen = True
    two[1].state.add_foreign(3)

    busy = _plan(two, out=tmp_path / "lake")

    assert [share.queued for share in busy.fleet] == [0, 3]
    before, after = ([share.seconds or 0.0 for share in found.fleet] for found in (quiet, busy))
    assert after == pytest.approx([before[0], before[1] + 6.0])


def test_the_time_is_reckoned_as_that_of_one_server(two: list[StandIn], tmp_path: Path) -> None:
    _earlier(tmp_path / "earlier", two[0].url, seconds=2.0, work=10.0)
    only = sweep({"seed": [1, 2]}, sampler={"steps": 10})

    fleet, alone = _plan(two, only, out=tmp_path / "lake"), _plan(two[:1], only, out=tmp_path / "lake")

    assert alone.time is not None
    assert [share.seconds for share in fleet.fleet] == pytest.approx([alone.time.seconds, 0.0])
    assert fleet.time == alone.time


def test_a_server_of_which_nothing_is_known_is_taken_for_as_fast_as_the_others(two: list[StandIn], tmp_path: Path) -> None:
    _earlier(tmp_path / "earlier", two[0].url, seconds=2.0, work=10.0)

    first, second = (share.seconds for share in _plan(two, out=tmp_path / "lake").fleet)

    assert first == pytest.approx(second)
    assert first is not None


def test_where_no_earlier_jobs_tell_there_is_no_time_but_the_queue(two: list[StandIn], tmp_path: Path) -> None:
    _earlier(tmp_path / "earlier", "http://elsewhere:8188", seconds=2.0, work=10.0)
    two[0].state.frozen = True
    two[0].state.add_foreign(2)

    found = _plan(two, out=tmp_path / "lake")

    assert [(share.seconds, share.queued) for share in found.fleet] == [(None, 2), (None, 0)]


# Servers that do not answer, jobs that nobody can do


def test_a_server_that_does_not_answer_is_planned_without_and_told() -> None:
    with fleet_of(State(), State(), State()) as servers:
        servers[1].state.go_away()
        found = _plan(servers)

    assert [share.url for share in found.fleet] == [servers[0].url, servers[2].url]
    assert sum(len(share.jobs) for share in found.fleet) == 18
    assert [(note.level, note.what) for note in found.notes if note.where == servers[1].url] == [
        ("warning", "does not answer, and is left out of the plan: nobody answers")
    ]


def test_jobs_that_only_a_silent_server_might_do_are_planned_for_nobody(two: list[StandIn]) -> None:
    two[1].state.go_away()

    found = _plan(two)

    assert [row.server for row in found.jobs if row.assignments["checkpoint"] == _BASE] == [""] * 9
    assert any(note.what.startswith("9 jobs are assigned to no server") for note in found.notes)


def test_where_nobody_answers_the_error_is_that_of_the_run_with_all_of_them(two: list[StandIn], tmp_path: Path) -> None:
    for server in two:
        server.state.go_away()

    with pytest.raises(ServerError) as caught:
        _plan(two)
    assert [problem.where.startswith(server.url) for problem, server in zip(caught.value.problems, two, strict=True)] == [True] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_no_server_can_do_is_an_error_with_the_reasons_of_all(two: list[StandIn]) -> None:
    with pytest.raises(WorkflowError) as caught:
        _plan(two, small(checkpoint="gone.safetensors"))

    assert [server.url in problem.what for problem, server in zip(caught.value.problems, two, strict=True)] == [True, True]


# Looking


def test_planning_on_several_servers_posts_nothing_and_makes_no_folder(two: list[StandIn], tmp_path: Path) -> None:
    _plan(two, out=tmp_path / "lake")

    assert {asked.method for server in two for asked in server.state.asked} == {"GET"}
    assert list(tmp_path.iterdir()) == []


def test_a_single_server_in_a_list_is_planned_for_as_one(two: list[StandIn]) -> None:
    recipe = small()

    several, one = _plan(two[:1], recipe), _plan([], recipe, server=two[0].url)

    assert several == one
    assert several.fleet == ()


def test_no_servers_in_a_list_are_none() -> None:
    assert _plan([], small()).server == ""


def test_a_server_that_is_given_twice_is_a_mistake(two: list[StandIn]) -> None:
    with pytest.raises(UsageError, match="a server is given twice"):
        _plan([two[0], two[0]])


def test_where_all_is_done_each_server_does_nothing(two: list[StandIn], tmp_path: Path) -> None:
    begin(two, tmp_path / "lake", small()).results()

    found = _plan(two, small(), out=tmp_path / "lake")

    assert [(row.state, row.server) for row in found.jobs] == [("done", "")]
    assert [(share.jobs, share.work) for share in found.fleet] == [((), 0.0), ((), 0.0)]


def test_a_warning_of_memory_names_the_server_whose_jobs_would_not_fit() -> None:
    big = small(size={"width": 1024, "height": 576})
    with ExitStack() as stack:
        servers = [stack.enter_context(StandIn(_with(name))) for name in CHECKPOINTS]
        for server, gib in zip(servers, (8, 4), strict=True):
            body = f'{{"system": {{}}, "devices": [{{"name": "gpu", "type": "cuda", "vram_total": {gib << 30}}}]}}'
            server.state.fail_next("/system_stats", 200, method="GET", times=-1, body=body)
        found = _plan(servers, big)

    assert found.memory is not None
    assert found.memory.vram_total == 4 << 30
    assert [note.where for note in found.notes if "GPU memory" in note.what] == [servers[0].url]
