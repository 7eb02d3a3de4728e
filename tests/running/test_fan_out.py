"""On a server without a cache jobs that share a first pass are posted as one graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.support import begin, pixels, posted, rendered, sidecar_in, states, sweep
from tests.standin import NodeFault, StandIn, State, Trouble, Work

_DENOISE = [0.4, 0.5, 0.6, 0.9]
_GRID = sweep({"upscale.denoise": _DENOISE, "seed": [1, 2]}, sampler={"steps": 8})
_FOUR = sweep({"upscale.denoise": _DENOISE}, sampler={"steps": 8})
_IDS = ["lake-d040", "lake-d050", "lake-d060", "lake-d090"]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn(State(cache="none")) as standin:
        yield standin


def test_every_shared_first_pass_is_one_graph_and_runs_once(server: StandIn, tmp_path: Path) -> None:
    results = rendered(server, tmp_path, _GRID)

    assert set(states(results).values()) == {"done"}
    assert len(posted(server)) == 2
    assert server.state.work() == Work(loads=2, first=2, second=8)


def test_the_sidecars_say_what_was_posted_together_and_each_has_its_own_graph(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _FOUR)

    sidecars = {job_id: sidecar_in(tmp_path, job_id) for job_id in _IDS}
    for job_id, found in sidecars.items():
        assert found["posted_with"] == [other for other in _IDS if other != job_id]
        assert [node for node in found["workflow"].values() if node["class_type"] == "KSampler"] == [
            found["workflow"]["first_pass"],
            found["workflow"]["second_pass"],
        ]
        assert found["workflow"]["second_pass"]["inputs"]["denoise"] == found["assignments"]["upscale.denoise"]
    assert len({found["prompt_id"] for found in sidecars.values()}) == 1
    assert len({(tmp_path / job_id / "upscaled.png").read_bytes() for job_id in _IDS}) == 4


def test_pictures_are_those_that_the_jobs_give_alone(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "together", _FOUR)
    with StandIn() as other:
        rendered(other, tmp_path / "alone", _FOUR)

    for job_id in _IDS:
        for role in ("original", "upscaled"):
            assert pixels(tmp_path / "together", job_id, role) == pixels(tmp_path / "alone", job_id, role)


def test_a_graph_has_sixteen_jobs_at_most(server: StandIn, tmp_path: Path) -> None:
    results = rendered(server, tmp_path, sweep({"upscale.seed": {"start": 1, "count": 20}}))

    assert len(results) == 20
    assert set(states(results).values()) == {"done"}
    assert [sum(node["class_type"] == "SaveImage" for node in graph.values()) // 2 for graph in posted(server)] == [10, 10]


def test_a_branch_that_fails_loses_no_other(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass_2"] = NodeFault.ERROR

    results = rendered(server, tmp_path, _FOUR)

    assert states(results) == dict.fromkeys(_IDS, "done") | {"lake-d050": "partial"}


def test_a_failure_is_told_of_the_job_whose_it_is_by_its_own_node(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass_2"] = NodeFault.ERROR

    by_id = {result.job_id: result for result in rendered(server, tmp_path, _FOUR)}

    assert 'node "second_pass" (Second pass, KSampler)' in str(by_id["lake-d050"].error)
    assert by_id["lake-d040"].error is None


def test_a_branch_without_memory_is_tried_again_and_what_was_saved_is_not_rendered_again(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second_pass_3", times=1, until_free=False))

    results = rendered(server, tmp_path, _FOUR)

    assert states(results) == dict.fromkeys(_IDS, "done")
    second = [ran.signature for ran in server.state.ran if ran.is_sampler and ran.passes == 2]
    assert len(second) == len(set(second)) == 4


def test_a_graph_that_is_refused_as_a_whole_is_posted_job_by_job(server: StandIn, tmp_path: Path) -> None:
    body = '{"error": {"type": "x", "message": "no", "details": "", "extra_info": {}}, "node_errors": {}}'
    server.state.fail_next("/prompt", 400, body=body)

    results = rendered(server, tmp_path, _FOUR)

    assert states(results) == dict.fromkeys(_IDS, "done")
    assert len(posted(server)) == 5


def test_a_restart_in_the_middle_of_a_graph_loses_nothing_that_was_saved(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("save_upscaled_3")
    with begin(server, tmp_path, _FOUR) as rendering:
        gate.wait()
        saved = {ran.node_id for ran in server.state.ran if ran.is_save}
        server.state.restart()
        gate.open()
        results = rendering.results()

    assert states(results) == dict.fromkeys(_IDS, "done")
    assert sum(ran.is_save for ran in server.state.ran) == 8
    assert saved


def test_a_server_with_a_cache_gets_one_graph_per_job(tmp_path: Path) -> None:
    with StandIn() as server:
        rendered(server, tmp_path, _FOUR)

        assert len(posted(server)) == 4
    assert sidecar_in(tmp_path, "lake-d040")["posted_with"] == []


def test_jobs_with_long_names_that_begin_alike_keep_their_own_files(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, sweep({"upscale.denoise": [0.5, 0.6]}, name="a lake that has a very long name indeed, and more"))

    (graph,) = [request.body["prompt"] for request in server.state.requests("POST", "/prompt")]
    prefixes = [node["inputs"]["filename_prefix"] for node in graph.values() if "filename_prefix" in node["inputs"]]
    assert len(set(prefixes)) == len(prefixes) == 4
