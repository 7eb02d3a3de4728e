"""Values that are in no list, on the real ComfyUI: a node that judges them itself takes them, and what it refuses is told."""

from __future__ import annotations

import json
from pathlib import Path

from comfy_runner.engine.local import LocalServer
from tests.real.support import comfy_runner, sidecar

PICKED = {"empty": "anything", "style": "watercolour", "film": "/data/films/c.mp4", "remote": "far.png"}


def write_job(folder: Path, **picked: str) -> None:
    graph = {
        "plain": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0x336699}},
        "save": {"class_type": "SavePicked", "inputs": {"images": ["plain", 0], "filename_prefix": "x", **PICKED, **picked}},
    }
    (folder / "templates").mkdir()
    (folder / "templates/graph.json.j2").write_text(json.dumps(graph), encoding="utf-8")
    (folder / "job.yaml").write_text("template: graph\n", encoding="utf-8")


def test_a_node_that_judges_its_values_itself_gets_them_as_they_are(odd_server: LocalServer, tmp_path: Path) -> None:
    write_job(tmp_path)

    done = comfy_runner("run", "job.yaml", "--server", odd_server.url, folder=tmp_path)

    assert done.stderr.count("which may accept it nevertheless: the server decides") == 3
    (path,) = (tmp_path / "runs/job").glob("*/job.json")
    inputs = sidecar(path.parent)["workflow"]["save"]["inputs"]
    assert {name: inputs[name] for name in PICKED} == PICKED


def test_what_the_node_refuses_is_told_in_its_words(odd_server: LocalServer, tmp_path: Path) -> None:
    write_job(tmp_path, style="ugly")

    done = comfy_runner("run", "job.yaml", "--server", odd_server.url, folder=tmp_path, code=2)

    assert "nothing ugly" in done.stderr
