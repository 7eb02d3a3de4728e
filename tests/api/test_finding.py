from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from comfy_runner.api.calibrating import kept_limits
from comfy_runner.api.finding import find, plan_find
from comfy_runner.api.recipes import run
from comfy_runner.api.reporting import suggest
from comfy_runner.api.search_results import SearchResult, line
from comfy_runner.config import Config
from comfy_runner.errors import ComfyRunnerError, InputError, JobFailed, RecipeError, UsageError
from comfy_runner.report.calibrations import Calibration, keep_calibration
from comfy_runner.report.found import path_of_search
from comfy_runner.report.run_data import DENOISE, label
from comfy_runner.report.suggest import Limits
from comfy_runner.report.writer import write_report
from comfy_runner.search.choice import unseen
from comfy_runner.store.run_folder import REPORT_FILES
from tests.api.find_support import answer_from, recipe
from tests.report.support import make_run, photo
from tests.running.fleet.support import fleet_of, policy
from tests.standin import StandIn, State
from tests.standin.faults import Gate, NodeFault, first_reached


def _die(servers: list[StandIn], gates: list[Gate]) -> None:
    """Have the server that is the first to have a second pass in hand die."""
    first = first_reached(gates)
    servers[first].state.go_away()
    for gate in gates:
        gate.open()


def _found(server: StandIn, folder: Path, over: str = "upscale.denoise=0.3:0.8:0.05", **given: Any) -> SearchResult:
    return find(recipe(), over=over, server=server.url, out=folder / "out", config=Config(), **given)


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ({}, UsageError, "does not say what to search for"),
        ({"over": "upscale.denoise"}, UsageError, "must be field=values"),
        ({"over": "upscale.denose=0.3:0.8"}, RecipeError, "unknown field"),
        ({"over": "upscale.denoise=0.3:1.8"}, UsageError, "over upscale.denoise.1.: must be at most 1"),
        ({"over": "upscale.method=bicubic,area"}, UsageError, "has to be a number"),
        ({"over": "upscale.denoise=0.8:0.3"}, UsageError, "from a smaller number to a larger one"),
        ({"over": ["upscale.denoise=0.3:0.8", "upscale.denoise=0.4:0.5"]}, UsageError, "is given twice"),
        ({"over": ["upscale.denoise=0.3:0.8", "upscale.denose=0.4:0.5"]}, RecipeError, "unknown field"),
        (
            {"over": ["upscale.denoise=0.3:0.8", "upscale.sampler.cfg=5"]},
            UsageError,
            "upscale.sampler.cfg: needs at least two values",
        ),
        ({"over": ["upscale.denoise=0.3:0.8", "upscale.sampler.cfg=8:4"]}, UsageError, "from a smaller number to a larger one"),
        ({"over": ["upscale.denoise=0.3:0.8", "sampler.name=euler:heun"]}, UsageError, "names have no range"),
        ({"over": ["upscale.denoise=0.3:0.8", "upscale.method=bicubic:area"]}, UsageError, "over upscale.method"),
        ({"over": ["upscale.denoise=0.3:0.8", "upscale.sampler.steps=4:99999999"]}, UsageError, "over upscale.sampler.steps"),
        ({"over": ["upscale.denoise=0.3:0.8", "upscale.sampler.steps=4:9000"]}, UsageError, "at most 1000 are possible"),
        ({"over": ["upscale.denoise=0.3:0.8", "upscale.sampler.steps=4:903"]}, UsageError, "at most 20000 are possible"),
        ({"over": "upscale.denoise=0.3:0.8", "tolerance": 0.0001}, UsageError, "makes 5001 values"),
        ({"over": ["upscale.sampler.cfg=4,5", "upscale.sampler={cfg: 5},{cfg: 6}"]}, InputError, "cannot be swept together with"),
        ({"over": ["upscale.denoise=0.3:0.8", "=1,2"]}, UsageError, "must be field=values"),
        ({"over": "upscale.denoise=0.5"}, UsageError, "needs at least two values"),
        ({"over": "find.jobs=1:8"}, RecipeError, "cannot be swept"),
        ({"over": "batch_size=1:8"}, UsageError, "says how many pictures there are"),
        ({"over": "upscale.denoise=0.3:0.8", "jobs": 0}, UsageError, "must be above 0"),
        ({"over": "upscale.denoise=0.3:0.8", "max_drift": -1.0}, UsageError, "must be above 0"),
        ({"over": "upscale.denoise=0.3:0.8", "tolerance": float("nan")}, UsageError, "must be above 0"),
        ({"over": "upscale.denoise=0.3:0.8", "sweeps": ["upscale.denoise=0.5,0.6"]}, InputError, "given twice"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_rendered(
    given: dict[str, Any], kind: type[ComfyRunnerError], told: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=told):
        find(recipe(), out=tmp_path / "out", config=Config(), **given)

    assert [*tmp_path.iterdir()] == []


def test_a_field_that_moves_with_another_one_is_refused(tmp_path: Path) -> None:
    linked = recipe(sweep={"zip": {"upscale.denoise": [0.3, 0.4], "seed": [1, 2]}})

    with pytest.raises(InputError):
        plan_find(linked, over="upscale.denoise=0.3,0.4", out=tmp_path / "out", config=Config())


def test_a_plan_counts_values_that_give_the_same_picture_once(tmp_path: Path) -> None:
    few = recipe()
    few["sampler"] = {"steps": 10}

    found = plan_find(few, over="upscale.denoise=0.3:0.8", sweeps=["seed=1,2"], out=tmp_path / "out", config=Config())

    # int(10 / denoise) is one of 12 to 33.
    assert (found.combinations, found.same, found.series, found.done) == (18, 8, 2, 0)
    assert (found.grid, found.most) == (36, 16)
    assert not (tmp_path / "out").exists()


def test_what_a_recipe_says_is_searched_for(tmp_path: Path) -> None:
    said = recipe(find={"over": {"upscale.denoise": "0.3:0.8"}, "max_drift": 0.2, "tolerance": 0.1, "jobs": 3})

    found = plan_find(said, out=tmp_path / "out", config=Config())

    assert (found.over, found.most) == ({"upscale.denoise": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)}, 3)


def test_a_list_and_whole_numbers_are_ranges_too(tmp_path: Path) -> None:
    listed = recipe(find={"over": {"upscale.denoise": [0.7, 0.3, 0.55]}})

    assert plan_find(listed, out=tmp_path, config=Config()).over == {"upscale.denoise": (0.3, 0.55, 0.7)}
    found = plan_find(recipe(), over="upscale.sampler.steps=4:9", out=tmp_path, config=Config())
    assert found.over == {"upscale.sampler.steps": (4, 5, 6, 7, 8, 9)}


_SEVERAL = ("upscale.denoise=0.3:0.8:0.05", "upscale.method=nearest-exact,bicubic", "upscale.sampler.cfg=3:8")


def test_a_plan_over_several_fields_counts_their_combinations(tmp_path: Path) -> None:
    said = recipe(
        find={"over": {"upscale.denoise": "0.3:0.8", "upscale.method": ["nearest-exact", "area"], "sampler.steps": "20:22"}}
    )
    found = plan_find(said, sweeps=["seed=1,2"], out=tmp_path / "out", config=Config())

    assert {field: len(values) for field, values in found.over.items()} == {
        "upscale.denoise": 26,
        "upscale.method": 2,
        "sampler.steps": 3,
    }
    # At twice the size, both methods give the same.
    assert found.same >= 78
    assert (found.combinations + found.same, found.grid, found.most) == (156, found.combinations * 2, 24)


@pytest.mark.slow
def test_a_search_over_several_fields_finds_their_best_values_and_is_told_in_the_report(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)

    found = find(recipe(), over=_SEVERAL, server=server.url, out=tmp_path / "out", config=Config())

    # From 0.65 on, it is another picture; cfg 5 is the best one, and 4 to 6 cannot be told from it.
    assert found.values["upscale.denoise"] == 0.6
    assert found.values["upscale.method"] == "nearest-exact"
    assert 4 <= found.values["upscale.sampler.cfg"] <= 6
    assert len(found.steps) <= 24
    assert {step.job_id for step in found.steps} == {path.parent.name for path in (tmp_path / "out").glob("*/job.json")}
    assert "of the 132 of the whole sweep" in line(found)
    told = path_of_search(tmp_path / "out")
    assert told is not None
    assert told["fields"] == [*found.values]
    assert [step["job"] for step in told["steps"]] == [step.job_id for step in found.steps]
    assert {*map(tuple, (step["values"] for step in told["steps"] if step["chosen"]))} == {tuple(map(label, found.values.values()))}
    again = find(recipe(), over=_SEVERAL, server=server.url, out=tmp_path / "out", config=Config())
    assert (again.values, again.steps, line(again)) == (found.values, found.steps, line(found))


@pytest.mark.slow
def test_several_fields_use_what_a_sweep_has_rendered_also_between_their_values(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    swept = ["upscale.denoise=0.42,0.6", "upscale.method=nearest-exact,bicubic", "upscale.sampler.cfg=5"]
    with run([recipe()], sweeps=swept, server=server.url, out=tmp_path / "out", config=Config()) as before:
        before.results()

    found = find(recipe(), over=_SEVERAL, server=server.url, out=tmp_path / "out", config=Config(), jobs=4)

    assert (found.plan.done, found.plan.combinations) == (4, 132)
    assert len(found.steps) <= 4
    assert found.values == {"upscale.denoise": 0.6, "upscale.method": "nearest-exact", "upscale.sampler.cfg": 5.0}
    assert {0.42} & {step.value for step in found.steps} == set()


@pytest.mark.slow
def test_a_search_finds_the_value_of_the_whole_sweep_with_half_the_second_passes(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)

    found = _found(server, tmp_path, "upscale.denoise=0.4:0.8:0.05", max_drift=0.2)

    assert len(found.steps) <= 4
    assert {step.job_id for step in found.steps} == {path.parent.name for path in (tmp_path / "out").glob("*/job.json")}
    with run(
        [recipe()], sweeps=["upscale.denoise=0.4:0.8:0.05"], server=server.url, out=tmp_path / "grid", config=Config()
    ) as grid:
        grid.results()
    chosen = suggest(tmp_path / "grid", limits=Limits(drift=0.2)).chosen
    assert chosen is not None
    assert found.value == chosen.value
    assert f"upscale.denoise {chosen.label}" in line(found)
    assert write_report(tmp_path / "out").notes[0] == f"find: {line(found)}"


def _kept(folder: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    """Have a calibration kept for all checkpoints."""
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", str(folder / "config.yaml"))
    keep_calibration(
        Calibration(
            limits=limits,
            ranges={},
            compared=60,
            implied=0,
            opinions=60.0,
            originals=6,
            usual_agreement=0.6,
            agreement=0.8,
            problem="",
        )
    )


def test_kept_limits_count_only_where_that_is_asked_for_and_what_is_said_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kept(tmp_path, monkeypatch, Limits(drift=0.1, drift_cost=0.5))

    def limits(said: float | None = None, **given: Any) -> Limits:
        over = {"over": {"upscale.denoise": "0.3:0.8:0.1"}} | ({} if said is None else {"max_drift": said})
        return plan_find(recipe(find=over), out=tmp_path / "out", config=Config(), **given).limits

    kept = Limits(drift=0.1, drift_cost=0.5, calibration="*")
    assert limits() == Limits()
    assert limits(calibrated=True) == kept
    assert limits(calibrated=True, said=0.2) == replace(kept, drift=0.2)
    assert limits(calibrated=True, said=0.2, max_drift=0.25) == replace(kept, drift=0.25)


@pytest.mark.slow
def test_a_search_by_kept_limits_finds_what_the_sweep_gives_by_them(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_from(tmp_path / "variants", server)
    _kept(tmp_path, monkeypatch, Limits(drift=0.5, local_drift=1.0, drift_cost=12.0))
    swept = "upscale.denoise=0.5:0.8:0.05"

    found = _found(server, tmp_path, swept, calibrated=True)

    with run([recipe()], sweeps=[swept], server=server.url, out=tmp_path / "grid", config=Config()) as grid:
        grid.results()
    told = suggest(tmp_path / "grid", limits=kept_limits(tmp_path / "grid"))
    assert told.chosen is not None
    assert found.value == told.chosen.value
    assert found.detail == pytest.approx(told.chosen.detail)
    assert found.drift == pytest.approx(told.chosen.drift)


@pytest.mark.slow
@pytest.mark.parametrize(("of", "paints", "moves"), [("chelsea", 0.5, 0.8), ("rocket", 0.2, 0.3)])
def test_a_fleet_of_which_one_server_dies_finds_the_value_of_the_whole_sweep_on_the_usual_path(
    of: str, paints: float, moves: float, tmp_path: Path
) -> None:
    painted_so: dict[str, Any] = {"of": of, "paints": paints, "moves": moves}
    values = [round(0.3 + 0.02 * number, 2) for number in range(26)]
    wanted = make_run(tmp_path / "grid", {DENOISE: values}, partial(photo, **painted_so))
    chosen = suggest(wanted).chosen
    assert chosen is not None
    with fleet_of(State(), State(), State()) as servers:
        for server in servers:
            answer_from(tmp_path / "variants", server, **painted_so)
        urls = [server.url for server in servers]
        whole = find(recipe(), over=f"{DENOISE}=0.3:0.8", server=urls, out=tmp_path / "whole", config=Config())
        dying = Thread(target=_die, args=(servers, [server.state.hold("second_pass") for server in servers]))
        dying.start()
        found = find(recipe(), over=f"{DENOISE}=0.3:0.8", server=urls, out=tmp_path / "fleet", config=Config(), policy=policy())
        dying.join()

    assert [step.job_id for step in found.steps] == [step.job_id for step in whole.steps]
    assert len(found.steps) <= 8
    assert found.value == whole.value
    assert found.detail is not None
    assert chosen.detail is not None
    assert abs(found.value - chosen.value) < 0.021 or found.detail >= chosen.detail - unseen(chosen.detail)


def test_the_report_suggests_what_a_search_over_several_seeds_has_found(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)

    found = _found(server, tmp_path, "upscale.denoise=0.3:0.8:0.1", sweeps=["seed=1,2,3"], max_drift=0.2)

    suggestion = write_report(tmp_path / "out", limits=Limits(drift=0.2)).suggestion
    assert found.rendered_series == 3
    assert suggestion is not None
    assert suggestion.chosen is not None
    assert suggestion.chosen.value == found.value


def test_the_same_search_again_renders_nothing_and_says_the_same(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    first = _found(server, tmp_path)
    asked = len(server.state.ran)

    again = _found(server, tmp_path)

    assert len(server.state.ran) == asked
    assert (again.value, again.steps, line(again)) == (first.value, first.steps, line(first))


def test_what_a_sweep_has_rendered_before_is_not_rendered_again(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    swept = ["upscale.denoise=0.35,0.52,0.6,0.7"]
    with run([recipe()], sweeps=swept, server=server.url, out=tmp_path / "out", config=Config()) as before:
        before.results()

    found = _found(server, tmp_path)

    assert found.plan.done == 4
    assert 0.52 in found.plan.over["upscale.denoise"]
    assert not {0.35, 0.52, 0.6, 0.7} & {step.value for step in found.steps}


@pytest.mark.slow
def test_a_search_that_is_interrupted_goes_on_on_the_same_path(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    wanted = _found(server, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(_steps: object) -> None:
        raise Stop

    for _ in wanted.steps:
        with pytest.raises(Stop):
            _found(server, tmp_path, told=stop)
        # Each call has got one batch further when it is stopped.
        if len([*(tmp_path / "out").glob("*/job.json")]) == len(wanted.steps):
            break
    found = _found(server, tmp_path)

    assert [step.job_id for step in found.steps] == [step.job_id for step in wanted.steps]
    assert found.value == wanted.value


@pytest.mark.slow
def test_a_search_that_goes_on_with_another_fleet_keeps_to_its_path(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(_steps: object) -> None:
        raise Stop

    with fleet_of(State(), State(), State()) as servers:
        for server in servers:
            answer_from(tmp_path / "variants", server)
        urls = [server.url for server in servers]
        over = f"{DENOISE}=0.3:0.8"
        whole = find(recipe(), over=over, server=urls, out=tmp_path / "whole", config=Config())
        with pytest.raises(Stop):
            find(recipe(), over=over, server=urls, out=tmp_path / "out", config=Config(), told=stop)
        # Each server has had one.
        assert len([*(tmp_path / "out").glob("*/job.json")]) == 3
        found = find(recipe(), over=over, server=urls[:1], out=tmp_path / "out", config=Config())

    assert [step.job_id for step in found.steps] == [step.job_id for step in whole.steps]


def test_a_damaged_record_of_a_search_costs_nothing_but_the_record(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    first = _found(server, tmp_path)
    record = tmp_path / "out" / REPORT_FILES / "find.json"
    for content in ("", "[1]", '{"v": 1, "key": 5, "had": 3, "found": ["x"], "path": 1}', "[" * 100_000):
        record.write_text(content)

        assert _found(server, tmp_path).value == first.value
        assert json.loads(record.read_text())["v"] == 1


def test_a_job_that_fails_ends_the_search_with_its_error(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    server.state.node_faults = {"second_pass": NodeFault.ERROR}

    with pytest.raises(JobFailed):
        _found(server, tmp_path)
