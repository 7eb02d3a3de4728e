"""Sweeps on a real ComfyUI. What it really did is counted from its own history, never from our plan."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from comfy_runner.engine.local import InstalledEngine, LocalOptions, LocalServer, start, stop
from tests.conftest import say
from tests.real.support import comfy_runner, pixels, sidecar

_CHECKPOINTS = "checkpoint=tiny-random-sd15.safetensors,tiny-twin.safetensors"
# From 8 steps on all values of denoise are pictures of their own.
_SMALL = ("--set", "sampler={steps: 8, cfg: 1.0}", "--set", "size={width: 64, height: 64}")


@pytest.fixture(scope="module")
def models(local_engine: InstalledEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with a second checkpoint, which ComfyUI takes for another one."""
    assert local_engine.checkpoint is not None
    folder = tmp_path_factory.mktemp("models")
    (folder / "checkpoints").mkdir()
    shutil.copyfile(local_engine.checkpoint, folder / "checkpoints" / "tiny-twin.safetensors")
    return folder


@pytest.fixture(scope="module")
def twin_server(local_options: LocalOptions, models: Path) -> Iterator[LocalServer]:
    options = replace(local_options, instance=f"{local_options.instance}-sweep", models=models)
    try:
        yield start(options, say=say)
    finally:
        stop(options)
        shutil.rmtree(options.folder, ignore_errors=True)


def _history(url: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = requests.get(f"{url}/history", timeout=60).json()
    return found


def _passes(entries: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Return how often each node ran: all of a prompt's nodes but those that came from the cache."""
    ran: Counter[str] = Counter()
    for entry in entries:
        messages = dict(entry["status"]["messages"])
        assert entry["status"]["status_str"] == "success"
        graph = entry["prompt"][2]
        ran.update(graph[node]["_meta"]["title"] for node in graph if node not in messages["execution_cached"]["nodes"])
    return ran


def test_a_sweep_loads_and_samples_no_more_than_it_must_though_its_axes_come_in_bad_order(
    twin_server: LocalServer, tmp_path: Path
) -> None:
    # As they stand, every job would load a checkpoint and do a first pass; tests/planning/test_arrange.py has all other orders.
    sweeps, needed = ("upscale.denoise=0.35:0.75:0.2", "seed=1:2", _CHECKPOINTS), (2, 4, 12)
    before = _history(twin_server.url).keys()
    axes = [argument for sweep in sweeps for argument in ("--sweep", sweep)]
    command = ("run", "quickstart", "--server", twin_server.url, "--out", "out", *_SMALL, *axes)

    comfy_runner(*command, folder=tmp_path)

    ran = _passes([entry for prompt_id, entry in _history(twin_server.url).items() if prompt_id not in before])
    assert (ran["Checkpoint"], ran["First pass"], ran["Second pass"]) == needed
    assert ran["Save the upscaled"] == needed[-1]
    assert len(list((tmp_path / "out").glob("*/upscaled.png"))) == needed[-1]


def test_without_a_cache_jobs_that_share_a_first_pass_go_as_one_graph(server_without_cache: LocalServer, tmp_path: Path) -> None:
    before = _history(server_without_cache.url).keys()
    sweep = ("--sweep", "seed=1,2", "--sweep", "upscale.denoise=0.5,0.6,0.7")

    comfy_runner("run", "quickstart", "--server", server_without_cache.url, "--out", "out", *_SMALL, *sweep, folder=tmp_path)

    ran = _passes([entry for prompt_id, entry in _history(server_without_cache.url).items() if prompt_id not in before])
    assert (ran["Checkpoint"], ran["First pass"], ran["Second pass"]) == (2, 2, 6)
    told = sidecar(tmp_path / "out" / "quickstart-d050-s1")
    assert set(told["posted_with"]) == {"quickstart-d060-s1", "quickstart-d070-s1"}
    assert "second_pass" in told["workflow"]
    shutil.copytree(tmp_path / "out" / "quickstart-d060-s2", tmp_path / "fanned")
    # The job's own graph, posted alone, gives the very same pixels.
    comfy_runner("run", "fanned/job.json", "--server", server_without_cache.url, "--out", "alone", folder=tmp_path)
    alone = tmp_path / "alone" / "quickstart-d060-s2"
    for role in ("original.png", "upscaled.png"):
        assert (pixels(tmp_path / "fanned" / role) == pixels(alone / role)).all()


def test_variants_that_are_one_picture_are_rendered_once_and_shared(twin_server: LocalServer, tmp_path: Path) -> None:
    before = _history(twin_server.url).keys()
    sweep = ("--set", "sampler.steps=10", "--set", "seed=7", "--set", "size={width: 64, height: 64}")

    comfy_runner(
        *("run", "quickstart", "--server", twin_server.url, "--out", "out", *sweep),
        *("--sweep", "upscale.denoise=0.48,0.49,0.50"),
        folder=tmp_path,
    )

    assert len(_history(twin_server.url).keys() - before) == 1
    shared = sidecar(tmp_path / "out" / "quickstart-d050")
    assert shared["shares"] == "quickstart-d048"
    assert json.dumps(shared["recipe"]["upscale"]["denoise"]) == "0.5"
    first, last = (pixels(tmp_path / "out" / f"quickstart-{name}" / "upscaled.png") for name in ("d048", "d050"))
    assert (first == last).all()
