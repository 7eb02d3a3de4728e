"""Servers of a fleet that die, hang, stop working, break, refuse, come late or go: what becomes of their jobs."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from comfy_runner.engine.comfyui import client
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.errors import InputError, Interrupted, ServerError
from comfy_runner.retry import Retry
from comfy_runner.running.events import Event, JobFinished, JobResult, RunStarted, ServerChanged
from comfy_runner.running.handle import Run
from comfy_runner.store.control_files import FleetAction, FleetRequest, answer_to, request_fleet
from tests.running.abandon import abandoned, ended
from tests.running.fleet.support import BACKOFF, SHORT, begin, finished, fleet_of, open_in, ours_on, rows_in
from tests.running.support import CHECKPOINTS, plan_of, posted, sidecar_in, small, states, sweep
from tests.standin import HELD, V0_3_40, NodeFault, StandIn, State, Trouble

pytestmark = pytest.mark.slow  # each has several servers fail and waits for what becomes of them


@pytest.fixture
def two() -> Iterator[list[StandIn]]:
    with fleet_of(State(), State()) as servers:
        yield servers


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Yield twenty servers that take connections and never answer, to a client that has the time of a test."""
    monkeypatch.setattr(client, "RequestTimeouts", partial(RequestTimeouts, read=HELD))
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(20)]
        yield [SimpleNamespace(url=f"http://127.0.0.1:{each.getsockname()[1]}") for each in sockets]


def jobs(count: int) -> list[dict[str, object]]:
    """Return so many recipes that share nothing but the checkpoint."""
    return [small(name=f"j{number:02}", seed=number) for number in range(1, count + 1)]


def until(events: Iterable[Event], wanted: Callable[[Event], bool]) -> list[Event]:
    """Return the events up to the first one that is wanted."""
    seen = []
    for event in events:
        seen.append(event)
        if wanted(event):
            return seen
    raise AssertionError(f"that did not happen: {seen}")


def stage_of(server: StandIn, *stages: str) -> Callable[[Event], bool]:
    """Return what knows the event that a server has got to one of these stages."""
    return lambda event: isinstance(event, ServerChanged) and event.url == server.url and event.stage in stages


def all_done(results: Iterable[JobResult]) -> bool:
    """Return whether all jobs are done."""
    return {result.state for result in results} == {"done"}


def saves(*servers: StandIn) -> Counter[str]:
    """Return how often each upscaled picture was saved, by what is in it."""
    ran = [ran for server in servers for ran in server.state.ran]
    return Counter(each.signature for each in ran if each.is_save and each.passes == 2)


# Servers that die and come back


def test_the_jobs_of_a_server_that_dies_are_done_by_the_others(two: list[StandIn], tmp_path: Path) -> None:
    dying, other = two
    gate = dying.state.hold("first_pass")
    with begin(two, tmp_path, *jobs(8)) as rendering:
        gate.wait()
        dying.state.go_away()
        results = rendering.results()

    assert all_done(results)
    assert {result.server for result in results} == {other.url}
    assert open_in(tmp_path) == []
    dying.state.come_back()


def test_what_a_server_had_finished_before_it_was_silent_is_collected_and_not_made_again(
    two: list[StandIn], tmp_path: Path
) -> None:
    silent, other = two
    looked = silent.state.hold("GET /view")
    held = other.state.hold("first_pass")
    with begin(two, tmp_path, *jobs(6)) as rendering:
        looked.wait()
        until(rendering, lambda _event: len(ours_on(other)) == 2 and len(silent.state.memory.history) == 4)
        silent.state.go_away()
        until(rendering, stage_of(silent, "out"))
        looked.open()
        silent.state.come_back()
        until(rendering, stage_of(silent, "back"))
        until(rendering, lambda event: isinstance(event, JobFinished) and event.result.server == silent.url)
        held.open()
        results = rendering.results()

    assert all_done(results)
    assert set(saves(*two).values()) == {1}
    assert open_in(tmp_path) == []


def test_a_server_that_comes_back_goes_on_with_what_nobody_else_has_begun(two: list[StandIn], tmp_path: Path) -> None:
    away = two[0]
    gates = [server.state.hold("first_pass") for server in two]
    with begin(two, tmp_path, *jobs(6)) as rendering:
        for gate in gates:
            gate.wait()
        until(rendering, lambda _event: len(ours_on(away)) == 2)
        away.state.go_away()
        until(rendering, stage_of(away, "out"))
        away.state.come_back()
        until(rendering, stage_of(away, "back"))
        for gate in gates:
            gate.open()
        results = rendering.results()

    assert all_done(results)
    assert set(saves(*two).values()) == {1}


def test_a_server_that_takes_connections_and_never_answers_does_not_hold_up_the_others(
    two: list[StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RequestTimeouts", partial(RequestTimeouts, read=0.3))
    hanging, other = two
    gate = hanging.state.hold("first_pass")
    with begin(two, tmp_path, *jobs(8)) as rendering:
        gate.wait()
        for route in ("GET /queue", "GET /system_stats", "POST /prompt", "GET /object_info"):
            hanging.state.hold(route)
        for prompt_id in rendering.on_server():
            hanging.state.hold(f"GET /history/{prompt_id}")
        results = rendering.results()

    assert all_done(results)
    assert {result.server for result in results} == {other.url}


def test_servers_that_hang_at_the_start_hold_up_neither_the_others_nor_the_end_of_the_program(
    hanging: list[Any], two: list[StandIn], tmp_path: Path
) -> None:
    before, began = set(threading.enumerate()), time.monotonic()
    with begin([*hanging, *two], tmp_path, *jobs(4), latecomers=1.0) as rendering:
        seen = list(rendering)

    assert all_done(finished(seen).results)
    assert {event.url for event in seen if isinstance(event, ServerChanged)} == {server.url for server in hanging}
    assert not [thread for thread in set(threading.enumerate()) - before if not thread.daemon]
    assert time.monotonic() - began < HELD


def test_however_many_servers_hang_one_that_comes_up_is_asked(hanging: list[Any], two: list[StandIn], tmp_path: Path) -> None:
    late, other = two
    late.state.go_away()
    gate = other.state.hold("first_pass")
    began = time.monotonic()
    with begin([*hanging, *two], tmp_path, *jobs(6), latecomers=1.0) as rendering:
        gate.wait()
        late.state.come_back()
        until(rendering, stage_of(late, "back"))
        assert time.monotonic() - began < HELD
        gate.open()
        assert all_done(rendering.results())


def test_each_pause_of_a_server_that_stays_away_is_told(two: list[StandIn], tmp_path: Path) -> None:
    away, other = two
    away.state.go_away()
    gate = other.state.hold("first_pass")
    with begin(two, tmp_path, *jobs(2)) as rendering:
        told = until(rendering, lambda event: isinstance(event, ServerChanged) and event.seconds == BACKOFF.longest)
        gate.open()
        assert all_done(rendering.results())

    assert [event.seconds for event in told if isinstance(event, ServerChanged)] == [BACKOFF.pause(tries) for tries in (1, 2, 3)]


def test_a_server_that_accepts_prompts_and_runs_none_gets_no_more(two: list[StandIn], tmp_path: Path) -> None:
    zombie, other = two
    zombie.state.frozen = True
    with begin(two, tmp_path, *jobs(8)) as rendering:
        seen = until(rendering, stage_of(zombie, "out"))
        results = rendering.results()

    assert "runs none" in str(_error(seen[-1]))
    assert all_done(results)
    assert {result.server for result in results} == {other.url}
    assert len(posted(zombie)) == 2


def test_what_a_server_has_not_begun_is_not_blamed_for_its_standstill(two: list[StandIn], tmp_path: Path) -> None:
    zombie, _other = two
    zombie.state.frozen = True
    with begin(two, tmp_path, *jobs(4), retry=Retry.model_validate({"server_lost": 0})) as rendering:
        seen = list(rendering)

    assert any(map(stage_of(zombie, "out"), seen))
    assert all_done(finished(seen).results)


def test_a_server_that_works_again_comes_back_by_itself(two: list[StandIn], tmp_path: Path) -> None:
    zombie, other = two
    zombie.state.frozen = True
    gate = other.state.hold("first_pass")
    with begin(two, tmp_path, *jobs(8)) as rendering:
        until(rendering, stage_of(zombie, "out"))
        zombie.state.frozen = False
        until(rendering, stage_of(zombie, "back"))
        until(rendering, lambda event: isinstance(event, JobFinished) and event.result.server == zombie.url)
        gate.open()
        results = rendering.results()

    assert all_done(results)


def test_a_server_that_is_dead_at_the_start_takes_part_when_it_comes_up(two: list[StandIn], tmp_path: Path) -> None:
    late, other = two
    late.state.go_away()
    gate = other.state.hold("first_pass")
    with begin(two, tmp_path, *jobs(6)) as rendering:
        (started,) = until(rendering, lambda event: isinstance(event, RunStarted))
        assert isinstance(started, RunStarted)
        assert not [note for note in started.notes if late.url in str(note)]
        until(rendering, stage_of(late, "out"))
        gate.wait()
        late.state.come_back()
        until(rendering, stage_of(late, "joined", "back"))
        until(rendering, lambda event: isinstance(event, JobFinished) and event.result.server == late.url)
        gate.open()
        results = rendering.results()

    assert all_done(results)


def test_when_all_are_dead_the_error_names_each_and_the_next_run_collects_what_they_had(two: list[StandIn], tmp_path: Path) -> None:
    gates = [server.state.hold("history") for server in two]
    with begin(two, tmp_path, *jobs(4), timeouts=replace(SHORT, outage=0.3)) as rendering:
        for gate in gates:
            gate.wait()
        until(rendering, lambda _event: sum(len(ours_on(server)) for server in two) == 4)
        for server in two:
            server.state.go_away()
        results = rendering.results()

    assert {result.state for result in results} == {"pending"}
    error = results[0].error
    assert isinstance(error, ServerError)
    assert all(any(problem.where.startswith(server.url) for problem in error.problems) for server in two)
    assert len(open_in(tmp_path)) == 4

    for server, gate in zip(two, gates, strict=True):
        gate.open()
        server.state.come_back()
    with begin(two, tmp_path, *jobs(4)) as rendering:
        assert all_done(rendering.results())
    assert set(saves(*two).values()) == {1}
    assert open_in(tmp_path) == []


def _error(event: Event) -> object:
    assert isinstance(event, ServerChanged)
    return event.error


# A GPU that is broken


def test_two_jobs_running_that_fail_of_a_broken_gpu_put_a_server_out_and_its_jobs_go_elsewhere(
    two: list[StandIn], tmp_path: Path
) -> None:
    broken, other = two
    broken.state.troubles.append(Trouble("broken gpu", node="first_pass", until_free=False))
    with begin(two, tmp_path, *jobs(8)) as rendering:
        seen = until(rendering, stage_of(broken, "out"))
        results = rendering.results()

    assert "broken GPU" in str(_error(seen[-1]))
    assert all_done(results)
    assert {result.server for result in results} == {other.url}


def test_a_server_whose_gpu_is_well_again_comes_back_by_itself(two: list[StandIn], tmp_path: Path) -> None:
    broken, other = two
    broken.state.troubles.append(Trouble("broken gpu", node="first_pass", times=2, until_free=False))
    gate = other.state.hold("first_pass")
    with begin(two, tmp_path, *jobs(10)) as rendering:
        until(rendering, stage_of(broken, "out"))
        until(rendering, stage_of(broken, "back"))
        until(rendering, lambda event: isinstance(event, JobFinished) and event.result.server == broken.url)
        gate.open()
        assert all_done(rendering.results())


def test_one_job_that_fails_of_a_broken_gpu_puts_no_server_out(two: list[StandIn], tmp_path: Path) -> None:
    hiccup, _other = two
    hiccup.state.troubles.append(Trouble("broken gpu", node="first_pass", times=1, until_free=False))
    with begin(two, tmp_path, *jobs(10)) as rendering:
        seen = list(rendering)

    assert all_done(finished(seen).results)
    assert hiccup.state.troubles[0].times == 0
    assert not [event for event in seen if stage_of(hiccup, "out")(event)]


# What a server can do


def test_jobs_go_only_to_the_server_that_has_their_checkpoint(two: list[StandIn], tmp_path: Path) -> None:
    both, one = two
    one.state.models = {**one.state.models, "checkpoints": [CHECKPOINTS[0]]}
    recipe = sweep({"checkpoint": list(CHECKPOINTS), "seed": [1, 2, 3]})
    with begin(two, tmp_path, recipe) as rendering:
        results = rendering.results()

    assert all_done(results)
    assert {graph["checkpoint"]["inputs"]["ckpt_name"] for graph in posted(one)} <= {CHECKPOINTS[0]}
    assert len([graph for graph in posted(both) if graph["checkpoint"]["inputs"]["ckpt_name"] == CHECKPOINTS[1]]) == 3


def test_each_server_is_asked_for_models_by_its_own_names(two: list[StandIn], tmp_path: Path) -> None:
    two[1].state.windows = True
    recipes = [small(name=f"j{seed}", seed=seed, checkpoint="SDXL/base.safetensors") for seed in range(6)]
    gates = [server.state.hold("first_pass") for server in two]
    with begin(two, tmp_path, *recipes) as rendering:
        for gate in gates:
            gate.wait()
            gate.open()
        assert all_done(rendering.results())

    names = [{graph["checkpoint"]["inputs"]["ckpt_name"] for graph in posted(server)} for server in two]
    assert names == [{"SDXL/base.safetensors"}, {"SDXL\\base.safetensors"}]


def test_a_job_that_no_server_can_do_is_refused_at_once_with_each_ones_reason(two: list[StandIn], tmp_path: Path) -> None:
    for number, server in enumerate(two):
        server.state.models = {**server.state.models, "checkpoints": [f"only-{number}.safetensors"]}

    with pytest.raises(InputError) as caught:
        begin(two, tmp_path, small())

    text = "\n".join(f"{problem} {problem.hint}" for problem in caught.value.problems)
    assert all(server.url in text for server in two)
    assert caught.value.exit_code == 2
    assert not any(posted(server) for server in two)


def test_a_job_that_one_server_refuses_although_it_listed_all_goes_to_another(two: list[StandIn], tmp_path: Path) -> None:
    forgetful, other = two
    with begin_listed(two, tmp_path, forgetful) as rendering:
        results = rendering.results()

    assert all_done(results)
    assert {result.server for result in results} == {other.url}
    assert posted(forgetful)


def begin_listed(
    two: list[StandIn], out: Path, forgetful: StandIn, *, meanwhile: Callable[[], None] = lambda: None, **options: Any
) -> Run:
    """Begin six jobs, whose checkpoint is gone from a server between its listing and the first POST."""
    gate = forgetful.state.hold("POST /prompt")
    rendering = begin(two, out, *jobs(6), **options)
    gate.wait()
    meanwhile()
    forgetful.state.models = {**forgetful.state.models, "checkpoints": ["another.safetensors"]}
    gate.open()
    return rendering


def test_a_job_that_a_server_refuses_waits_for_one_that_has_not_answered_yet(two: list[StandIn], tmp_path: Path) -> None:
    forgetful, away = two
    away.state.go_away()
    with begin_listed(two, tmp_path, forgetful) as rendering:
        until(rendering, lambda _event: len(posted(forgetful)) == 6)
        away.state.come_back()
        results = rendering.results()

    assert all_done(results)
    assert {result.server for result in results} == {away.url}
    assert len(posted(forgetful)) == 6


def test_a_job_that_a_server_refuses_waits_for_one_that_is_out_of_order(two: list[StandIn], tmp_path: Path) -> None:
    forgetful, away = two
    gate = away.state.hold("first_pass")

    def meanwhile() -> None:
        gate.wait()
        away.state.go_away()

    with begin_listed(two, tmp_path, forgetful, meanwhile=meanwhile) as rendering:
        until(rendering, stage_of(away, "out"))
        until(rendering, lambda _event: len(posted(forgetful)) == 6)
        gate.open()
        away.state.come_back()
        results = rendering.results()

    assert all_done(results)
    assert {result.server for result in results} == {away.url}
    assert len(posted(forgetful)) == 6


def test_where_the_server_that_is_waited_for_stays_away_the_refusal_is_told_with_it(two: list[StandIn], tmp_path: Path) -> None:
    forgetful, away = two
    away.state.go_away()
    with begin_listed(two, tmp_path, forgetful, timeouts=replace(SHORT, outage=1.0)) as rendering:
        results = rendering.results()

    assert {result.state for result in results} == {"pending"}
    assert len(posted(forgetful)) == 6
    for result in results:
        assert isinstance(result.error, ServerError)
        assert result.error.exit_code == 3
        assert "another.safetensors" in str(result.error)
        assert any(away.url in problem.where for problem in result.error.problems)
    assert {row.state for row in rows_in(tmp_path).values()} == {"pending"}
    assert open_in(tmp_path) == []


def test_a_graph_of_several_jobs_that_is_refused_is_tried_job_by_job_and_then_elsewhere(tmp_path: Path) -> None:
    with fleet_of(State(cache="none"), State()) as two:
        forgetful, other = two
        gate = forgetful.state.hold("POST /prompt")
        recipe = sweep({"seed": [1, 2], "upscale.denoise": [0.4, 0.5, 0.6, 0.7]})
        with begin(two, tmp_path, recipe) as rendering:
            gate.wait()
            forgetful.state.models = {**forgetful.state.models, "checkpoints": ["another.safetensors"]}
            gate.open()
            results = rendering.results()

    assert all_done(results)
    assert {result.server for result in results} == {other.url}


def test_a_job_that_all_servers_refuse_fails_with_each_ones_reason(two: list[StandIn], tmp_path: Path) -> None:
    gates = [server.state.hold("POST /prompt") for server in two]
    with begin(two, tmp_path, *jobs(3)) as rendering:
        for server, gate in zip(two, gates, strict=True):
            gate.wait()
            server.state.models = {**server.state.models, "checkpoints": [f"{server.url}.safetensors"]}
        for gate in gates:
            gate.open()
        results = rendering.results()

    assert set(states(results).values()) == {"failed"}
    for result in results:
        assert all(f"{server.url}.safetensors" in str(result.error) for server in two), str(result.error)


def test_a_server_without_a_cache_and_one_with_share_a_sweep(tmp_path: Path) -> None:
    recipe = sweep({"seed": {"start": 1, "count": 6}, "upscale.denoise": [0.4, 0.5, 0.6, 0.7]})
    with fleet_of(State(cache="none"), State()) as two:
        gates = [server.state.hold("first_pass") for server in two]
        with begin(two, tmp_path, recipe) as rendering:
            for gate in gates:
                gate.wait()
                gate.open()
            seen = list(rendering)
        forgetful, classic = two
        several = [sum(node["class_type"] == "SaveImage" for node in graph.values()) // 2 for graph in posted(forgetful)]
        assert max(several) > 1
        assert {sum(node["class_type"] == "SaveImage" for node in graph.values()) for graph in posted(classic)} == {2}

    assert all_done(finished(seen).results)


def test_a_slow_server_gets_few_jobs_of_many(tmp_path: Path) -> None:
    with fleet_of(State(step_seconds=0.4), State(step_seconds=0.002)) as two:
        slow, _fast = two
        with begin(two, tmp_path, *jobs(40), in_flight=1) as rendering:
            results = rendering.results()

    assert all_done(results)
    assert sum(result.server == slow.url for result in results) <= 10


# The user


def test_cancelling_leaves_nothing_of_ours_in_any_queue_and_all_of_the_others(tmp_path: Path) -> None:
    with fleet_of(State(), State(V0_3_40)) as two:
        gates = [server.state.hold("first_pass") for server in two]
        with begin(two, tmp_path, *jobs(8)) as rendering:
            for gate in gates:
                gate.wait()
            until(rendering, lambda _event: all(len(ours_on(server)) == 2 for server in two))
            foreign = [server.state.add_foreign(2) for server in two]
            rendering.cancel()
            results = rendering.results()

        for server, ids in zip(two, foreign, strict=True):
            memory = server.state.memory
            assert ours_on(server) == []
            assert set(ids) <= {item[1] for item in [*memory.running, *memory.pending]} | memory.history.keys()

    assert Counter(result.state for result in results) == {"cancelled": 4, "pending": 4}
    assert states(results) == {job_id: row.state for job_id, row in rows_in(tmp_path).items()}
    assert all(isinstance(result.error, Interrupted) for result in results)
    assert open_in(tmp_path) == []


def test_with_fail_fast_nothing_more_is_begun_on_any_server(two: list[StandIn], tmp_path: Path) -> None:
    for server in two:
        server.state.node_faults["first_pass"] = NodeFault.ERROR
    with begin(two, tmp_path, *jobs(12), fail_fast=True) as rendering:
        results = rendering.results()

    assert {"failed", "pending"} == set(states(results).values())
    assert sum(len(posted(server)) for server in two) < 12


def test_what_a_killed_run_has_left_on_two_servers_is_taken_up_on_both(two: list[StandIn], tmp_path: Path) -> None:
    for server, job_id in zip(two, ("j01", "j02"), strict=True):
        ended(server, abandoned(server, tmp_path, *jobs(4), only=[job_id]))
    with begin(two, tmp_path, *jobs(4)) as rendering:
        results = {result.job_id: result for result in rendering.results()}

    assert all_done(results.values())
    assert [results[job_id].server for job_id in ("j01", "j02")] == [server.url for server in two]
    assert set(saves(*two).values()) == {1}
    assert open_in(tmp_path) == []


def test_what_is_left_on_a_server_that_is_down_at_first_is_collected_when_it_answers(two: list[StandIn], tmp_path: Path) -> None:
    down, other = two
    ended(down, abandoned(down, tmp_path, *jobs(4), only=["j01"]))
    down.state.go_away()
    gate = other.state.hold("first_pass")
    with begin(two, tmp_path, *jobs(4)) as rendering:
        gate.wait()
        down.state.come_back()
        seen = until(rendering, lambda event: isinstance(event, JobFinished) and event.result.job_id == "j01")
        gate.open()
        results = rendering.results()

    last = seen[-1]
    assert isinstance(last, JobFinished)
    assert last.result.server == down.url
    assert all_done(results)
    assert set(saves(*two).values()) == {1}
    assert open_in(tmp_path) == []


def test_what_is_left_on_a_server_that_stays_down_is_done_by_the_others(two: list[StandIn], tmp_path: Path) -> None:
    down, other = two
    abandoned(down, tmp_path, *jobs(4), only=["j01", "j02"])
    down.state.go_away()
    with begin(two, tmp_path, *jobs(4)) as rendering:
        results = rendering.results()

    assert all_done(results)
    assert {result.server for result in results} == {other.url}
    assert open_in(tmp_path) == []


def test_pictures_of_what_a_job_was_are_not_taken_for_what_it_is_now(two: list[StandIn], tmp_path: Path) -> None:
    down, other = two
    submissions = abandoned(down, tmp_path, small(seed=98))
    ended(down, submissions)
    asked = len(down.state.requests("GET", f"/history/{submissions[0].prompt_id}"))
    down.state.go_away()
    gate = other.state.hold("first_pass")
    with begin(two, tmp_path, small(seed=99), *jobs(3)) as rendering:
        gate.wait()
        down.state.come_back()
        until(rendering, stage_of(down, "joined", "back"))
        down.state.until_asked("GET", f"/history/{submissions[0].prompt_id}", asked + 2)
        gate.open()
        results = {result.job_id: result for result in rendering.results()}

    assert all_done(results.values())
    assert sidecar_in(tmp_path)["content_hash"] == plan_of(small(seed=99)).drafts[0].content_hash
    assert saves(*two).total() == 5
    assert open_in(tmp_path) == []


# Requests to a live run


def test_a_server_that_is_added_to_a_live_run_gets_work(tmp_path: Path) -> None:
    with fleet_of(State(), State(), State()) as servers:
        third = servers[2]
        names = [f"{name}.safetensors" for name in "abc"]
        for server in servers:
            server.state.models = {**server.state.models, "checkpoints": names}
        gates = [server.state.hold("first_pass") for server in servers[:2]]
        # Loading a model costs more than all jobs of this size: each server takes one.
        with begin(servers[:2], tmp_path, sweep({"checkpoint": names, "seed": [1, 2, 3]})) as rendering:
            for gate in gates:
                gate.wait()
            request = request_fleet(tmp_path, "add", third.url)
            until(rendering, stage_of(third, "joined"))
            assert answer_of(request) == ""
            until(rendering, lambda event: isinstance(event, JobFinished) and event.result.server == third.url)
            for gate in gates:
                gate.open()
            assert all_done(rendering.results())


@pytest.mark.parametrize("dying", [0, 1])
def test_once_a_server_is_added_neither_is_waited_for_as_long_as_a_single_one(tmp_path: Path, dying: int) -> None:
    names = ["a.safetensors", "b.safetensors"]
    with fleet_of(State(), State()) as two:
        for server in two:
            server.state.models = {**server.state.models, "checkpoints": names}
        gates = [server.state.hold("first_pass") for server in two]
        timeouts = replace(SHORT, outage=2 * HELD)
        with begin(two[:1], tmp_path, sweep({"checkpoint": names, "seed": [1, 2, 3]}), timeouts=timeouts) as rendering:
            gates[0].wait()
            request_fleet(tmp_path, "add", two[1].url)
            gates[1].wait()
            two[dying].state.go_away()
            began = time.monotonic()
            until(rendering, stage_of(two[dying], "out"))
            assert time.monotonic() - began < HELD
            gates[1 - dying].open()
            results = rendering.results()

    assert all_done(results)
    assert {result.server for result in results} == {two[1 - dying].url}


def test_a_server_that_is_drained_finishes_what_it_has_and_gets_nothing_more(two: list[StandIn], tmp_path: Path) -> None:
    drained, other = two
    gates = [server.state.hold("first_pass") for server in two]
    with begin(two, tmp_path, *jobs(8)) as rendering:
        for gate in gates:
            gate.wait()
        until(rendering, lambda _event: len(ours_on(drained)) == 2)
        request = request_fleet(tmp_path, "drain", drained.url)
        until(rendering, stage_of(drained, "draining"))
        assert answer_of(request) == ""
        for gate in gates:
            gate.open()
        results = rendering.results()

    assert all_done(results)
    assert Counter(result.server for result in results) == {drained.url: 2, other.url: 6}


@pytest.mark.parametrize(
    ("action", "server", "why"),
    [
        ("drain", "http://127.0.0.1:9", "is not part"),
        ("add", "http://no port:x", ""),
        ("add", "local", "cannot be started"),
    ],
)
def test_what_cannot_be_done_is_answered_with_the_reason(
    two: list[StandIn], tmp_path: Path, action: FleetAction, server: str, why: str
) -> None:
    gate = two[0].state.hold("first_pass")
    with begin(two, tmp_path, *jobs(3)) as rendering:
        gate.wait()
        request = request_fleet(tmp_path, action, server)
        told = answer_of(request)
        gate.open()
        assert all_done(rendering.results())

    assert told
    assert why in told


def answer_of(request: FleetRequest) -> str:
    """Return what a run has answered, once it has."""
    end = time.monotonic() + HELD
    while (told := answer_to(request)) is None:
        assert time.monotonic() < end, "nobody has answered"
        time.sleep(0.01)
    return told
