"""One run on several real ComfyUIs. What they really did is counted from their own histories."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.engine.local import InstalledEngine, LocalOptions, LocalServer, start, stop
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.running.events import JobFinished, ServerChanged
from comfy_runner.running.policy import Backoff, Policy
from tests.conftest import say
from tests.real.support import sidecar

_SETS = ["sampler={steps: 4, cfg: 1.0}", "size={width: 64, height: 64}"]
_IMPATIENT = Policy(fleet_outage=1.0, backoff=Backoff(first=1.0, longest=5.0), timeouts=Timeouts(outage=20.0))


@pytest.fixture(scope="module")
def two(local_options: LocalOptions, local_engine: InstalledEngine) -> Iterator[list[LocalServer]]:
    """Two ComfyUIs of the same engine, on ports of their own."""
    assert local_engine.checkpoint is not None
    instances = [replace(local_options, instance=f"{local_options.instance}-fleet-{number}") for number in (1, 2)]
    with pytest.MonkeyPatch.context() as patch:
        # Each takes all cores otherwise, and two that do so wait for each other most of the time.
        patch.setenv("OMP_NUM_THREADS", "1")
        try:
            with ThreadPoolExecutor() as pool:
                yield list(pool.map(lambda options: start(options, say=say), instances))
        finally:
            for options in instances:
                stop(options)
                shutil.rmtree(options.folder, ignore_errors=True)


def _saved(url: str) -> Counter[str]:
    """Return how often a server has saved each job's upscaled picture, by its file prefix; not those that its cache had."""
    found: Counter[str] = Counter()
    history: dict[str, Any] = requests.get(f"{url}/history", timeout=60).json()
    for entry in history.values():
        graph = entry["prompt"][2]
        nodes = [node for node in graph.values() if node["class_type"] == "SaveImage"]
        found.update(node["inputs"]["filename_prefix"] for node in nodes if "upscaled" in node["inputs"]["filename_prefix"])
    return found


def _new(servers: Sequence[LocalServer], before: Sequence[Counter[str]]) -> list[Counter[str]]:
    return [_saved(server.url) - known for server, known in zip(servers, before, strict=True)]


def test_two_servers_and_an_old_one_share_a_sweep_and_each_job_is_done_once(
    two: list[LocalServer], early_2024_server: LocalServer, tmp_path: Path
) -> None:
    servers = [*two, early_2024_server]
    before = [_saved(server.url) for server in servers]

    with api.run(
        ["quickstart"],
        server=[server.url for server in servers],
        out=tmp_path,
        sets=_SETS,
        sweeps=["seed=101:106", "upscale.denoise=0.5,0.7,0.9"],
        config=Config(),
    ) as rendering:
        results = rendering.results()

    assert {result.state for result in results} == {"done"}, [str(result.error) for result in results]
    did = Counter(result.server for result in results)
    assert did.total() == 18
    assert all(did[server.url] > 0 for server in two)
    saved = _new(servers, before)
    assert [counts.total() for counts in saved] == [did[server.url] for server in servers]
    assert set(sum(saved, Counter[str]()).values()) == {1}
    for result in results:
        assert sidecar(tmp_path / result.job_id)["state"] == "done"


def test_when_one_of_two_is_killed_the_other_does_the_rest(two: list[LocalServer], tmp_path: Path) -> None:
    first, second = two
    outs = []
    with api.run(
        ["quickstart"],
        server=[first.url, second.url],
        out=tmp_path,
        sets=_SETS,
        sweeps=["seed=201:204", "upscale.denoise=0.5,0.7,0.9"],
        config=Config(),
        policy=_IMPATIENT,
    ) as rendering:
        killed = False
        for event in rendering:
            if isinstance(event, JobFinished) and event.result.server == second.url and not killed:
                os.kill(second.pid, signal.SIGKILL)
                killed = True
            if isinstance(event, ServerChanged) and event.stage == "out":
                outs.append(event.url)
        results = rendering.results()

    assert killed
    assert set(outs) == {second.url}
    assert {result.state for result in results} == {"done"}, [str(result.error) for result in results]
    assert {result.server for result in results} == {first.url, second.url}
    assert len(list(tmp_path.glob("*/upscaled.png"))) == 12
