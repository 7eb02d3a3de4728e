"""Runs on Ray whose files lie in an object store, where actors put them while the driver decides."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from comfy_runner.control.verify_run import verify
from tests.cli.support import recipe_file
from tests.engine.ray_actors.test_runs import _run
from tests.engine.ray_actors.test_server_process import STANDIN
from tests.s3 import S3Server

pytestmark = [
    pytest.mark.timeout(600),  # Ray takes its time on a loaded machine
    pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters are not for Windows"),
]


def test_actors_put_their_files_into_the_store_and_the_driver_finds_them_there(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "state"))
    url = f"s3://{s3.bucket()}/runs/lake"
    # At 10 steps, both values give the same pixels, so that the second job is a copy of the first.
    recipe = recipe_file(tmp_path, sweep={"seed": [1, 2], "upscale.denoise": [0.48, 0.49]}, sampler={"steps": 10})
    options = ("--ray", "--ray-resources", '{"CPU": 1}', "--ray-command", STANDIN)
    changes = {**s3.environment, "COMFY_RUNNER_STATE": str(tmp_path / "state"), "TMPDIR": "/tmp"}  # noqa: S108

    done = _run(tmp_path, str(recipe), "--out", url, *options, **changes)

    assert done.code == 0, done.err
    assert (verify(url).files, verify(url).discrepancies) == (8, ())
    again = _run(tmp_path, str(recipe), "--out", url, *options, **changes)
    assert "4 done (4 already)" in again.err, again.err
