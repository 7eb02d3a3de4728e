"""How often a server is asked about jobs, and what is found out although it is seldom asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from comfy_runner.engine.reports import Broken, Finished, NodeProgress, Waiting
from comfy_runner.errors import JobLost, ServerStuck
from tests.engine.comfyui.support import QUICK, Rig, following, http, plain_graph, sampler_graph
from tests.standin import HELD, StandIn, State


def _asked_for(state: State, prompt_id: str) -> int:
    return len(state.requests("GET", f"/history/{prompt_id}"))


@pytest.fixture
def believing(standin: StandIn) -> Iterator[Rig]:
    """A thread that its websocket has told of the end of a job; it looks at jobs for that alone, and often at the queue."""
    with following(standin.url, timeouts=replace(QUICK, poll_with_socket=HELD)) as rig:
        rig.finish(plain_graph(), "first")
        yield rig


def test_a_websocket_that_tells_of_ends_leaves_nothing_to_ask_but_the_queue(standin: StandIn, believing: Rig) -> None:
    state = standin.state
    gate = state.hold("save")
    jobs = [believing.submit(plain_graph(), key) for key in ("second", "third")]
    gate.wait()
    state.until_asked("GET", "/queue", len(state.requests("GET", "/queue")) + 5)
    assert [_asked_for(state, job.prompt_id) for job in jobs] == [0, 0]
    gate.open()

    assert all(isinstance(believing.end(key), Finished) for key in ("second", "third"))
    assert [_asked_for(state, job.prompt_id) for job in jobs] == [1, 1]


def test_an_end_that_is_not_told_is_found_all_the_same(standin: StandIn, believing: Rig) -> None:
    gate = standin.state.hold("save")
    believing.submit(plain_graph(), "second")
    gate.wait()
    standin.state.sockets.clear()  # frames are lost, and the connection stands
    gate.open()

    assert isinstance(believing.end("second"), Finished)


def test_a_job_that_is_gone_while_frames_are_waited_for_is_lost(standin: StandIn, believing: Rig) -> None:
    standin.state.hold("foreign_sampler")
    standin.state.add_foreign()
    job = believing.submit(plain_graph(), "second")
    believing.until(Waiting, "second")
    http(standin.url).delete_pending([job.prompt_id])

    report = believing.end("second")
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)


def test_a_server_that_begins_nothing_is_found_to_stand_still_while_frames_are_waited_for(standin: StandIn) -> None:
    timeouts = replace(QUICK, poll_with_socket=HELD, idle=0.1)
    with following(standin.url, timeouts=timeouts) as rig:
        rig.finish(plain_graph(), "first")
        standin.state.frozen = True
        rig.submit(plain_graph(), "second")

        report = rig.end("second")
    assert isinstance(report, Broken)
    assert isinstance(report.error, ServerStuck)


def test_of_many_steps_only_as_many_are_told_as_are_wanted(standin: StandIn) -> None:
    with following(standin.url, timeouts=replace(QUICK, poll_with_socket=HELD, steps=HELD)) as rig:
        rig.finish(sampler_graph(steps=6))
    steps = [(report.node, report.step) for report in rig.reports if isinstance(report, NodeProgress) and report.node == "first"]
    # What comes first goes at once, and may be one of these; the others wait for the end.
    assert steps[-1] == ("first", 6)
    assert len(steps) <= 2
