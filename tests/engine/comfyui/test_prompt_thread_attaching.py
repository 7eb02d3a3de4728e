"""Taking up jobs of a process of ours that was killed: whatever has become of them, they are followed and never posted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.prompt_thread import PromptRequest
from comfy_runner.engine.interface import EngineOptions
from comfy_runner.engine.reports import Broken, Cancelled, Finished, NodeProgress, Submitted, Waiting
from comfy_runner.engine.verdict import Conclusion
from comfy_runner.errors import JobLost, Unreachable
from tests.engine.comfyui.support import QUICK, Graph, Rig, Server, following, names, plain_graph, prefix, sampler_graph
from tests.standin import EARLY_2024, HELD, V0_3_40, StandIn, State


def left(server: Server, graph: Graph, key: str = "job", *, knows_id: bool = False) -> PromptRequest:
    """Post a job and forget it, as a process does that is killed; it may or may not have written down the server's id."""
    with following(server) as dead:
        job = dead.submit(graph, key)
        prompt_id = dead.until(Submitted, key).prompt_id
    return replace(job, server_prompt_id=prompt_id) if knows_id else job


def unposted(graph: Graph | None = None) -> PromptRequest:
    return PromptRequest("job", str(uuid.uuid4()), graph or plain_graph())


@pytest.fixture(params=[EARLY_2024, V0_3_40], ids=["early 2024", "0.3.40"])
def old_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with StandIn(State(generation=request.param)) as server:
        yield Server(server.url, server.state)


@pytest.fixture
def old(old_server: Server) -> State:
    assert old_server.state is not None
    return old_server.state


# On real servers too


@pytest.mark.parametrize("knows_id", [False, True])
@pytest.mark.parametrize("with_socket", [False, True])
def test_a_job_that_runs_is_followed_to_its_end(server: Server, knows_id: bool, with_socket: bool) -> None:
    name = prefix()
    job = left(server, sampler_graph(name, steps=30, seed=len(name)), knows_id=knows_id)
    with following(server, with_socket=with_socket) as rig:
        rig.attach(job)
        report = rig.end()
    stem = name.rpartition("/")[2]
    assert isinstance(report, Finished)
    assert report.verdict.outcome is Conclusion.SUCCEEDED
    assert names(report) == {"save": [f"{stem}-original_00001_.png"], "save_up": [f"{stem}-upscaled_00001_.png"]}


def test_jobs_that_wait_and_run_are_told_apart_and_taken_back(server: Server) -> None:
    first = left(server, sampler_graph(steps=10000), "running")
    second = left(server, plain_graph(), "waiting")
    third = left(server, plain_graph(), "last")
    with following(server) as rig:
        for job in (first, second, third):
            rig.attach(job)
        assert rig.until(Waiting, "waiting").ahead == 1
        rig.until(Submitted, "last")
        rig.thread.cancel(["waiting"])
        assert isinstance(rig.end("waiting"), Cancelled)
        rig.thread.cancel(["running"])
        stopped, finished = rig.end("running"), rig.end("last")
    assert isinstance(stopped, Finished)
    assert stopped.verdict.outcome is Conclusion.INTERRUPTED
    assert isinstance(finished, Finished)
    assert finished.verdict.outcome is Conclusion.SUCCEEDED


def test_a_job_that_has_finished_is_found_with_its_files(server: Server) -> None:
    graph = plain_graph()
    with following(server) as dead:
        job = dead.submit(graph)
        before = dead.end()
    assert isinstance(before, Finished)
    with following(server) as rig:
        rig.attach(job)
        report = rig.end()
    assert report == before
    assert [type(told) for told in rig.reports] == [Submitted, Finished]


def test_a_job_that_came_from_the_cache_as_a_whole_is_found_with_the_files_of_the_run_that_made_them(modern: Server) -> None:
    graph = plain_graph()
    with following(modern) as dead:
        first = dead.finish(graph, "first")
        job = dead.submit(graph)
        dead.end()
    with following(modern) as rig:
        rig.attach(job)
        report = rig.end()
    assert isinstance(report, Finished)
    assert names(report) == names(first) != {}


def test_a_job_that_was_interrupted_is_found_so(server: Server) -> None:
    with following(server) as dead:
        job = dead.submit(sampler_graph(steps=10000))
        dead.until_node("first")
        dead.thread.cancel(["job"])
        dead.end()
    with following(server) as rig:
        rig.attach(job)
        report = rig.end()
    assert isinstance(report, Finished)
    assert report.verdict.outcome is Conclusion.INTERRUPTED


def test_a_job_that_was_never_posted_is_lost(server: Server) -> None:
    with following(server) as rig:
        rig.attach(unposted())
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)
    assert "does not know the prompt" in str(report.error)
    if server.state is not None:
        assert server.state.requests("POST", "/prompt") == []


def test_a_job_that_the_server_has_forgotten_is_lost(server: Server) -> None:
    with following(server) as dead:
        job = dead.submit(plain_graph())
        prompt_id = dead.until(Submitted).prompt_id
        dead.end()
    server.http.forget([prompt_id])
    with following(server) as rig:
        rig.attach(replace(job, server_prompt_id=prompt_id))
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)


def test_an_attached_job_and_new_ones_go_together(server: Server) -> None:
    job = left(server, sampler_graph(steps=5), "old")
    with following(server) as rig:
        rig.attach(job)
        rig.submit(plain_graph(), "new")
        assert isinstance(rig.end("old"), Finished)
        assert isinstance(rig.end("new"), Finished)


# On the stand-in only: what has to happen at one exact moment


def test_a_job_is_looked_for_twice_the_queue_before_the_history(faulty: Server, state: State) -> None:
    with following(faulty, with_socket=False) as rig:
        job = rig.attach(unposted())
        rig.end()
    assert [asked.path for asked in state.asked] == ["/queue", f"/history/{job.prompt_id}", "/history"] * 2


class LateHttp(ComfyHttp):
    """A server that gets a job between the two looks: the last that a killed process sent takes its time."""

    job: PromptRequest

    def recent_history(self, most: int) -> dict[str, Any]:
        found = super().recent_history(most)
        self.submit(self.job.workflow, prompt_id=self.job.prompt_id, client_id="dead")
        return found


def test_a_post_of_the_killed_process_that_comes_late_is_found(faulty: Server, state: State) -> None:
    client = LateHttp(faulty.http.address)
    client.job = unposted()
    rig = Rig(client, EngineOptions(timeouts=QUICK))
    rig.attach(client.job)
    report = rig.end()
    rig.thread.close()
    assert isinstance(report, Finished)
    assert len(state.memory.history) == 1


def test_the_second_look_is_not_taken_at_once(faulty: Server) -> None:
    with following(faulty, timeouts=replace(QUICK, queue=2 * HELD)) as rig:
        rig.attach(unposted())
        rig.finish(sampler_graph(), "other")
        rig.thread.cancel(["job"])
        # It was still looked for when it was cancelled.
        assert isinstance(rig.end(), Cancelled)


def test_the_first_look_is_taken_at_once_however_seldom_the_queue_is_read(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    job = left(faulty, plain_graph(), "old")
    with following(faulty, timeouts=replace(QUICK, queue=2 * HELD)) as rig:
        rig.submit(plain_graph(), "new")
        rig.until(Waiting, "new")
        rig.attach(job)
        rig.until(Submitted, "old")
        gate.open()
        assert isinstance(rig.end("old"), Finished)


def test_progress_of_an_attached_job_is_nobodys(faulty: Server, state: State) -> None:
    gate = state.hold("first")
    job = left(faulty, sampler_graph())
    with following(faulty) as rig:
        rig.attach(job)
        rig.until(Submitted)
        gate.open()
        assert isinstance(rig.end(), Finished)
    assert not any(isinstance(report, NodeProgress) for report in rig.reports)


@pytest.mark.parametrize("knows_id", [False, True])
def test_a_job_that_a_restart_wiped_before_it_was_attached_is_lost(faulty: Server, state: State, knows_id: bool) -> None:
    state.hold("save")
    job = left(faulty, plain_graph(), knows_id=knows_id)
    state.restart()
    with following(faulty) as rig:
        rig.attach(job)
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)
    # What a server chose as its id is not looked for under any other.
    assert len(state.requests("GET", "/history")) == (0 if knows_id else 2)


def test_an_attached_job_that_a_restart_wipes_is_lost(faulty: Server, state: State) -> None:
    state.hold("save")
    job = left(faulty, plain_graph())
    with following(faulty) as rig:
        rig.attach(job)
        rig.until(Submitted)
        state.restart()
        report = rig.end()
    assert isinstance(report, Broken)
    assert "no longer knows" in str(report.error)


def test_a_server_that_is_away_for_a_while_is_waited_for(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    job = left(faulty, plain_graph())
    state.go_away()
    with following(faulty, timeouts=replace(QUICK, outage=HELD)) as rig:
        rig.attach(job)
        state.come_back()
        rig.until(Submitted)
        gate.open()
        assert isinstance(rig.end(), Finished)


def test_a_server_that_stays_away_breaks_the_job_and_does_not_call_it_lost(faulty: Server, state: State) -> None:
    state.go_away()
    with following(faulty, timeouts=replace(QUICK, outage=0.1)) as rig:
        rig.attach(unposted())
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, Unreachable)


def test_an_answer_that_fails_between_the_looks_is_no_look(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    job = left(faulty, plain_graph())
    state.fail_next("/queue", 503, method="GET", times=3)
    with following(faulty) as rig:
        rig.attach(job)
        rig.until(Submitted)
        gate.open()
        assert isinstance(rig.end(), Finished)


def test_cancelling_an_attached_job_touches_nobody_elses(faulty: Server, state: State) -> None:
    gate = state.hold("foreign_sampler")
    before = state.add_foreign()
    gate.wait()
    job = left(faulty, plain_graph())
    after = state.add_foreign()
    with following(faulty) as rig:
        rig.attach(job)
        rig.thread.cancel(["job"])
        assert isinstance(rig.end(), Cancelled)
        gate.open()
        rig.finish(plain_graph(), "next")
    assert {state.memory.history[prompt_id]["status"]["status_str"] for prompt_id in before + after} == {"success"}
    assert state.requests("POST", "/interrupt") == []
    assert {prompt_id for asked in state.requests("POST", "/queue") for prompt_id in asked.body["delete"]} == {job.prompt_id}


def test_a_running_job_is_interrupted_by_its_id_right_after_it_was_attached(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    job = left(faulty, plain_graph())
    gate.wait()
    with following(faulty) as rig:
        rig.attach(job)
        rig.thread.cancel(["job"])
        report = rig.end()
    assert isinstance(report, Finished)
    assert report.verdict.outcome is Conclusion.INTERRUPTED
    assert {asked.body["prompt_id"] for asked in state.requests("POST", "/interrupt")} == {job.prompt_id}


def test_a_job_that_was_never_posted_can_be_cancelled(faulty: Server, state: State) -> None:
    with following(faulty) as rig:
        rig.attach(unposted())
        rig.thread.cancel(["job"])
        assert isinstance(rig.end(), Cancelled)
    assert [asked for asked in state.asked if asked.method == "POST"] == []


# Servers that choose ids themselves


def test_on_an_old_server_a_job_is_known_by_its_file_prefixes_and_its_id_is_told(old_server: Server, old: State) -> None:
    gate = old.hold("foreign_sampler")
    old.add_foreign()
    left(old_server, plain_graph(), "other")
    job = left(old_server, sampler_graph())
    with following(old_server) as rig:
        rig.attach(job)
        adopted = rig.until(Submitted).prompt_id
        gate.open()
        report = rig.end()
    assert isinstance(report, Finished)
    assert adopted != job.prompt_id
    assert set(old.memory.history[adopted]["outputs"]) == {"save", "save_up"}


def test_on_an_old_server_a_job_whose_id_is_known_is_not_looked_for_by_its_prefixes(old_server: Server, old: State) -> None:
    job = left(old_server, plain_graph(), knows_id=True)
    with following(old_server) as rig:
        rig.attach(job)
        assert rig.until(Submitted).prompt_id == job.server_prompt_id
        assert isinstance(rig.end(), Finished)
    assert old.requests("GET", "/history") == []


def test_on_an_old_server_only_a_job_with_all_its_prefixes_is_ours(old_server: Server, old: State) -> None:
    name = prefix()
    left(old_server, plain_graph(f"{name}-original"), "part")
    with following(old_server) as rig:
        rig.attach(unposted(sampler_graph(name)))
        report = rig.end()
    assert isinstance(report, Broken)
    assert isinstance(report.error, JobLost)
    assert len(old.requests("POST", "/prompt")) == 1
