"""The fourteen rules that every client of ComfyUI has to follow, each with what goes wrong without it.

Rules that a server breaks by itself are on the stand-in only; what a real ComfyUI shows too is tested on both.
"""

from __future__ import annotations

import uuid

import pytest

from comfy_runner.engine.reports import Broken, Finished, Refused, Submitted, Waiting
from comfy_runner.engine.verdict import Conclusion
from comfy_runner.errors import WorkflowError
from comfy_runner.graph.workflow import parse_workflow
from tests.engine.comfyui.support import Server, following, names, plain_graph, sampler_graph
from tests.standin import NodeFault, State


@pytest.mark.parametrize("with_socket", [True, False])
def test_rule_1_a_string_client_id_is_sent_always_so_that_cached_outputs_are_told(server: Server, with_socket: bool) -> None:
    graph = plain_graph()
    with following(server, with_socket=with_socket) as rig:
        first, second = rig.finish(graph, "one"), rig.finish(graph, "two")
    assert names(second) == names(first) != {}
    if server.state is not None:
        ids = [asked.body["client_id"] for asked in server.state.requests("POST", "/prompt")]
        assert ids == (server.state.client_ids * 2 if with_socket else [ids[0]] * 2)
        assert all(isinstance(client_id, str) for client_id in ids)


def test_rule_2_a_job_is_not_done_before_its_history_is_written(faulty: Server, state: State) -> None:
    state.history_delay = 0.1
    with following(faulty) as rig:
        assert set(rig.finish(plain_graph()).verdict.files) == {"save"}


def test_rule_3_a_200_with_complaints_is_a_refusal_and_nothing_of_it_stays(server: Server) -> None:
    graph = sampler_graph(steps=10000)
    graph["second"]["inputs"]["sampler_name"] = "no such sampler"
    with following(server) as rig:
        assert isinstance(rig.run(graph), Refused)
        queue = server.http.queue()
    assert queue == {"queue_running": [], "queue_pending": []}


def test_rule_4_the_ui_format_does_not_become_a_workflow() -> None:
    with pytest.raises(WorkflowError):
        parse_workflow({"last_node_id": 1, "nodes": [{"id": 1, "type": "SaveImage"}], "links": []})


def test_rule_5_a_node_without_inputs_does_not_become_a_workflow() -> None:
    with pytest.raises(WorkflowError, match="inputs"):
        parse_workflow({**plain_graph(), "orphan": {"class_type": "EmptyImage"}})


def test_rule_5_such_a_node_would_end_the_worker_of_a_server(faulty: Server, state: State) -> None:
    with following(faulty, stall=0.1) as rig:
        rig.submit({**plain_graph(), "orphan": {"class_type": "EmptyImage"}})
        assert isinstance(rig.end(), Broken)
    assert "KeyError" in state.memory.worker_died_of


def test_rule_6_no_number_is_ever_sent_and_no_prompt_posted_twice_under_the_same_one(faulty: Server, state: State) -> None:
    state.lose_replies()
    with following(faulty) as rig:
        rig.run(plain_graph(), "one")
        rig.run(plain_graph(), "two")
    bodies = [asked.body for asked in state.requests("POST", "/prompt")]
    assert len({body["prompt_id"] for body in bodies}) == len(bodies) == 2
    assert not any("number" in body or "front" in body for body in bodies)
    assert state.memory.worker_died_of == ""


def test_rule_7_the_prompt_id_is_ours_and_looked_for_before_another_post(faulty: Server, state: State) -> None:
    state.fail_next("/prompt", 503)
    with following(faulty) as rig:
        job = rig.submit(plain_graph())
        assert rig.until(Submitted).prompt_id == job.prompt_id
        rig.end()
    posts = [number for number, asked in enumerate(state.asked) if (asked.method, asked.path) == ("POST", "/prompt")]
    between = [asked.path for asked in state.asked[posts[0] + 1 : posts[1]] if asked.path != "/ws"]
    assert between[-3:] == ["/queue", f"/history/{job.prompt_id}", "/history"]
    assert str(uuid.UUID(job.prompt_id)) == job.prompt_id


def test_rule_8_the_queue_is_read_before_the_history(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    with following(faulty) as rig:
        rig.submit(plain_graph())
        gate.wait()
        state.restart()
        assert isinstance(rig.end(), Broken)
    paths = [asked.path.split("/")[1] for asked in state.asked if asked.path != "/ws"]
    assert paths[-2:] == ["queue", "history"]


def test_rule_9_a_file_prefix_of_its_own_runs_only_the_saving_again(server: Server) -> None:
    with following(server) as rig:
        first, second = rig.finish(plain_graph(), "one"), rig.finish(plain_graph(), "two")
    assert names(first) != names(second)
    assert second.verdict.cached == ("image",)


def test_rule_10_frames_are_taken_off_the_socket_while_the_lane_waits_for_an_answer(faulty: Server, state: State) -> None:
    # More than all buffers in between hold: a socket that is not read would keep the frames back, for every client.
    state.preview_bytes = 2**20
    asked, run = state.hold("GET /queue"), state.hold("history")
    with following(faulty) as rig:
        rig.submit(sampler_graph(steps=60))
        asked.wait()
        run.wait()
        state.deliver()
        asked.open()
        run.open()
        assert isinstance(rig.end(), Finished)


def test_rule_11_every_connection_has_a_client_id_of_its_own(faulty: Server, state: State) -> None:
    gate = state.hold("save")
    with following(faulty) as rig:
        rig.submit(plain_graph(), "one")
        gate.wait()
        state.drop_sockets()
        gate.open()
        rig.end("one")
        while len(state.client_ids) < 2:
            rig.finish(plain_graph(), f"until it is back {len(rig.reports)}")
    assert len(set(state.client_ids)) == len(state.client_ids)


def test_rule_12_frames_of_megabytes_do_not_end_the_connection(faulty: Server, state: State) -> None:
    state.preview_bytes = 5 * 2**20
    with following(faulty) as rig:
        rig.finish(sampler_graph(steps=4))
        rig.finish(plain_graph(), "next")
    assert len(state.client_ids) == 1


def test_rule_13_an_error_frame_alone_ends_no_job(faulty: Server, state: State) -> None:
    state.node_faults["save"] = NodeFault.BLOCKED
    with following(faulty) as rig:
        assert rig.finish(sampler_graph()).verdict.outcome is Conclusion.SUCCEEDED


def test_rule_14_an_interrupt_names_the_prompt_and_is_sent_only_for_one_that_runs(faulty: Server, state: State) -> None:
    gate = state.hold("foreign_sampler")
    foreign = state.add_foreign()
    gate.wait()
    state.hold("save")
    with following(faulty) as rig:
        rig.submit(plain_graph(), "waiting")
        rig.until(Waiting, "waiting")
        rig.thread.cancel(["waiting"])
        rig.end("waiting")
        assert state.requests("POST", "/interrupt") == []
        gate.open()
        running = rig.submit(plain_graph(), "running")
        rig.until_node("save", "running")
        rig.thread.cancel(["running"])
        rig.end("running")
    assert {asked.body["prompt_id"] for asked in state.requests("POST", "/interrupt")} == {running.prompt_id}
    assert state.memory.history[foreign[0]]["status"]["status_str"] == "success"
