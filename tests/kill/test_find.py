"""A search that is killed at random goes on by the same command, on the path that it would have taken."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.api.find_support import answer_from, recipe
from tests.cli.support import environment
from tests.forked import Forked
from tests.standin import StandIn

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

SEED = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**9))
_KILLS = 6
_ONE = ("upscale.denoise=0.3:0.8:0.0125",)
_SEVERAL = ("upscale.denoise=0.3:0.8:0.05", "upscale.method=nearest-exact,bicubic", "upscale.sampler.cfg=3:8")


def _command(folder: Path, server: StandIn, out: str, over: Sequence[str]) -> Forked:
    fields = [part for each in over for part in ("--over", each)]
    arguments = ("find", "lake.yaml", *fields, "--jobs", "12", "--server", server.url, "--out", out, "--no-report")
    return Forked(*arguments, folder=folder, environment=environment())


def _path(folder: Path) -> list[str]:
    record = json.loads((folder / "report_files" / "find.json").read_text(encoding="utf-8"))
    return [step["job_id"] for step in record["path"]]


def _made(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/job.json")}


@pytest.mark.parametrize("over", [_ONE, _SEVERAL], ids=["one field", "several fields"])
def test_a_search_that_is_killed_at_random_takes_the_same_path(over: Sequence[str], server: StandIn, tmp_path: Path) -> None:
    draw = random.Random(SEED)  # noqa: S311 - to be repeated, not to be secret
    answer_from(tmp_path / "variants", server)
    (tmp_path / "lake.yaml").write_text(json.dumps(recipe()), encoding="utf-8")
    out, err = _command(tmp_path, server, "whole", over).communicate(timeout=120)
    whole = out.decode()
    assert whole.strip(), err

    killed = 0
    for _ in range(_KILLS):
        process = _command(tmp_path, server, "killed", over)
        wanted = len(_made(tmp_path / "killed")) + draw.randint(0, 2)
        while process.poll() is None and len(_made(tmp_path / "killed")) < wanted:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=120)
        killed += process.returncode == -signal.SIGKILL
    process = _command(tmp_path, server, "killed", over)
    out, err = process.communicate(timeout=120)

    assert killed, f"KILL_SEED={SEED}"
    assert (process.returncode, out.decode()) == (0, whole), f"KILL_SEED={SEED}: {err.decode()}"
    assert _path(tmp_path / "killed") == _path(tmp_path / "whole"), f"KILL_SEED={SEED}"
    assert _made(tmp_path / "killed") == {*_path(tmp_path / "whole")}
