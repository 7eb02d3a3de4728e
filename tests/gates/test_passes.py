"""What servers ran, counted from sidecars: caches, shared graphs, shared pictures."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.errors import WorkflowError
from comfy_runner.gates.passes import count_passes
from comfy_runner.store.sidecar import Sidecar


def _graph(seed: int = 1, denoise: float = 0.5) -> dict[str, Any]:
    return {
        "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny.safetensors"}},
        "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "tiny.safetensors"}},
        "first": {"class_type": "KSampler", "inputs": {"model": ["checkpoint", 0], "seed": seed}},
        "second": {"class_type": "KSampler", "inputs": {"latent_image": ["first", 0], "denoise": denoise}},
        "pixels": {"class_type": "VAEDecode", "inputs": {"samples": ["second", 0], "vae": ["vae", 0]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["pixels", 0]}},
    }


def _sidecar(job_id: str, graph: object = None, *, cached: tuple[str, ...] = (), **given: Any) -> Sidecar:
    return Sidecar(
        job_id=job_id,
        content_hash="0" * 64,
        state="done",
        reason="",
        files={},
        recipe={},
        workflow=graph or _graph(),  # type: ignore[arg-type] # some of them are malformed
        template={},
        server={},
        prompt_id=given.pop("prompt_id", job_id),
        cached_nodes=cached,
        seconds=None,
        finished="",
        comfy_runner="",
        **given,
    )


def test_what_came_from_a_cache_did_not_run() -> None:
    jobs = [_sidecar("a"), _sidecar("b", _graph(denoise=0.6), cached=("checkpoint", "vae", "first"))]

    assert count_passes(jobs) == {"loads": 1, "first": 1, "second": 2}


def test_a_lost_cache_shows() -> None:
    assert count_passes([_sidecar("a"), _sidecar("b", _graph(denoise=0.6))]) == {"loads": 2, "first": 2, "second": 2}


def test_what_several_jobs_of_one_graph_share_ran_once() -> None:
    jobs = [
        _sidecar("a", _graph(denoise=0.5), posted_with=("b", "c"), prompt_id="p"),
        _sidecar("b", _graph(denoise=0.6), posted_with=("a", "c"), prompt_id="p"),
        _sidecar("c", _graph(seed=2), posted_with=("a", "b"), prompt_id="p"),
    ]

    assert count_passes(jobs) == {"loads": 1, "first": 2, "second": 3}


def test_two_such_graphs_ran_twice() -> None:
    jobs = [_sidecar(job, posted_with=("x",), prompt_id=prompt) for job, prompt in [("a", "p"), ("b", "p"), ("c", "q"), ("d", "q")]]

    assert count_passes(jobs) == {"loads": 2, "first": 2, "second": 2}


def test_a_job_that_has_the_pictures_of_another_took_nothing() -> None:
    assert count_passes([_sidecar("a"), _sidecar("b", shares="a")]) == {"loads": 1, "first": 1, "second": 1}


@pytest.mark.parametrize("graph", [{"a": 3}, [1], "x", {"a": {"class_type": "A", "inputs": {"x": ["b", 0]}}}])
def test_a_malformed_graph_is_an_error_with_its_job(graph: object) -> None:
    with pytest.raises(WorkflowError, match="fox"):
        count_passes([_sidecar("fox", graph)])
