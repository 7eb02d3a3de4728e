"""What goes on while a run runs: order, events, interruptions, servers that go away, faults of our own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.engine import ComfyUIEngine
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import Interrupted, JobFailed, ServerError, ServerStuck
from comfy_runner.graph.cost import StepTable
from comfy_runner.running.candidates import Candidate, Examiner
from comfy_runner.running.coordinator import Coordinator
from comfy_runner.running.events import (
    Event,
    JobFinished,
    JobProgressed,
    JobResult,
    JobSubmitted,
    JobWaiting,
    RunFinished,
    RunStarted,
    Spent,
)
from comfy_runner.running.handle import Run
from comfy_runner.running.state import Work
from comfy_runner.store.run_folder import RunFolder
from tests.running.fleet.support import rows_in
from tests.running.support import Room, Supply, begin, posted_jobs, rendered, sidecar_in, small
from tests.standin import StandIn

_SHORT = Timeouts(outage=0.1, idle=0.1, queue=0.02, repost=(0.01, 0.02), reconnect=0.1)


def _three() -> list[dict[str, object]]:
    return [small(name=name, seed=seed) for seed, name in enumerate("abc", 1)]


def _http(server: StandIn) -> ComfyHttp:
    return ComfyHttp(parse_address(server.url))


# Order


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_the_server_holds_as_many_jobs_as_it_may_and_not_one_more(server: StandIn, tmp_path: Path, in_flight: int) -> None:
    gate = server.state.hold("first_pass")
    with begin(server, tmp_path, *_three(), small(name="d", seed=4), in_flight=in_flight) as rendering:
        submitted = 0
        for event in rendering:
            submitted += isinstance(event, JobSubmitted)
            if submitted == in_flight:
                break
        gate.wait()
        assert posted_jobs(server) == list("abcd")[:in_flight]
        assert len(rendering.on_server()) == in_flight
        gate.open()
        rendering.results()

    assert posted_jobs(server) == list("abcd")


def test_jobs_are_rendered_in_the_order_of_the_recipes(server: StandIn, tmp_path: Path) -> None:
    results = rendered(server, tmp_path, *_three())

    assert [result.job_id for result in results] == ["a", "b", "c"]
    assert [entry["prompt"][1] for entry in server.state.memory.history.values()] == [
        sidecar_in(tmp_path, name)["prompt_id"] for name in "abc"
    ]


# Events


def test_events_tell_the_whole_story_in_order(server: StandIn, tmp_path: Path) -> None:
    with begin(server, tmp_path) as rendering:
        events = list(rendering)

    started, submitted, *between, finished, end = events
    assert isinstance(started, RunStarted)
    assert (started.folder, started.server, started.jobs, started.done) == (tmp_path, server.url, ("lake",), 0)
    assert submitted == JobSubmitted("lake", sidecar_in(tmp_path)["prompt_id"], server.url)
    assert {type(event) for event in between} <= {JobProgressed, JobWaiting}
    assert isinstance(finished, JobFinished)
    spent = Spent(loads=1, first=1, fewest_loads=1, fewest_first=1, splits=0, jobs={server.url: 1})
    assert end == RunFinished((finished.result,), spent)
    assert rendering.results() == (finished.result,)


def test_progress_names_nodes_by_their_titles_and_only_grows(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("history")
    told = []
    for event in begin(server, tmp_path):
        if isinstance(event, JobProgressed):
            told.append(event)
            if event.node == "Save the upscaled":
                gate.open()

    steps = [(event.node, event.step, event.steps) for event in told if event.steps]
    assert steps == [("First pass", 1, 2), ("First pass", 2, 2), ("Second pass", 1, 2), ("Second pass", 2, 2)]
    shares = [event.fraction for event in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_a_job_behind_a_foreign_one_is_told_to_wait(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("foreign_sampler")
    server.state.add_foreign()
    gate.wait()

    with begin(server, tmp_path) as rendering:
        for event in rendering:
            if isinstance(event, JobWaiting):
                gate.open()
                assert event == JobWaiting("lake", 1)
                break
        else:
            raise AssertionError("nobody was told to wait")
        assert rendering.results()[0].state == "done"


def test_nobody_has_to_read_the_events(server: StandIn, tmp_path: Path) -> None:
    rendering = begin(server, tmp_path, *_three())

    assert [result.state for result in rendering.results()] == ["done"] * 3
    assert isinstance(list(rendering)[-1], RunFinished)


def test_events_are_yielded_once_and_then_no_more(server: StandIn, tmp_path: Path) -> None:
    with begin(server, tmp_path) as rendering:
        assert len(list(rendering)) > 2

    assert list(rendering) == []


def test_where_everything_is_done_the_run_starts_and_finishes_at_once(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)

    with begin(server, tmp_path) as rendering:
        started, finished = rendering

    assert isinstance(started, RunStarted)
    assert (started.server, started.done) == ("", 1)
    assert isinstance(finished, RunFinished)


def test_the_folder_is_free_again_when_the_last_event_is_seen(server: StandIn, tmp_path: Path) -> None:
    for event in begin(server, tmp_path):
        if isinstance(event, RunFinished):
            RunFolder(tmp_path).close()


# Interruptions


@contextmanager
def _held(server: StandIn, place: str, out: Path, *, in_flight: int = 2) -> Iterator[Run]:
    """Give a run of three jobs, the first of which stands at a node while the server holds as many as it may."""
    gate = server.state.hold(place)
    with begin(server, out, *_three(), in_flight=in_flight) as rendering:
        gate.wait()
        submitted = 0
        for event in rendering:
            submitted += isinstance(event, JobSubmitted)
            if submitted == in_flight:
                break
        yield rendering


def test_cancelling_takes_our_jobs_back_and_nobody_elses(server: StandIn, tmp_path: Path) -> None:
    with _held(server, "first_pass", tmp_path) as rendering:
        (foreign,) = server.state.add_foreign()
        rendering.cancel()
        results = rendering.results()

    assert [result.state for result in results] == ["cancelled", "cancelled", "pending"]
    assert [row.state for row in rows_in(tmp_path).values()] == [result.state for result in results]
    assert all(isinstance(result.error, Interrupted) for result in results)
    assert [result.files for result in results] == [{}] * 3
    memory = server.state.memory
    ours = {post.body["prompt_id"] for post in server.state.requests("POST", "/prompt")}
    assert not ours & {item[1] for item in [*memory.pending, *memory.running]}
    assert all(asked.body.get("clear") is None for asked in server.state.requests("POST", "/queue"))
    assert foreign in {item[1] for item in [*memory.pending, *memory.running]} | set(memory.history)


def test_what_was_saved_before_the_interruption_is_collected(server: StandIn, tmp_path: Path) -> None:
    with _held(server, "second_pass", tmp_path, in_flight=1) as rendering:
        rendering.cancel()
        first, *others = rendering.results()

    assert (first.state, list(first.files)) == ("partial", ["original"])
    assert isinstance(first.error, Interrupted)
    assert [result.state for result in others] == ["pending"] * 2
    assert sidecar_in(tmp_path, "a")["reason"] == "interrupted"


def test_after_an_interruption_the_same_run_goes_on(server: StandIn, tmp_path: Path) -> None:
    with _held(server, "second_pass", tmp_path, in_flight=1) as rendering:
        rendering.cancel()
    server.state.hold("second_pass").open()

    results = rendered(server, tmp_path, *_three())

    assert [result.state for result in results] == ["done"] * 3
    again = [post.body["prompt"] for post in server.state.requests("POST", "/prompt")][-3]
    assert "save_original" not in again


def test_leaving_a_run_early_cancels_it(server: StandIn, tmp_path: Path) -> None:
    with _held(server, "first_pass", tmp_path) as rendering:
        pass

    assert [result.state for result in rendering.results()] == ["cancelled", "cancelled", "pending"]
    RunFolder(tmp_path).close()


def test_an_exception_in_the_body_cancels_the_run_and_passes(server: StandIn, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), _held(server, "first_pass", tmp_path) as rendering:
        raise ZeroDivisionError

    assert [result.state for result in rendering.results()] == ["cancelled", "cancelled", "pending"]


def test_cancelling_twice_or_after_the_end_changes_nothing(server: StandIn, tmp_path: Path) -> None:
    with _held(server, "first_pass", tmp_path) as rendering:
        rendering.cancel()
        rendering.cancel()
        results = rendering.results()
        rendering.cancel()

    assert rendering.results() == results
    assert rendering.on_server() == []


def test_a_prompt_that_somebody_else_interrupts_is_told_so(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    with begin(server, tmp_path) as rendering:
        gate.wait()
        _http(server).interrupt(rendering.on_server()[0])
        (result,) = rendering.results()

    assert result.state == "cancelled"
    assert isinstance(result.error, JobFailed)
    assert str(result.error) == "lake: was interrupted by someone else"


# Servers that go away


def test_a_server_that_goes_away_ends_the_run_and_what_was_not_begun_stays_pending(server: StandIn, tmp_path: Path) -> None:
    room = Room(tmp_path, "a", "b", "c", "d", timeouts=_SHORT)
    gate = server.state.hold("first_pass")
    coordinator = room.coordinator(_http(server))
    thread = threading.Thread(target=coordinator.run)
    thread.start()
    gate.wait()
    server.state.go_away()
    thread.join()
    room.folder.close()

    results = {event.result.job_id: event.result for event in room.events if isinstance(event, JobFinished)}
    assert [results[name].state for name in "abcd"] == ["submitted", "submitted", "pending", "pending"]
    assert all(isinstance(result.error, ServerError) for result in results.values())
    server.state.come_back()


def test_a_server_that_takes_nothing_any_more_ends_the_run(server: StandIn, tmp_path: Path) -> None:
    server.state.fail_next("/prompt", 500, times=-1)
    # A 500 is tried as often as `repost` says, however long that takes on a loaded machine.
    room = Room(tmp_path, "a", "b", "c", timeouts=replace(_SHORT, outage=20.0))

    results = room.coordinator(_http(server), in_flight=1).run()
    room.folder.close()

    assert [results[name].state for name in "abc"] == ["failed", "pending", "pending"]
    assert {result.error.exit_code for result in results.values() if result.error} == {3}
    assert posted_jobs(server) == ["a"] * 3


def test_a_server_that_works_no_more_ends_the_run(server: StandIn, tmp_path: Path) -> None:
    server.state.frozen = True
    room = Room(tmp_path, "a", "b", "c", timeouts=_SHORT)

    results = room.coordinator(_http(server), in_flight=1).run()
    room.folder.close()

    assert [results[name].state for name in "abc"] == ["failed", "pending", "pending"]
    assert isinstance(results["a"].error, ServerStuck)


# Faults of our own


class _Broken(Coordinator):
    def run(self) -> dict[str, JobResult]:
        raise ZeroDivisionError("broken")


class _BrokenView(ComfyHttp):
    @contextmanager
    def view(self, filename: str, *, subfolder: str, kind: str) -> Iterator[Iterator[bytes]]:
        raise ZeroDivisionError(filename, subfolder, kind)
        yield iter(())


def test_a_fault_in_the_coordinators_thread_reaches_the_caller_and_frees_the_folder(server: StandIn, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    doors = [Candidate("server", ComfyUIEngine(_http(server)))]
    coordinator = partial(_Broken, folder, Work([], StepTable()), candidates=doors, examiner=Examiner([]), supply=Supply())
    rendering = Run(folder, RunStarted(tmp_path, "", (), 0, ()), coordinator)

    with pytest.raises(ZeroDivisionError, match="broken"):
        rendering.results()
    events: list[Event] = []
    with pytest.raises(ZeroDivisionError, match="broken"):
        events.extend(rendering)
    RunFolder(tmp_path).close()


def test_a_fault_while_collecting_is_not_taken_for_a_finished_job(server: StandIn, tmp_path: Path) -> None:
    room = Room(tmp_path, "a", "b")

    with pytest.raises(ZeroDivisionError):
        room.coordinator(_BrokenView(parse_address(server.url))).run()
    room.folder.close()

    assert not [event for event in room.events if isinstance(event, JobFinished)]
    assert not list(tmp_path.rglob("*.png"))
