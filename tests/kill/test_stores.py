"""Nothing is lost and nothing half counts in an object store: the command is killed at requests of it that are drawn at random.

``KILL_SEED=… pytest tests/kill/test_stores.py`` repeats the draws.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest

from comfy_runner.control.verify_run import verify
from comfy_runner.store.registry import open_store
from tests.cli.support import Running, recipe_file
from tests.kill.support import REPORTS
from tests.running.support import posted
from tests.s3 import Handler, Proxy, S3Server, proxy
from tests.standin import StandIn

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
    pytest.mark.timeout(1800),  # a loaded machine is no fault of the program's
]

SEED = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**9))
_KILLS = 8
_JOBS = [f"lake-{name}" for name in ("d050", "d060", "d070")]
_REQUESTS = 30
"""About as many as a run of these jobs has; those that come to their end before the drawn one are not killed."""


class _Killer:
    """Kills a process when the store is asked for the n-th time, before or after that is carried out."""

    def __init__(self, running: Running, number: int, *, is_after: bool) -> None:
        self._running, self._left, self._is_after = running, number, is_after

    def __call__(self, handler: Handler, body: bytes) -> bool:
        self._left -= 1
        if self._left != 0:
            return False
        if self._is_after:
            handler.forward(body)
        self._running.signal(signal.SIGKILL)
        return True


def test_a_run_that_is_killed_at_any_request_goes_on_and_loses_nothing(
    s3: S3Server, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "state"))
    draw = random.Random(SEED)  # noqa: S311
    url = f"s3://{s3.bucket()}/runs/lake"
    recipe = str(recipe_file(tmp_path, sweep={"upscale.denoise": [0.5, 0.6, 0.7]}))
    kills: list[int] = []
    with proxy(s3) as before:
        while len(kills) < _KILLS:
            number, is_after = draw.randrange(1, _REQUESTS), draw.random() < 0.5
            running = _begin(before, server, tmp_path, recipe, url)
            before.responding[:] = [_Killer(running, number, is_after=is_after)]
            done = running.end()
            if done.code >= 0:
                assert done.code == 0, f"KILL_SEED={SEED}: {done.err}"
                break
            kills.append(number)
            _look_at(url)
        before.responding.clear()
        done = _begin(before, server, tmp_path, recipe, url).end()

    assert done.code == 0, f"KILL_SEED={SEED}: {done.err}"
    found = verify(url)
    assert (found.jobs, found.discrepancies, found.extra) == (3, (), ()), f"KILL_SEED={SEED}"
    assert len(posted(server)) == 3, f"KILL_SEED={SEED}: what was posted is not posted again"
    REPORTS.append(f"a run at a URL: KILL_SEED={SEED}: killed at requests {kills}")


def _begin(before: Proxy, server: StandIn, folder: Path, recipe: str, url: str) -> Running:
    variables = {**before.as_server.environment, "COMFY_RUNNER_STATE": str(folder / "state")}
    return Running("run", recipe, "--server", server.url, "--out", url, folder=folder, changes=variables)


def _look_at(url: str) -> None:
    """Hold what counts as finished against what is there: a sidecar is the last of its job's files."""
    keys = set(open_store(url).list())
    for job in _JOBS:
        if f"{job}/job.json" in keys:
            assert {f"{job}/original.png", f"{job}/upscaled.png"} <= keys, f"KILL_SEED={SEED}"
