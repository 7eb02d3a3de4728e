"""Runs on Ray, with stand-ins as servers: as those on servers by their URLs, but for where the servers come from."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from comfy_runner.control.server_logs import server_logs
from comfy_runner.control.verify_run import verify
from tests.cli.support import COMMAND, Typed, environment, recipe_file
from tests.engine.ray_actors.support import command_of
from tests.engine.ray_actors.test_server_process import STANDIN
from tests.ray_cluster import RayCluster, ray_cluster
from tests.s3 import S3Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # Ray takes its time on a loaded machine
    pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters are not for Windows"),
]

_GRID = {"seed": [1, 2], "upscale.denoise": [0.5, 0.6]}


@pytest.fixture(scope="module")
def cluster(running_s3: S3Server) -> Iterator[RayCluster]:
    """A node with room for an actor, and one with two GPUs, which the tests of this module share; its actors know an S3."""
    with ray_cluster("north", "fast:2", **running_s3.environment) as running:
        yield running


def _run(folder: Path, *args: str, **changes: str) -> Typed:
    """Run the command by a Python of its own: a process that has forked cannot use Ray."""
    done = subprocess.run(
        [*COMMAND, "run", *args], cwd=folder, env=environment(**changes), capture_output=True, timeout=300, check=False
    )
    return Typed(done.returncode, done.stdout.decode(), done.stderr.decode())


def _records(done: Typed) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_ray_of_its_own_renders_a_recipe_and_leaves_nothing_behind(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, sweep=_GRID)
    options = ("--ray-resources", '{"CPU": 1}', "--ray-command", STANDIN)

    done = _run(tmp_path, str(recipe), "--out", "out", *options, "--ray", TMPDIR="/tmp")  # noqa: S108 - paths of sockets are short

    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 8
    found = verify(tmp_path / "out")
    assert (found.jobs, found.discrepancies, found.extra) == (4, (), ())
    assert not [each for each in psutil.process_iter() if str(tmp_path) in " ".join(command_of(each))]
    assert [log.text for log in server_logs(tmp_path / "out")] == ["a stand-in"]


def test_the_jobs_go_to_the_actors_of_a_cluster_by_groups(cluster: RayCluster, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, sweep=_GRID)
    options = ("--ray", cluster.address, "--ray-actors", "2", "--ray-resources", '{"CPU": 1}', "--ray-command", STANDIN, "--json")

    done = _run(tmp_path, str(recipe), "--out", "out", *options, **cluster.environment)

    assert done.code == 0, done.err
    told = _records(done)
    assert sorted(told[0]["servers"]) == ["fast CPU", "north CPU"]
    (finished,) = (record for record in told if record["event"] == "run-finished")
    assert sum(finished["spent"]["jobs"].values()) == 4
    assert finished["spent"]["jobs"].keys() <= {"north CPU", "fast CPU"}
    sidecars = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*/job.json")]
    assert {sidecar["server"]["url"] for sidecar in sidecars} <= {"ray://north/CPU", "ray://fast/CPU"}


def test_each_actor_is_bound_to_its_gpu_and_named_by_it(cluster: RayCluster, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, sweep=_GRID)
    options = ("--ray", cluster.address, "--ray-actors", "2", "--ray-command", f"echo on $CUDA_VISIBLE_DEVICES; {STANDIN}")

    done = _run(tmp_path, str(recipe), "--out", "out", *options, **cluster.environment)

    assert done.code == 0, done.err
    told = {log.name: log.text.splitlines()[0] for log in server_logs(tmp_path / "out")}
    assert told == {"fast-gpu-0": "on 0", "fast-gpu-1": "on 1"}


def test_actors_that_share_a_gpu_are_told_apart(cluster: RayCluster, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    options = ("--ray-actors", "2", "--ray-resources", '{"GPU": 0.5}', "--ray-command", STANDIN, "--json")

    done = _run(tmp_path, str(recipe), "--out", "out", *options, "--ray", cluster.address, **cluster.environment)

    assert done.code == 0, done.err
    assert set(_records(done)[0]["servers"]) <= {f"fast GPU {place}" for place in ("0", "0 (2)", "1", "1 (2)")}
    assert len(_records(done)[0]["servers"]) == 2


def test_actors_put_their_files_into_the_store_and_the_driver_finds_them_there(
    cluster: RayCluster, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "state"))
    url = f"s3://{s3.bucket()}/runs/lake"
    # At 10 steps, both values give the same pixels, so that the second job is a copy of the first.
    recipe = recipe_file(tmp_path, sweep={"seed": [1, 2], "upscale.denoise": [0.48, 0.49]}, sampler={"steps": 10})
    options = ("--ray", cluster.address, "--ray-resources", '{"CPU": 1}', "--ray-command", STANDIN)
    changes = {**cluster.environment, "COMFY_RUNNER_STATE": str(tmp_path / "state")}

    done = _run(tmp_path, str(recipe), "--out", url, *options, **changes)

    assert done.code == 0, done.err
    assert (verify(url).files, verify(url).discrepancies) == (8, ())
    again = _run(tmp_path, str(recipe), "--out", url, *options, **changes)
    assert "4 done (4 already)" in again.err, again.err


def test_a_node_that_joins_takes_part(cluster: RayCluster, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, sweep={"seed": list(range(1, 41))})
    joins = tmp_path / "joins"
    # Servers of before are slow, so that there is work left for the node however long it takes to come; its own is quick.
    command = f"slow='{json.dumps({'step_seconds': 2})}'; test -e {joins} && slow='{{}}'; {STANDIN} \"$slow\""
    options = ("--ray", cluster.address, "--ray-max", "3", "--ray-resources", '{"CPU": 1}', "--ray-command", command, "--json")
    line = [*COMMAND, "run", str(recipe), "--out", "out", *options]
    variables = environment(**cluster.environment)
    with subprocess.Popen(line, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout is not None
        told = json.loads(running.stdout.readline())
        assert told["event"] == "run-started"
        present = set(told["servers"])
        while not {"north CPU", "fast CPU"} <= present:
            told = json.loads(running.stdout.readline())
            present |= {told["server"]} if told["event"] == "server-changed" and told["stage"] == "joined" else set()
        joins.touch()
        cluster.add("east")
        rest = [json.loads(each) for each in running.stdout]

    assert running.returncode == 0
    assert "east CPU" in [each["server"] for each in rest if each["event"] == "server-changed" and each["stage"] == "joined"]
    spent = next(each["spent"] for each in rest if each["event"] == "run-finished")
    assert spent["jobs"]["east CPU"] > 0
    assert sum(spent["jobs"].values()) == 40
