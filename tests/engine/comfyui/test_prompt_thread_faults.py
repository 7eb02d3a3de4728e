"""Jobs on a server with faults: the verdict stays true, or the report says why there is none.

Only on the stand-in: a real ComfyUI cannot be told to freeze, to forget or to run out of memory.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from comfy_runner.engine.comfyui.address import Address, parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.interface import EngineOptions
from comfy_runner.engine.reports import Broken, Finished, NodeProgress, Refused, Submitted, Waiting
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.engine.verdict import Conclusion
from comfy_runner.errors import JobFailed, JobLost, ServerStuck, Unreachable
from tests.engine.comfyui.support import QUICK, Clock, Rig, Server, following, names, plain_graph, prefix, sampler_graph
from tests.standin import HELD, NodeFault, State
from tests.standin.faults import SocketMode

# A server that hangs


@pytest.mark.parametrize(
    "posted", [pytest.param(True, id="while it works"), pytest.param(False, id="before it takes a job", marks=pytest.mark.slow)]
)
def test_a_server_that_hangs_is_given_up_when_the_time_of_an_outage_is_over(faulty: Server, state: State, posted: bool) -> None:
    client = ComfyHttp(parse_address(faulty.url), timeouts=RequestTimeouts(connect=1.0, read=1.0))
    rig = Rig(client, EngineOptions(websocket=False, timeouts=replace(QUICK, outage=1.5)))
    places = ["GET /queue", "save" if posted else "POST /prompt"]
    gates = [state.hold(place) for place in places]
    began = time.monotonic()
    rig.submit(plain_graph())
    report = rig.end()
    seconds = time.monotonic() - began
    for gate in gates:
        gate.open()
    rig.thread.close()
    assert isinstance(report, Broken)
    assert isinstance(report.error, Unreachable)
    # The time of the outage, and what one question takes that was asked before it was over; not as much for each question.
    assert seconds < 1.5 + 2 * 1.0 + 0.5


# The websocket


@pytest.mark.parametrize("mode", ["refused", "deaf", "silent", "closing", "garbage"])
def test_the_verdict_is_the_same_whatever_is_wrong_with_the_websocket(faulty: Server, state: State, mode: SocketMode) -> None:
    state.socket_mode = mode
    with following(faulty) as rig:
        verdict = rig.finish(sampler_graph("same")).verdict
    assert verdict.outcome is Conclusion.SUCCEEDED
    assert {node: [file.filename for file in files] for node, files in verdict.files.items()} == {
        "save": ["same-original_00001_.png"],
        "save_up": ["same-upscaled_00001_.png"],
    }


def test_a_websocket_that_is_cut_while_a_job_runs_costs_nothing_but_its_progress(faulty: Server, state: State) -> None:
    gate = state.hold("second")
    with following(faulty) as rig:
        rig.submit(sampler_graph())
        gate.wait()
        state.drop_sockets()
        gate.open()
        report = rig.end()
    assert isinstance(report, Finished)
    assert report.verdict.outcome is Conclusion.SUCCEEDED


def test_frames_of_nonsense_between_the_others_change_nothing(faulty: Server, state: State) -> None:
    state.odd_frames = True
    with following(faulty, timeouts=faulty.told) as rig:
        rig.finish(sampler_graph(steps=3))
    assert [report.step for report in rig.reports if isinstance(report, NodeProgress) and report.node == "first"] == [0, 1, 2, 3]


def test_previews_of_megabytes_change_nothing(faulty: Server, state: State) -> None:
    state.preview_bytes = 3 * 2**20
    with following(faulty, timeouts=faulty.told) as rig:
        rig.finish(sampler_graph(steps=3))
    assert [report.step for report in rig.reports if isinstance(report, NodeProgress) and report.node == "first"] == [0, 1, 2, 3]
    assert len(state.client_ids) == 1


def test_a_job_is_done_when_its_history_is_written_however_late_after_its_success(faulty: Server, state: State) -> None:
    gate = state.hold("history")
    with following(faulty) as rig:
        rig.submit(plain_graph())
        gate.wait()
        assert any(kind == "execution_success" for kind, _ in state.told)
        gate.open()
        report = rig.end()
    assert isinstance(report, Finished)
    assert set(report.verdict.files) == {"save"}


# What the server forgets, or does not get on with


def test_a_job_that_a_restart_wiped_is_lost(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    with following(faulty) as rig:
        rig.submit(plain_graph())
        gate.wait()
        state.restart()
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)


def test_a_restart_is_noticed_by_the_websocket_that_breaks_and_not_only_at_the_next_look(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    # Without a word from the websocket, the next look would come after the test has given up.
    with following(faulty, timeouts=replace(faulty.told, poll_with_socket=2 * HELD)) as rig:
        rig.submit(plain_graph())
        gate.wait()
        state.restart()
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)


def test_a_job_that_somebody_deleted_from_the_queue_is_lost(faulty: Server, state: State) -> None:
    state.hold("foreign_sampler")
    state.add_foreign()
    with following(faulty) as rig:
        job = rig.submit(plain_graph())
        rig.until(Waiting)
        faulty.http.delete_pending([job.prompt_id])
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)


def test_a_job_that_one_answer_leaves_out_is_not_lost(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    with following(faulty) as rig:
        rig.submit(plain_graph())
        gate.wait()
        for _ in range(3):
            asked = len(state.requests("GET", "/queue"))
            state.fail_next("/queue", 200, method="GET", body="{}")
            state.until_asked("GET", "/queue", asked + 4)
        gate.open()
        assert isinstance(rig.end(), Finished)


def test_two_short_outages_are_not_one_long_one(faulty: Server, state: State) -> None:
    gate, clock = state.hold("save"), Clock()
    with following(faulty, timeouts=replace(QUICK, outage=600.0), clock=clock) as rig:
        rig.submit(plain_graph())
        gate.wait()
        for _ in range(2):
            asked = len(state.requests("GET", "/queue"))
            state.fail_next("/queue", 503, method="GET")
            state.until_asked("GET", "/queue", asked + 4)
            clock.jump(601.0)
        gate.open()
        assert isinstance(rig.end(), Finished)


class NoticingHttp(ComfyHttp):
    """A client that tells when it has met an outage."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.noticed = threading.Event()

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        try:
            return super().history(prompt_id)
        except Unreachable:
            self.noticed.set()
            raise


def test_a_server_that_is_gone_for_a_while_and_comes_back_loses_no_job(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    client = NoticingHttp(faulty.http.address)
    rig = Rig(client, EngineOptions(timeouts=replace(QUICK, outage=HELD)))
    rig.submit(plain_graph())
    gate.wait()
    state.go_away()
    assert client.noticed.wait(HELD)
    gate.open()
    state.come_back()
    report = rig.end()
    rig.thread.close()
    assert isinstance(report, Finished)


def test_a_server_that_does_not_come_back_breaks_its_jobs(faulty: Server, state: State) -> None:
    state.hold("save")
    with following(faulty, timeouts=replace(QUICK, outage=0.2)) as rig:
        rig.submit(plain_graph(), "running")
        rig.until(Submitted, "running")
        state.go_away()
        rig.submit(plain_graph(), "new")
        ends = [rig.end("running"), rig.end("new")]
    for end in ends:
        assert isinstance(end, Broken)
        assert isinstance(end.error, Unreachable)


def test_a_worker_that_takes_nothing_from_the_queue_is_stuck(faulty: Server, state: State) -> None:
    state.frozen = True
    with following(faulty, timeouts=replace(QUICK, idle=0.1)) as rig:
        report = rig.run(plain_graph())
    assert isinstance(report, Broken)
    assert isinstance(report.error, ServerStuck)
    assert "restart ComfyUI" in report.error.problems[0].hint


def test_a_foreign_queue_in_which_nothing_moves_for_hours_is_no_stall(faulty: Server, state: State) -> None:
    gate, clock = state.hold("foreign_sampler"), Clock()
    state.add_foreign(5)
    with following(faulty, stall=600.0, clock=clock) as rig:
        rig.submit(plain_graph())
        rig.until(Waiting)
        clock.jump(7200.0)
        asked = len(state.requests("GET", "/queue"))
        state.until_asked("GET", "/queue", asked + 2)
        gate.open()
        assert isinstance(rig.end(), Finished)


def test_the_place_in_the_queue_counts_everybody_who_comes_first(faulty: Server, state: State) -> None:
    gate = state.hold("foreign_sampler")
    state.add_foreign(3)
    gate.wait()
    with following(faulty) as rig:
        rig.submit(plain_graph())
        assert rig.until(Waiting).ahead == 3
        state.add_foreign(2)
        gate.open()
        rig.end()
    assert max(report.ahead for report in rig.reports if isinstance(report, Waiting)) == 3


@pytest.mark.parametrize("with_socket", [True, False])
def test_a_running_job_that_shows_no_progress_for_too_long_is_a_stuck_server(
    faulty: Server, state: State, with_socket: bool
) -> None:
    state.hold("first")
    with following(faulty, with_socket=with_socket, stall=0.1) as rig:
        report = rig.run(sampler_graph())
    assert isinstance(report, Broken)
    assert isinstance(report.error, ServerStuck)
    assert "has made no progress with" in str(report.error)


def test_a_job_whose_steps_go_on_is_no_stall_however_long_it_takes(faulty: Server, state: State) -> None:
    state.step_seconds = 0.005
    clock = Clock()
    with following(faulty, stall=1000.0, clock=clock) as rig:
        rig.submit(sampler_graph(steps=60))
        for step in (10, 30, 50):
            rig.until_step(step)
            clock.jump(600.0)
        assert isinstance(rig.end(), Finished)


def test_a_job_that_takes_longer_than_it_may_fails_and_is_taken_back(faulty: Server, state: State) -> None:
    state.hold("first")
    clock = Clock()
    with following(faulty, total=600.0, clock=clock) as rig:
        rig.submit(sampler_graph(), "slow")
        rig.until_node("first", "slow")
        clock.jump(601.0)
        report = rig.end("slow")
        rig.finish(plain_graph(), "next")
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobFailed)
    assert [entry["status"]["status_str"] for entry in state.memory.history.values()] == ["error", "success"]


def test_waiting_behind_others_counts_towards_the_time_that_a_job_may_take(faulty: Server, state: State) -> None:
    state.hold("foreign_sampler")
    state.add_foreign()
    with following(faulty, total=0.1) as rig:
        report = rig.run(plain_graph())
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobFailed)
    assert state.memory.pending == []


# What a job can end as


def test_out_of_memory_in_the_second_pass_keeps_the_original(faulty: Server, state: State) -> None:
    state.failing_sampler = 2
    with following(faulty) as rig:
        report = rig.finish(sampler_graph("kept"))
    failure = report.verdict.failure
    assert report.verdict.outcome is Conclusion.FAILED
    assert failure is not None
    assert failure.out_of_memory
    assert failure.node == "second"
    assert names(report) == {"save": ["kept-original_00001_.png"]}


def test_an_error_frame_that_a_success_follows_is_no_failure(faulty: Server, state: State) -> None:
    state.node_faults["save_up"] = NodeFault.BLOCKED
    with following(faulty) as rig:
        verdict = rig.finish(sampler_graph()).verdict
    assert any(kind == "execution_error" for kind, _ in state.told)
    assert verdict.outcome is Conclusion.SUCCEEDED
    assert set(verdict.files) == {"save"}


def test_a_job_that_is_cached_as_a_whole_names_the_files_of_the_run_that_made_them(faulty: Server) -> None:
    graph = plain_graph(prefix())
    with following(faulty) as rig:
        first, second = rig.finish(graph, "one"), rig.finish(graph, "two")
    assert names(first) == names(second)
    assert set(second.verdict.cached) == {"image", "save"}


def test_a_half_that_was_queued_and_already_runs_is_interrupted_before_the_refusal(faulty: Server, state: State) -> None:
    state.hold("checkpoint")
    graph = sampler_graph()
    graph["second"]["inputs"]["denoise"] = 1.5
    with following(faulty) as rig:
        report = rig.run(graph)
    assert isinstance(report, Refused)
    assert state.memory.running == []
    assert all(not entry["outputs"] for entry in state.memory.history.values())


def test_a_half_that_was_queued_is_taken_back_also_when_that_fails_at_first(faulty: Server, state: State) -> None:
    state.hold("foreign_sampler")
    state.add_foreign()
    state.fail_next("/queue", 503, times=3)
    graph = sampler_graph()
    graph["second"]["inputs"]["denoise"] = 1.5
    with following(faulty) as rig:
        assert isinstance(rig.run(graph), Refused)
    assert state.memory.pending == []


# The thread itself


class SurprisingHttp(ComfyHttp):
    """A client with a fault of its own, as no test of a server can show it."""

    surprises = 1

    def queue(self) -> dict[str, Any]:
        if self.surprises:
            self.surprises -= 1
            raise RuntimeError("a fault of our own")
        return super().queue()


def test_a_fault_of_our_own_breaks_the_jobs_and_not_the_lane(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    rig = Rig(SurprisingHttp(faulty.http.address), EngineOptions(timeouts=QUICK))
    broken = rig.run(plain_graph(), "broken")
    gate.open()
    finished = rig.run(plain_graph(), "next")
    rig.thread.close()
    assert isinstance(broken, Broken)
    assert "a fault of our own" in str(broken.error)
    assert isinstance(finished, Finished)


def test_closing_a_lane_ends_its_threads_and_leaves_its_job_alone(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    with following(faulty) as rig:
        rig.submit(plain_graph())
        gate.wait()
        rig.thread.close()
        assert not any(faulty.url in thread.name for thread in threading.enumerate())
        gate.open()
    assert state.requests("POST", "/interrupt") == []
    assert state.requests("POST", "/queue") == []


@pytest.mark.parametrize(
    ("restarted", "reason"),
    [(False, "somebody deleted the prompt"), (True, "it was restarted, or its history was cleared")],
    ids=["deleted", "restarted"],
)
def test_a_deletion_and_a_restart_are_told_apart_by_an_earlier_job(
    faulty: Server, state: State, restarted: bool, reason: str
) -> None:
    with following(faulty) as rig:
        rig.finish(plain_graph(), "first")
        state.hold("foreign_sampler")
        state.add_foreign()
        job = rig.submit(plain_graph(), "second")
        rig.until(Waiting, "second")
        if restarted:
            state.restart()
        else:
            faulty.http.delete_pending([job.prompt_id])
        report = rig.end("second")

    assert isinstance(report, Broken)
    assert report.error.problems[0].hint == f"{reason}; run the same command again"


def test_of_our_jobs_the_waiting_one_is_taken_back_before_the_running_one(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    with following(faulty) as rig:
        rig.submit(plain_graph(), "running")
        gate.wait()
        waiting = rig.submit(plain_graph(), "waiting")
        rig.until(Waiting, "waiting")
        rig.thread.cancel(["running", "waiting"])
        rig.end("running")
        rig.end("waiting")

    posts = [asked for asked in state.asked if asked.path in ("/queue", "/interrupt") and asked.method == "POST"]
    assert [asked.path for asked in posts][:2] == ["/queue", "/interrupt"]
    assert posts[0].body == {"delete": [waiting.prompt_id]}
