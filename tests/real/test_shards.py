"""A run on the real ComfyUI, whole and in shards: the merged shards have the pictures and the numbers of the whole run."""

from __future__ import annotations

import json
from pathlib import Path

from comfy_runner.engine.local import LocalServer
from tests.real.support import comfy_runner

_SWEEP = ("--set", "sampler.steps=4", "--set", "size={width: 64, height: 48}", "--sweep", "seed=1,2")


def test_merged_shards_measure_what_one_run_does(comfyui_server: LocalServer, tmp_path: Path) -> None:
    command = ("run", "quickstart", "--server", comfyui_server.url, *_SWEEP)
    comfy_runner(*command, folder=tmp_path)
    for rank in range(2):
        nodes = {"SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_NUM_NODES": "2"}
        done = comfy_runner(*command, "--shard", "auto", "--out", "parts", folder=tmp_path, environment=nodes)
        assert len(done.stdout.splitlines()) == 2

    comfy_runner("merge", "parts", "--to", "merged", folder=tmp_path)

    found = []
    for run in ("runs/quickstart", "merged"):
        comfy_runner("report", run, folder=tmp_path)
        told = json.loads((tmp_path / run / "metrics.json").read_text(encoding="utf-8"))
        found.append([(job["job"], job["values"], job["measures"]) for job in told["jobs"]])
        assert len(found[-1]) == 2
    assert found[0] == found[1]
    # The files differ in the names that they had on the server; the pixels do not.
    again = comfy_runner("merge", "parts", "runs/quickstart", "--to", "merged", folder=tmp_path)
    assert "0 jobs copied" in again.stderr
    assert "2 done (2 already)" in comfy_runner(*command, "--out", "merged", folder=tmp_path).stderr
