"""Pictures in the place of recipes, on a real ComfyUI: what one says is rendered again, pixel by pixel, and can be swept over."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.local import LocalServer
from tests.importer.files import json_file, page_workflow
from tests.real.support import FAST, comfy_runner, pixels, sidecar

_CHECKPOINT = "tiny-random-sd15.safetensors"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _hires() -> dict[str, Any]:
    """Return a graph of two passes, as somebody else built it."""
    sampler = {
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["3", 0],
        "sampler_name": "euler",
        "scheduler": "karras",
        "cfg": 4.0,
    }
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": _CHECKPOINT}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red fox {in|on} the snow", "clip": ["1", 1]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["1", 1]}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 64, "batch_size": 1}},
        "5": {
            "class_type": "KSampler",
            "inputs": {**sampler, "seed": 11, "steps": 3, "denoise": 1.0, "latent_image": ["4", 0]},
        },
        "6": {"class_type": "LatentUpscaleBy", "inputs": {"samples": ["5", 0], "upscale_method": "bislerp", "scale_by": 1.5}},
        "7": {
            "class_type": "KSampler",
            "inputs": {**sampler, "seed": 12, "steps": 4, "denoise": 0.6, "latent_image": ["6", 0]},
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["1", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "foreign"}},
    }


def _picture_of(graph: dict[str, Any], url: str, path: Path) -> Path:
    """Post a graph as ComfyUI's page does, and return the picture that it gives."""
    prompt_id, http = str(uuid.uuid4()), ComfyHttp(parse_address(url))
    answer = http.submit(graph, prompt_id=prompt_id, client_id="tests", pnginfo={})
    assert answer.status == 200, answer.body
    deadline = time.monotonic() + 120
    while (entry := http.history(prompt_id)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (file,) = entry["outputs"]["9"]["images"]
    with http.view(file["filename"], subfolder=file["subfolder"], kind=file["type"]) as pieces:
        path.write_bytes(b"".join(pieces))
    return path


def test_a_picture_of_our_own_is_rendered_again_pixel_by_pixel(
    comfyui_server: LocalServer, server_without_cache: LocalServer, tmp_path: Path
) -> None:
    comfy_runner("run", "quickstart", "--server", comfyui_server.url, *FAST, folder=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    job = tmp_path / "runs" / "quickstart" / "quickstart"
    shutil.copy(job / "original.png", elsewhere / "some.png")

    done = comfy_runner("run", "some.png", "--server", server_without_cache.url, folder=elsewhere)

    assert "some.png: made by comfy_runner: its own recipe is rendered, quickstart" in done.stderr
    again = elsewhere / "runs" / "quickstart" / "quickstart"
    for name in ("original.png", "upscaled.png"):
        assert np.array_equal(pixels(job / name), pixels(again / name))
    assert sidecar(again)["content_hash"] == sidecar(job)["content_hash"]


def test_a_picture_of_somebody_else_is_rendered_again_pixel_by_pixel(
    comfyui_server: LocalServer, server_without_cache: LocalServer, tmp_path: Path
) -> None:
    path = _picture_of(_hires(), comfyui_server.url, tmp_path / "ComfyUI_00001_.png")

    done = comfy_runner("run", path.name, "--server", server_without_cache.url, folder=tmp_path)

    assert done.stdout.splitlines() == ["runs/comfyui-00001/comfyui-00001/picture.png"]
    assert "ComfyUI's graph (prompt) is rendered as it is, 9 nodes" in done.stderr
    assert np.array_equal(pixels(path), pixels(tmp_path / done.stdout.strip()))


def test_a_picture_is_swept_over_with_one_command(comfyui_server: LocalServer, tmp_path: Path) -> None:
    path = _picture_of(_hires(), comfyui_server.url, tmp_path / "fox.png")

    done = comfy_runner("run", "fox.png", "--sweep", "upscale.denoise=0.4:0.8:0.2", "--server", comfyui_server.url, folder=tmp_path)

    pictures = [tmp_path / line for line in done.stdout.splitlines()]
    assert [picture.parent.name for picture in pictures] == ["fox-d040", "fox-d060", "fox-d080"]
    same = [np.array_equal(pixels(path), pixels(picture)) for picture in pictures]
    assert same == [False, True, False]


def test_an_imported_workflow_of_the_page_renders_as_the_page_would(comfyui_server: LocalServer, tmp_path: Path) -> None:
    json_file(tmp_path / "blue.json", page_workflow())

    imported = comfy_runner("import", "blue.json", "--server", comfyui_server.url, folder=tmp_path)
    done = comfy_runner("run", "blue.yaml", "--server", comfyui_server.url, folder=tmp_path)
    direct = comfy_runner("run", "blue.json", "--server", comfyui_server.url, "--out", "direct", folder=tmp_path)

    assert imported.stdout.splitlines() == ["blue.yaml", "templates/blue.json.j2"]
    for output in (done, direct):
        picture = pixels(tmp_path / output.stdout.strip())
        assert picture.shape == (32, 64, 3)
        assert (picture == (0, 0, 255)).all()
    assert json.loads(comfy_runner("render", "blue.yaml", folder=tmp_path).stdout)["1"]["inputs"]["color"] == 255
