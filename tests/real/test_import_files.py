"""Every kind of file that a real ComfyUI saves, read back: the graph and the workflow in it are those that were posted."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.local import LocalServer
from comfy_runner.importer.read import read_file

_TITLE = 'Fjord, 日本 🌲 = ; # \\ "x" </metadata> '
_UI = {"nodes": [{"id": 1, "type": "EmptyImage", "title": _TITLE}], "links": [], "version": 0.4}
_ABOUT = {"version": "1", "job_id": "lake"}
_PICTURES = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 3, "color": 0x336699}}
_NOISE = {
    "class_type": "ImageAddNoise",
    "inputs": {"image": ["pictures", 0], "seed": 7, "strength": 0.5},
    "_meta": {"title": _TITLE},
}
_SOUND = {"class_type": "EmptyAudio", "inputs": {"duration": 0.5, "sample_rate": 48000, "channels": 2}}
_FILM = {"class_type": "CreateVideo", "inputs": {"images": ["noise", 0], "fps": 8.0}}
_LATENT = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 48, "batch_size": 1}}
_SOURCES: dict[str, Any] = {"pictures": _PICTURES, "noise": _NOISE, "sound": _SOUND, "film": _FILM, "latent": _LATENT}

_SIZE = (64, 48)
_SAVERS: list[tuple[str, dict[str, Any], tuple[int, int] | None]] = [
    ("SaveImage", {"images": ["noise", 0]}, _SIZE),
    ("SaveAnimatedPNG", {"images": ["noise", 0], "fps": 6.0, "compress_level": 4}, _SIZE),
    ("SaveAnimatedWEBP", {"images": ["noise", 0], "fps": 6.0, "lossless": True, "quality": 80, "method": "fastest"}, _SIZE),
    ("SaveVideo", {"video": ["film", 0], "format": "mp4", "codec": "h264"}, _SIZE),
    ("SaveWEBM", {"images": ["noise", 0], "codec": "vp9", "fps": 8.0, "crf": 32.0}, _SIZE),
    ("SaveAudio", {"audio": ["sound", 0]}, None),
    ("SaveAudioMP3", {"audio": ["sound", 0], "quality": "V0"}, None),
    ("SaveAudioOpus", {"audio": ["sound", 0], "quality": "64k"}, None),
    ("SaveLatent", {"samples": ["latent", 0]}, None),
]


def _saved(url: str, folder: Path, graph: dict[str, Any]) -> Path:
    """Post a graph with a workflow and what we say ourselves beside it, and return the first file that it gives."""
    prompt_id, http = str(uuid.uuid4()), ComfyHttp(parse_address(url))
    answer = http.submit(graph, prompt_id=prompt_id, client_id="tests", pnginfo={"workflow": _UI, "comfy_runner": _ABOUT})
    assert answer.status == 200, answer.body
    deadline = time.monotonic() + 120
    while (entry := http.history(prompt_id)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert entry["status"]["status_str"] == "success", entry["status"]
    (outputs,) = entry["outputs"].values()
    file, *_ = next(files for files in outputs.values() if isinstance(files[0], dict))
    (folder / "history.json").write_text(json.dumps({prompt_id: entry}), encoding="utf-8")
    path = folder / "file.bin"  # what it is, it tells itself
    with http.view(file["filename"], subfolder=file["subfolder"], kind=file["type"]) as pieces:
        path.write_bytes(b"".join(pieces))
    return path


@pytest.mark.parametrize(("class_type", "inputs", "size"), _SAVERS)
def test_what_was_posted_is_in_the_file(
    comfyui_server: LocalServer, tmp_path: Path, class_type: str, inputs: dict[str, Any], size: tuple[int, int] | None
) -> None:
    save = {"class_type": class_type, "inputs": {**inputs, "filename_prefix": f"import/{class_type}"}}
    graph = {**_SOURCES, "save": save}

    found = read_file(_saved(comfyui_server.url, tmp_path, graph))

    assert (found.graph, found.ui, found.about, found.size, found.notes) == (graph, _UI, _ABOUT, size, ())
    history = read_file(tmp_path / "history.json")
    assert (history.graph, history.ui, history.about) == (graph, _UI, _ABOUT)
