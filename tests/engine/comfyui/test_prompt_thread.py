"""Following jobs, on the stand-in and on a real ComfyUI alike."""

from __future__ import annotations

from itertools import pairwise

import pytest

from comfy_runner.engine.comfyui.history import QueuePosition, find_in_queue
from comfy_runner.engine.reports import Broken, CachedNodes, Cancelled, Finished, NodeProgress, Refused, Submitted, TakenInPart
from comfy_runner.engine.verdict import Conclusion
from comfy_runner.errors import WorkflowError
from tests.engine.comfyui.support import Server, following, names, plain_graph, prefix, sampler_graph


@pytest.mark.parametrize("with_socket", [True, False])
def test_a_job_ends_with_its_files_by_node(server: Server, with_socket: bool) -> None:
    name = prefix()
    with following(server, with_socket=with_socket) as rig:
        verdict = rig.finish(sampler_graph(name)).verdict
    stem = name.rpartition("/")[2]
    assert verdict.outcome is Conclusion.SUCCEEDED
    assert {node: (file.filename, file.subfolder) for node, (file,) in verdict.files.items()} == {
        "save": (f"{stem}-original_00001_.png", "comfy_runner-test"),
        "save_up": (f"{stem}-upscaled_00001_.png", "comfy_runner-test"),
    }


def test_a_job_is_reported_as_submitted_under_the_id_that_we_chose(modern: Server) -> None:
    with following(modern) as rig:
        job = rig.submit(plain_graph())
        assert rig.until(Submitted).prompt_id == job.prompt_id
        rig.end()


def test_progress_is_told_by_node_and_step(server: Server) -> None:
    with following(server, timeouts=server.told) as rig:
        rig.finish(sampler_graph(steps=3, seed=77))
    steps = [(report.node, report.step, report.steps) for report in rig.reports if isinstance(report, NodeProgress)]
    assert [step for step in steps if step[0] == "first"] == [("first", 0, 0), ("first", 1, 3), ("first", 2, 3), ("first", 3, 3)]


def test_a_second_job_tells_what_comes_from_the_cache(server: Server) -> None:
    with following(server, timeouts=server.told) as rig:
        rig.finish(sampler_graph(seed=5), "one")
        second = rig.finish(sampler_graph(seed=5), "two")
        told = rig.until(CachedNodes, "two")
    everything_but_saving = {"checkpoint", "prompt", "latent", "first", "decode", "upscale", "second", "decode_up"}
    assert set(told.nodes) == everything_but_saving
    assert set(second.verdict.cached) == everything_but_saving


def test_many_jobs_end_in_the_order_in_which_they_were_submitted(server: Server) -> None:
    keys = [f"job-{number}" for number in range(8)]
    with following(server) as rig:
        for key in keys:
            rig.submit(plain_graph(), key)
        ends = [rig.end(key) for key in keys]
    assert all(isinstance(end, Finished) for end in ends)
    order = [report.key for report in rig.reports if isinstance(report, Finished)]
    assert order == keys


def test_a_job_has_exactly_one_end(server: Server) -> None:
    with following(server) as rig:
        rig.finish(plain_graph(), "one")
        rig.finish(plain_graph(), "two")
    ends = [report.key for report in rig.reports if isinstance(report, (Finished, Broken, Refused, Cancelled))]
    assert sorted(ends) == ["one", "two"]


def test_a_workflow_of_which_nothing_is_valid_is_refused_with_each_reason(server: Server) -> None:
    graph = plain_graph()
    graph["image"]["inputs"]["width"] = 0
    del graph["image"]["inputs"]["height"]
    with following(server) as rig:
        report = rig.run(graph)
    assert isinstance(report, Refused)
    found = {(complaint.node, complaint.class_type, complaint.input) for complaint in report.complaints}
    assert found == {("image", "EmptyImage", "width"), ("image", "EmptyImage", "height")}


def test_a_workflow_of_which_a_half_is_valid_is_refused_and_leaves_nothing_behind(server: Server) -> None:
    graph = sampler_graph()
    graph["second"]["inputs"]["denoise"] = 1.5
    with following(server) as rig:
        report = rig.run(graph)
        assert isinstance(report, Refused), report
        assert [(complaint.node, complaint.input) for complaint in report.complaints] == [("second", "denoise")]
        queue = server.http.queue()
    assert queue["queue_pending"] == []
    assert not any(isinstance(other, (Submitted, NodeProgress, CachedNodes)) for other in rig.reports)


def test_an_unknown_class_is_refused(modern: Server) -> None:
    with following(modern) as rig:
        report = rig.run({**plain_graph(), "odd": {"class_type": "NoSuchNode", "inputs": {}}})
    assert isinstance(report, Refused)
    assert "NoSuchNode" in str(report.complaints[0])


def test_a_workflow_that_is_no_json_breaks_its_own_job_only(server: Server) -> None:
    with following(server) as rig:
        broken = rig.run({**plain_graph(), "odd": {"class_type": "EmptyImage", "inputs": {"width": float("nan")}}}, "odd")
        rig.finish(plain_graph(), "good")
    assert isinstance(broken, Broken)
    assert isinstance(broken.error, WorkflowError)


def test_a_job_that_fails_while_it_runs_says_where_and_why(server: Server) -> None:
    with following(server) as rig:
        verdict = rig.finish(plain_graph("../../outside")).verdict
    assert verdict.outcome is Conclusion.FAILED
    assert verdict.failure is not None
    assert (verdict.failure.node, verdict.failure.class_type) == ("save", "SaveImage")
    assert "outside the output folder" in verdict.failure.message


def test_a_running_job_is_interrupted(server: Server) -> None:
    with following(server) as rig:
        rig.submit(sampler_graph(steps=10000))
        rig.until_node("first")
        rig.thread.cancel(["job"])
        report = rig.end()
    assert isinstance(report, Finished)
    assert report.verdict.outcome is Conclusion.INTERRUPTED
    assert report.verdict.files == {}


def test_a_waiting_job_is_taken_out_of_the_queue_and_the_running_one_goes_on(modern: Server) -> None:
    with following(modern) as rig:
        running = rig.submit(sampler_graph(steps=10000, seed=9), "running")
        rig.until_node("first", "running")
        rig.submit(plain_graph(), "waiting")
        rig.until(Submitted, "waiting")
        rig.thread.cancel(["waiting"])
        assert isinstance(rig.end("waiting"), Cancelled)
        assert not any(isinstance(report, Finished) for report in rig.reports)
        assert find_in_queue(modern.http.queue(), running.prompt_id) == QueuePosition(running=True, ahead=0)
        rig.thread.cancel(["running"])
        rig.end("running")


def test_cancelling_what_has_ended_does_nothing(modern: Server) -> None:
    with following(modern) as rig:
        rig.finish(plain_graph(), "done")
        rig.thread.cancel(["done", "never heard of"])
        assert rig.finish(plain_graph(), "next").verdict.outcome is Conclusion.SUCCEEDED


def test_only_the_names_differ_with_and_without_a_websocket(modern: Server) -> None:
    with following(modern) as told, following(modern, with_socket=False) as polled:
        first, second = told.finish(plain_graph()), polled.finish(plain_graph())
    assert first.verdict.outcome is second.verdict.outcome
    assert names(first).keys() == names(second).keys()


def test_steps_of_a_node_are_told_in_order(modern: Server) -> None:
    with following(modern, timeouts=modern.told) as rig:
        rig.finish(sampler_graph(steps=5, seed=123))
    steps = [report.step for report in rig.reports if isinstance(report, NodeProgress) and report.node == "first"]
    assert all(before < after for before, after in pairwise(steps))


def test_a_half_runs_where_it_may_and_what_is_missing_is_told(server: Server) -> None:
    graph = sampler_graph()
    graph["second"]["inputs"]["denoise"] = 1.5
    with following(server, allow_partial=True) as rig:
        rig.submit(graph)
        told, report = rig.until(TakenInPart), rig.end()
    assert [(complaint.node, complaint.input) for complaint in told.complaints] == [("second", "denoise")]
    assert isinstance(report, Finished)
    assert set(report.verdict.files) == {"save"}
