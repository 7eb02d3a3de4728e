"""Handing jobs over exactly once: lost replies, errors that are none, proxies, login pages.

Only on the stand-in: a real ComfyUI cannot be told to lose a reply.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from comfy_runner.engine.reports import Broken, Finished, Submitted
from comfy_runner.errors import ServerRefused, Unreachable
from tests.engine.comfyui.support import QUICK, Server, following, plain_graph
from tests.standin import State


def test_a_lost_reply_is_settled_by_looking_for_our_id_and_nothing_runs_twice(faulty: Server, state: State) -> None:
    state.lose_replies()
    with following(faulty) as rig:
        job = rig.submit(plain_graph())
        assert rig.until(Submitted).prompt_id == job.prompt_id
        assert isinstance(rig.end(), Finished)
    assert len(state.requests("POST", "/prompt")) == 1


def test_a_lost_reply_is_settled_by_our_id_also_where_a_graph_has_no_file_prefix(faulty: Server, state: State) -> None:
    gate = state.hold("foreign_sampler")
    state.add_foreign()
    state.lose_replies()
    graph = plain_graph()
    graph["save"] = {"class_type": "PreviewImage", "inputs": {"images": ["image", 0]}}
    with following(faulty) as rig:
        job = rig.submit(graph)
        assert rig.until(Submitted).prompt_id == job.prompt_id
        gate.open()
        assert isinstance(rig.end(), Finished)
    assert len(state.requests("POST", "/prompt")) == 1


def test_an_error_about_a_prompt_that_was_queued_all_the_same_is_no_failure(faulty: Server, state: State) -> None:
    state.fail_next("/prompt", 500, handled=True)
    with following(faulty) as rig:
        assert isinstance(rig.run(plain_graph()), Finished)
    assert len(state.requests("POST", "/prompt")) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_proxy_that_cannot_reach_the_server_for_a_moment_is_waited_for(faulty: Server, state: State, status: int) -> None:
    state.fail_next("/prompt", status, times=5)
    with following(faulty) as rig:
        assert isinstance(rig.run(plain_graph()), Finished)
    assert len(state.requests("POST", "/prompt")) == 6
    assert len(state.memory.history) == 1


def test_a_prompt_is_never_posted_again_while_it_is_not_known_whether_it_is_there(faulty: Server, state: State) -> None:
    state.lose_replies()
    state.fail_next("/queue", 503, method="GET", times=4)
    with following(faulty) as rig:
        assert isinstance(rig.run(plain_graph()), Finished)
    assert len(state.requests("POST", "/prompt")) == 1


def test_a_job_whose_reply_was_lost_and_which_a_restart_then_wiped_is_posted_again_exactly_once(
    faulty: Server, state: State
) -> None:
    state.hold("save")
    gate = state.hold("GET /queue")
    state.lose_replies()
    with following(faulty) as rig:
        job = rig.submit(plain_graph())
        gate.wait()
        assert len(state.memory.pending + state.memory.running) == 1
        state.restart()
        gate.open()
        state.hold("save").open()
        assert isinstance(rig.end(), Finished)
    assert [asked.body["prompt_id"] for asked in state.requests("POST", "/prompt")] == [job.prompt_id] * 2
    assert list(state.memory.history) == [job.prompt_id]


def test_an_error_that_stays_breaks_the_job_after_a_few_attempts(faulty: Server, state: State) -> None:
    state.fail_next("/prompt", 500, times=-1)
    with following(faulty) as rig:
        report = rig.run(plain_graph())
    assert isinstance(report, Broken)
    assert isinstance(report.error, ServerRefused)
    assert report.error.status == 500
    assert len(state.requests("POST", "/prompt")) == 1 + len(QUICK.repost)


@pytest.mark.parametrize("status", [413, 403, 401, 302])
def test_a_refusal_that_is_not_about_the_graph_breaks_the_job_at_once_with_a_hint(
    faulty: Server, state: State, status: int
) -> None:
    state.fail_next("/prompt", status)
    with following(faulty) as rig:
        report = rig.run(plain_graph())
    assert isinstance(report, Broken)
    assert isinstance(report.error, ServerRefused)
    assert report.error.problems[0].hint
    assert len(state.requests("POST", "/prompt")) == 1


def test_a_login_page_in_place_of_an_answer_breaks_the_job_and_is_no_complaint_about_the_graph(
    faulty: Server, state: State
) -> None:
    for path, method in (("/prompt", "POST"), ("/queue", "GET")):
        state.fail_next(path, 200, method=method, times=-1, body="<html>please log in</html>")
    with following(faulty, timeouts=replace(QUICK, outage=0.1)) as rig:
        report = rig.run(plain_graph())
    assert isinstance(report, Broken)
    assert isinstance(report.error, Unreachable)
    assert "login" in report.error.problems[0].hint


def test_a_job_is_not_overtaken_by_the_next_while_it_is_posted_again(faulty: Server, state: State) -> None:
    state.fail_next("/prompt", 503, times=2)
    with following(faulty) as rig:
        for key in ("one", "two", "three"):
            rig.submit(plain_graph(), key)
        for key in ("one", "two", "three"):
            rig.end(key)
    assert [report.key for report in rig.reports if isinstance(report, Submitted)] == ["one", "two", "three"]
