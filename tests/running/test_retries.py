"""Jobs that are tried again on the stand-in: how often, what is changed, what the sidecar says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.config import Config
from comfy_runner.errors import FlatPicture, JobFailed
from comfy_runner.retry import OutOfMemoryRemedy, Retry
from comfy_runner.running.events import JobRetried
from comfy_runner.store.ledger import FILE, Ledger
from tests.running.support import begin, posted, rendered, sidecar_in, small, states, sweep
from tests.standin import NodeFault, StandIn, Trouble


def _attempts(out: Path, job_id: str = "lake") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sidecar_in(out, job_id)["attempts"]
    return found


def _decoders(graph: dict[str, Any]) -> set[str]:
    return {node["class_type"] for node in graph.values() if node["class_type"].startswith("VAEDecode")}


# Out of memory


def test_out_of_memory_while_decoding_is_freed_and_decoded_in_tiles(server: StandIn, tmp_path: Path) -> None:
    trouble = Trouble("out of memory", node="decode_upscaled", class_type="VAEDecode", until_free=False)
    server.state.troubles.append(trouble)

    results = rendered(server, tmp_path)

    assert states(results) == {"lake": "done"}
    assert server.state.frees == 1
    assert [_decoders(graph) for graph in posted(server)] == [{"VAEDecode"}, {"VAEDecodeTiled"}]
    (attempt,) = _attempts(tmp_path)
    assert (attempt["reason"], attempt["freed"], attempt["vae_decode"]) == ("out_of_memory", True, "tiled")
    assert "OutOfMemory" in attempt["what"]
    assert sidecar_in(tmp_path)["workflow"]["decode_upscaled"]["class_type"] == "VAEDecodeTiled"


def test_a_job_that_was_decoded_in_tiles_for_want_of_memory_is_done_the_next_time(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("out of memory", node="decode_upscaled", class_type="VAEDecode", until_free=False))
    rendered(server, tmp_path)

    (again,) = rendered(server, tmp_path)

    assert again.was_done


def test_the_next_try_makes_only_what_the_first_has_not_saved(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second_pass", times=1))

    assert states(rendered(server, tmp_path)) == {"lake": "done"}
    assert "save_original" not in posted(server)[1]
    assert not (tmp_path / "superseded").exists()


@pytest.mark.parametrize("times", [0, 1, 3])
def test_it_is_tried_as_often_as_declared_and_no_more(server: StandIn, tmp_path: Path, times: int) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second_pass", until_free=False))

    (result,) = rendered(server, tmp_path, small(retry={"out_of_memory": times}))

    assert (result.state, list(result.files)) == ("partial", ["original"])
    assert isinstance(result.error, JobFailed)
    assert len(posted(server)) == 1 + times
    assert server.state.frees == times
    assert len(_attempts(tmp_path)) == times


@pytest.mark.parametrize(
    ("recipe", "config", "expected"),
    [
        ({}, None, 2),
        ({}, Retry(out_of_memory=OutOfMemoryRemedy(times=3)), 4),
        ({"retry": {"out_of_memory": 2}}, Retry(out_of_memory=OutOfMemoryRemedy(times=0)), 3),
        ({"retry": {"flat_picture": 0}}, Retry(out_of_memory=OutOfMemoryRemedy(times=0)), 1),
    ],
)
def test_the_recipe_goes_before_the_config_file_and_that_before_the_defaults(
    server: StandIn, tmp_path: Path, recipe: dict[str, Any], config: Retry | None, expected: int
) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second_pass", until_free=False))

    rendered(server, tmp_path, small(**recipe), config=Config(retry=config))

    assert len(posted(server)) == expected


def test_the_policy_of_the_caller_goes_before_the_config_file(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second_pass", until_free=False))
    never, often = (Retry(out_of_memory=OutOfMemoryRemedy(times=times)) for times in (0, 5))

    rendered(server, tmp_path, retry=never, config=Config(retry=often))

    assert len(posted(server)) == 1


def test_nothing_is_freed_or_changed_where_that_is_not_wanted(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second_pass", times=1))
    remedy = {"times": 1, "free": False, "vae_decode": None}

    assert states(rendered(server, tmp_path, small(retry={"out_of_memory": remedy}))) == {"lake": "done"}
    assert server.state.frees == 0
    assert _decoders(posted(server)[1]) == {"VAEDecode"}


def test_the_other_jobs_of_a_sweep_are_rendered_as_ever(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second_pass", times=1))
    recipe = sweep({"seed": [1, 2, 3]})

    results = rendered(server, tmp_path, recipe)

    assert set(states(results).values()) == {"done"}
    assert len(posted(server)) == 4
    assert sum(len(_attempts(tmp_path, f"lake-s{seed}")) for seed in (1, 2, 3)) == 1


def test_a_retry_is_told_while_it_happens_and_counted_in_the_ledger(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second_pass", times=1))

    with begin(server, tmp_path) as rendering:
        told = [event for event in rendering if isinstance(event, JobRetried)]

    assert [(event.job_id, event.reason) for event in told] == [("lake", "out_of_memory")]
    with Ledger(tmp_path / FILE, readonly=True) as ledger:
        row = ledger.job("lake")
    assert row is not None
    assert (row.state, row.attempts, row.error) == ("done", 2, "")


# Flat pictures


def test_a_flat_picture_is_made_again_after_the_memory_was_freed(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("flat", node="second_pass", times=1))

    results = rendered(server, tmp_path)

    assert states(results) == {"lake": "done"}
    assert (len(posted(server)), server.state.frees) == (2, 1)
    (attempt,) = _attempts(tmp_path)
    assert (attempt["reason"], attempt["freed"], attempt["vae_decode"]) == ("flat_picture", True, "")
    assert sidecar_in(tmp_path)["files"]["upscaled"][0]["problem"] == ""


def test_a_picture_that_stays_flat_is_kept_and_told(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("flat", node="second_pass", until_free=False))

    (result,) = rendered(server, tmp_path)

    assert (result.state, sorted(result.files)) == ("partial", ["original", "upscaled"])
    assert isinstance(result.error, FlatPicture)
    assert len(posted(server)) == 2


def test_a_flat_picture_is_not_made_again_where_that_is_not_wanted(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("flat", node="second_pass", times=1))

    (result,) = rendered(server, tmp_path, small(retry={"flat_picture": 0}))

    assert result.state == "partial"
    assert (len(posted(server)), server.state.frees) == (1, 0)


# What is never tried again


@pytest.mark.parametrize("fault", [NodeFault.ERROR, NodeFault.BLOCKED])
def test_a_graph_that_fails_is_never_tried_again(server: StandIn, tmp_path: Path, fault: NodeFault) -> None:
    server.state.node_faults["save_upscaled"] = fault

    (result,) = rendered(server, tmp_path, small(retry={"out_of_memory": 9, "flat_picture": 9, "server_lost": 9}))

    assert result.state == "partial"
    assert (len(posted(server)), server.state.frees) == (1, 0)


def test_a_graph_that_is_refused_is_never_tried_again(server: StandIn, tmp_path: Path) -> None:
    body = '{"error": {"type": "x", "message": "no", "details": "", "extra_info": {}}, "node_errors": {}}'
    server.state.fail_next("/prompt", 400, times=1, body=body)

    (result,) = rendered(server, tmp_path)

    assert (result.state, len(posted(server))) == ("failed", 1)


# A server that is lost


@pytest.mark.parametrize("times", [1, 2])
def test_a_job_that_a_server_forgets_is_posted_again_as_often_as_declared(server: StandIn, tmp_path: Path, times: int) -> None:
    gate = server.state.hold("first_pass")
    with begin(server, tmp_path, small(retry={"server_lost": times})) as rendering:
        for number in range(1, times + 1):
            server.state.until_asked("POST", "/prompt", number)
            server.state.until(lambda: bool(server.state.memory.running))
            server.state.restart()
        server.state.until_asked("POST", "/prompt", times + 1)
        gate.open()
        results = rendering.results()

    assert states(results) == {"lake": "done"}
    assert [attempt["reason"] for attempt in _attempts(tmp_path)] == ["server_lost"] * times


def test_a_job_that_two_restarts_took_is_lost_where_one_retry_is_allowed(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    with begin(server, tmp_path, small(retry={"server_lost": 1})) as rendering:
        for number in (1, 2):
            server.state.until_asked("POST", "/prompt", number)
            server.state.restart()
        results = rendering.results()
    gate.open()

    assert states(results) == {"lake": "failed"}
    assert len(posted(server)) == 2
