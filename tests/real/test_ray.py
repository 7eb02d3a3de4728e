"""A sweep on a Ray of two nodes: a real ComfyUI in each of two actors, a checkpoint that is fetched, pictures in an S3."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.control.verify_run import verify
from comfy_runner.engine.local import InstalledEngine, LocalOptions
from comfy_runner.store.registry import open_store
from tests.cli.support import COMMAND, environment
from tests.model_files.support import FileServer
from tests.ray_cluster import ray_cluster
from tests.real.support import FAST, FETCHED
from tests.s3 import S3Server

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters are not for Windows"),
]

_SWEEP = ("--sweep", 'prompt=["a lake", "a hill"]', "--sweep", "seed=1,2", "--sweep", "upscale.denoise=0.5,0.75")
_JOBS, _FIRST_PASSES = 8, 4


def test_two_actors_share_a_sweep_by_first_passes_and_one_download(
    local_engine: InstalledEngine,
    home: Path,
    web: FileServer,
    fetching: dict[str, str],
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "state"))
    url = f"s3://{s3.bucket()}/runs/lake"
    with ray_cluster("north", "south", **s3.environment, OMP_NUM_THREADS="1") as cluster:
        variables = environment(**cluster.environment, **fetching, COMFY_RUNNER_STATE=str(tmp_path / "state"))
        options = ("--ray", cluster.address, "--ray-actors", "2", "--fetch-models", "--json")
        # By a Python of its own: a process that has forked cannot use Ray.
        line = [*COMMAND, "run", "job.yaml", *FAST, *_SWEEP, "--out", url, *options]
        done = subprocess.run(line, cwd=tmp_path, env=variables, capture_output=True, timeout=600, check=False)

    assert done.returncode == 0, done.stderr.decode()
    assert web.asked == ["/tiny.safetensors", "/tiny.safetensors bytes=200000000-"]
    assert (home / "models/checkpoints" / FETCHED).is_symlink()
    told: list[dict[str, Any]] = [json.loads(each) for each in done.stdout.splitlines()]
    assert sorted(told[0]["servers"]) == ["north CPU", "south CPU"]
    spent = next(each["spent"] for each in told if each["event"] == "run-finished")
    # A split is a first pass more, where it ends the run earlier.
    assert spent["first"] == _FIRST_PASSES + spent["splits"]
    assert spent["loads"] <= 2
    assert sum(spent["jobs"].values()) == _JOBS
    found = verify(url)
    assert (found.jobs, found.discrepancies, found.extra) == (_JOBS, (), ())
    store = open_store(url)
    sidecars = [json.loads(store.open(key).read()) for key in store.list() if key.endswith("/job.json")]
    assert Counter(each["server"]["url"] for each in sidecars).keys() <= {"ray://north/CPU", "ray://south/CPU"}
    assert {each["server"]["comfyui"] for each in sidecars} == {local_engine.version}
    logs = [path.read_text() for path in (tmp_path / "state").rglob("server_logs/*.log")]
    assert len(logs) == 2
    assert all("To see the GUI go to" in log for log in logs)
    assert not [*LocalOptions(home=home).instances.glob("ray-*")]
