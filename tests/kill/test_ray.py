"""On Ray, too, nothing is lost and nothing is made twice without need, whatever is killed, and whenever.

``KILL_SEED=… pytest tests/kill/test_ray.py`` repeats the draws.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from comfy_runner.control.verify_run import verify
from tests.cli.support import COMMAND, environment, recipe_file
from tests.kill.support import REPORTS
from tests.ray_cluster import RayCluster, ray_cluster
from tests.s3 import Death, Handler, Proxy, S3Server, proxy

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
    pytest.mark.timeout(1800),  # a loaded machine is no fault of the program's
]

SEED = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**9))
_GRID = {"seed": [1, 2, 3, 4], "upscale.denoise": [0.4, 0.5, 0.6, 0.7, 0.8]}
_JOBS = 20
_STATE = json.dumps({"step_seconds": 0.2})
_SLOW = f"exec env PYTHONPATH={Path(__file__).parents[2]} {sys.executable} -m tests.standin {{port}} '{_STATE}'"
_PATIENT = 600.0


@pytest.fixture
def before(s3: S3Server) -> Iterator[Proxy]:
    """The session's S3, and what was asked of it."""
    with proxy(s3) as made:
        yield made


class _Puts:
    """Notes the sidecars that come whole; what a client was killed at is not passed on, as S3 itself would not take it."""

    def __init__(self) -> None:
        self.sidecars: defaultdict[str, set[tuple[str, str, str]]] = defaultdict(set)

    def __call__(self, handler: Handler, body: bytes) -> bool:
        if handler.command != "PUT":
            return False
        if len(body) < int(handler.headers.get("Content-Length", 0)):
            return handler.cut()
        if handler.path.endswith("/job.json"):
            told = json.loads(body)
            self.sidecars[handler.path].add((told["server"]["url"], told["prompt_id"], told["finished"]))
        return False


class _Command:
    """A run on a cluster, which can be killed."""

    def __init__(self, recipe: Path, url: str, cluster: RayCluster, log: Path) -> None:
        self._log = log
        variables = environment(**cluster.environment, COMFY_RUNNER_STATE=str(recipe.parent / "state"))
        options = ("--ray", cluster.address, "--ray-max", "3", "--ray-command", _SLOW, "--outage-timeout", "5")
        line = [*COMMAND, "run", str(recipe), "--out", url, *options, "--json"]
        with log.open("wb") as output, log.with_suffix(".err").open("wb") as errors:
            self._process = subprocess.Popen(line, cwd=recipe.parent, env=variables, stdout=output, stderr=errors)

    def done(self) -> int:
        """Return how many jobs it has told to be done."""
        lines = self._log.read_bytes().rpartition(b"\n")[0].splitlines()
        return sum(json.loads(line)["event"] == "job-finished" for line in lines)  # nothing else may be on stdout

    def wait_until_done(self, jobs: int) -> None:
        until = time.monotonic() + _PATIENT
        while self.done() < jobs and self._process.poll() is None:
            assert time.monotonic() < until, self.said()
            time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        return self._process.wait(_PATIENT)

    def said(self) -> str:
        return f"KILL_SEED={SEED}\n{self._log.with_suffix('.err').read_text(encoding='utf-8', errors='replace')[-5000:]}"


def test_actors_nodes_servers_the_store_and_the_run_itself_are_killed_and_every_job_is_done_once(
    s3: S3Server, before: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "state"))
    draw = random.Random(SEED)  # noqa: S311
    url, puts = f"s3://{s3.bucket()}/runs/lake", _Puts()
    before.responding += [store_dies := Death(draw, puts), puts]
    recipe = recipe_file(tmp_path, sweep=_GRID)
    with ray_cluster("north", "south", "east", **before.as_server.environment) as cluster:
        kills: list[Callable[[], None]] = [
            lambda: _kill(draw.choice(cluster.actors())),
            lambda: _kill(draw.choice(cluster.servers())),
            lambda: cluster.kill("east"),
            lambda: store_dies.strike(2 + 3 * draw.random()),
        ]
        draw.shuffle(kills)
        command = _Command(recipe, url, cluster, tmp_path / "first.log")
        for number, kill in enumerate(kills):
            command.wait_until_done(3 + 3 * number)
            time.sleep(draw.random() * 0.5)
            kill()
        command.wait_until_done(3 + 3 * len(kills))
        time.sleep(draw.random() * 0.5)
        command.kill()
        told = command.done()

        again = _Command(recipe, url, cluster, tmp_path / "second.log")
        assert again.end() == 0, again.said()
        until = time.monotonic() + _PATIENT
        while cluster.servers():  # a guard may still be at it
            assert time.monotonic() < until
            time.sleep(0.1)

    found = verify(url)
    assert (found.jobs, found.discrepancies, found.extra) == (_JOBS, (), ()), f"KILL_SEED={SEED}"
    assert len(puts.sidecars) == _JOBS
    again_put = {path: told for path, told in puts.sidecars.items() if len(told) > 1}
    assert not again_put, f"KILL_SEED={SEED}"
    REPORTS.append(f"a run on Ray: KILL_SEED={SEED}: {told} of {_JOBS} jobs were done when it was killed")


def _kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)
