"""Taking jobs back, whatever has become of them, and nobody else's.

Only on the stand-in: what has to happen at one exact moment cannot be arranged with a real ComfyUI.
"""

from __future__ import annotations

from dataclasses import replace

from comfy_runner.engine.reports import Cancelled, Finished, Waiting
from comfy_runner.engine.verdict import Conclusion
from tests.engine.comfyui.support import QUICK, Server, following, plain_graph, sampler_graph
from tests.standin import HELD, State


def test_cancelling_touches_no_prompt_of_anybody_else(faulty: Server, state: State) -> None:
    gate = state.hold("foreign_sampler")
    before = state.add_foreign()
    gate.wait()
    with following(faulty) as rig:
        rig.submit(plain_graph())
        rig.until(Waiting)
        after = state.add_foreign()
        rig.thread.cancel(["job"])
        assert isinstance(rig.end(), Cancelled)
        gate.open()
        rig.finish(plain_graph(), "last")
    assert {state.memory.history[prompt_id]["status"]["status_str"] for prompt_id in before + after} == {"success"}
    assert state.requests("POST", "/interrupt") == []


def test_a_cancellation_that_fails_at_first_is_made_again(faulty: Server, state: State) -> None:
    state.hold("first")
    state.fail_next("/interrupt", 503, times=3)
    with following(faulty) as rig:
        rig.submit(sampler_graph())
        rig.until_node("first")
        rig.thread.cancel(["job"])
        report = rig.end()
    assert isinstance(report, Finished)
    assert report.verdict.outcome is Conclusion.INTERRUPTED


def test_a_job_that_is_not_posted_yet_is_cancelled_without_a_post(faulty: Server, state: State) -> None:
    state.fail_next("/prompt", 503, times=-1)
    with following(faulty, timeouts=replace(QUICK, outage=0.1)) as rig:
        rig.submit(plain_graph("first"), "first")
        rig.submit(plain_graph("second"), "second")
        rig.thread.cancel(["second"])
        assert isinstance(rig.end("second"), Cancelled)
        rig.end("first")
    assert {asked.body["prompt"]["save"]["inputs"]["filename_prefix"] for asked in state.requests("POST", "/prompt")} == {"first"}


def test_a_job_that_could_not_be_posted_so_far_is_cancelled_without_another_post(faulty: Server, state: State) -> None:
    gate = state.hold("POST /prompt")
    state.fail_next("/prompt", 503)
    with following(faulty, timeouts=replace(QUICK, repost=(HELD,))) as rig:
        rig.submit(plain_graph())
        gate.wait()
        rig.thread.cancel(["job"])
        gate.open()
        assert isinstance(rig.end(), Cancelled)
    assert len(state.requests("POST", "/prompt")) == 1


def test_a_job_whose_reply_was_lost_is_cancelled_on_the_server_too(faulty: Server, state: State) -> None:
    gate = state.hold("POST /prompt")
    state.hold("save")
    state.lose_replies()
    state.fail_next("/queue", 503, method="GET")
    with following(faulty, timeouts=replace(QUICK, repost=(HELD,))) as rig:
        rig.submit(plain_graph())
        gate.wait()
        rig.thread.cancel(["job"])
        gate.open()
        report = rig.end()
    assert isinstance(report, Finished)
    assert report.verdict.outcome is Conclusion.INTERRUPTED
    assert len(state.requests("POST", "/prompt")) == 1


def test_an_interrupt_that_takes_its_time_is_not_repeated_at_every_look(faulty: Server, state: State) -> None:
    gate = state.hold("history")
    with following(faulty, timeouts=replace(QUICK, queue=HELD)) as rig:
        rig.submit(plain_graph())
        gate.wait()
        rig.thread.cancel(["job"])
        state.until_asked("POST", "/interrupt", 1)
        asked = len(state.requests("GET", "/queue"))
        state.until_asked("GET", "/queue", asked + 3)
        gate.open()
        rig.end()
    assert len(state.requests("POST", "/interrupt")) == 1
