"""Savers that name their files by themselves, or tell of none, on the real ComfyUI: every job gets its own picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner.engine.local import InstalledEngine, LocalServer
from tests.real.support import comfy_runner, sidecar

_PLAIN: dict[str, Any] = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0x336699}}


@pytest.mark.parametrize("prefix", [{}, {"filename_prefix": "x"}])
@pytest.mark.parametrize("class_type", ["SaveFixed", "SaveBySecond"])
def test_every_job_gets_its_own_picture(odd_server: LocalServer, tmp_path: Path, class_type: str, prefix: dict[str, Any]) -> None:
    graph = {
        "plain": _PLAIN,
        "noise": {"class_type": "ImageAddNoise", "inputs": {"image": ["plain", 0], "seed": "SEED", "strength": 0.5}},
        "save": {
            "class_type": class_type,
            "inputs": {"images": ["noise", 0], "filename": "out", **prefix},
            "_meta": {"role": "result"},
        },
    }
    text = json.dumps(graph).replace('"SEED"', "{{ seed }}")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/graph.json.j2").write_text(text, encoding="utf-8")
    (tmp_path / "job.yaml").write_text("template: graph\nsweep: {seed: [1, 2, 3, 4, 5, 6, 7, 8]}\n", encoding="utf-8")

    comfy_runner("run", "job.yaml", "--server", odd_server.url, folder=tmp_path)

    folders = sorted(path.parent for path in (tmp_path / "runs/job").glob("*/job.json"))
    assert len(folders) == 8
    for folder in folders:
        with Image.open(folder / "result.png") as image:
            drawn = json.loads(image.info["prompt"])["noise"]["inputs"]["seed"]
        assert drawn == sidecar(folder)["workflow"]["noise"]["inputs"]["seed"], folder.name


def test_a_file_of_which_a_node_tells_by_its_bare_name_is_every_jobs_own(odd_server: LocalServer, tmp_path: Path) -> None:
    graph = {
        "plain": {**_PLAIN, "inputs": {**_PLAIN["inputs"], "color": "SEED"}},
        "save": {"class_type": "SaveByName", "inputs": {"images": ["plain", 0], "filename": "a.mp4"}, "_meta": {"role": "film"}},
    }
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/graph.json.j2").write_text(json.dumps(graph).replace('"SEED"', "{{ seed }}"), encoding="utf-8")
    (tmp_path / "job.yaml").write_text("template: graph\nsweep: {seed: [1, 2, 3]}\n", encoding="utf-8")

    comfy_runner("run", "job.yaml", "--server", odd_server.url, folder=tmp_path)

    films = [path.read_bytes() for path in sorted((tmp_path / "runs/job").glob("*/film.mp4"))]
    assert [film[:1] for film in films] == [b"\0"] * 3
    assert len(set(films)) == 3


_SILENT: dict[str, tuple[str, dict[str, Any]]] = {
    "SaveSilently": ("", {"images": ["plain", 0], "filename": "silent", "filename_prefix": "x"}),
    "VAESave": ("vae", {"vae": ["load", 2], "filename_prefix": "x"}),
    "CLIPSave": ("clip", {"clip": ["load", 1], "filename_prefix": "x"}),
}


@pytest.mark.parametrize("role", [None, {"name": "weights", "reports": "nothing"}])
@pytest.mark.parametrize("class_type", _SILENT)
def test_what_saves_and_tells_of_no_file_is_done(
    odd_server: LocalServer, local_engine: InstalledEngine, tmp_path: Path, class_type: str, role: Any
) -> None:
    assert local_engine.checkpoint is not None
    kind, inputs = _SILENT[class_type]
    graph = {
        "plain": _PLAIN,
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["plain", 0], "filename_prefix": "x"},
            "_meta": {"role": "result"},
        },
        "silent": {"class_type": class_type, "inputs": inputs, **({"_meta": {"role": role}} if role else {})},
    }
    if kind:
        graph["load"] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": local_engine.checkpoint.name}}
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/graph.json.j2").write_text(json.dumps(graph), encoding="utf-8")
    (tmp_path / "job.yaml").write_text("template: graph\nseed: 1\n", encoding="utf-8")

    comfy_runner("run", "job.yaml", "--server", odd_server.url, folder=tmp_path)

    assert list(sidecar(tmp_path / "runs/job/job")["files"]) == ["result"]
    again = comfy_runner("run", "job.yaml", "--server", odd_server.url, folder=tmp_path)
    assert "1 done (1 already)" in again.stderr
