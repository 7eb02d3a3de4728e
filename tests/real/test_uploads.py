"""Input files on a real ComfyUI: what it loads is what lay here, and it is sent but once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.local import LocalServer
from comfy_runner.graph.conformance import ShapeCheck
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.workflow import parse_workflow
from tests.real.support import comfy_runner, pixels, sidecar

_TEMPLATE = """{#
description: A picture, half as large.
params:
  image: {type: image, description: The picture}
#}
{
  "load": {"class_type": "LoadImage", "inputs": {"image": {{ params.image }}}},
  "scale": {
    "class_type": "ImageScale",
    "inputs": {"image": ["load", 0], "upscale_method": "area", "width": {{ width }}, "height": {{ height }}, "crop": "disabled"}
  },
  "save": {"class_type": "SaveImage", "inputs": {"images": ["scale", 0], "filename_prefix": "x"}, "_meta": {"role": "half"}}
}
"""
_RECIPE = "name: half\ntemplate: half\nseed: 1\nsize: {width: 64, height: 48}\n"


@pytest.fixture
def url(comfyui_server: LocalServer) -> str:
    return comfyui_server.url


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "half.json.j2").write_text(_TEMPLATE, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(_RECIPE + "params: {image: ./pictures/photo.png}\n", encoding="utf-8")
    (tmp_path / "pictures").mkdir()
    noise = np.random.default_rng(hash(tmp_path) % 2**32).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "pictures" / "photo.png")
    return tmp_path


def _modified(url: str, name: str) -> str:
    folder, _, filename = name.partition("/")
    query = {"filename": filename, "subfolder": folder, "type": "input"}
    answer = requests.head(f"{url}/view", params=query, timeout=10)
    assert answer.status_code == 200
    return answer.headers["Last-Modified"] + answer.headers["Etag"]


def test_the_server_loads_the_picture_that_the_recipe_names_and_is_sent_it_once(url: str, room: Path) -> None:
    comfy_runner("run", "recipe.yaml", "--server", url, "--out", "one", folder=room)
    found = sidecar(room / "one" / "half")
    name = found["workflow"]["load"]["inputs"]["image"]
    first = _modified(url, name)
    comfy_runner("run", "recipe.yaml", "--server", url, "--out", "two", folder=room)
    half = pixels(room / "pictures" / "photo.png", size=(64, 48))

    assert name == found["inputs"][0]["name"] == f"comfy_runner/{found['inputs'][0]['sha256'][:32]}.png"
    for out in ("one", "two"):
        assert np.abs(pixels(room / out / "half" / "half.png") - half).max() <= 2
    assert _modified(url, name) == first


def test_the_sidecar_repeats_the_job_and_a_changed_picture_is_rendered_again(url: str, room: Path) -> None:
    comfy_runner("run", "recipe.yaml", "--server", url, "--out", "one", folder=room)
    (room / "elsewhere").mkdir()
    comfy_runner("run", "../one/half/job.json", "--server", url, "--out", "again", folder=room / "elsewhere")
    Image.new("RGB", (128, 96), "teal").save(room / "pictures" / "photo.png")
    done = comfy_runner("run", "recipe.yaml", "--server", url, "--out", "one", folder=room)

    assert (room / "elsewhere" / "again" / "half" / "half.png").is_file()
    assert "the content of photo.png has changed" in done.stderr
    assert np.abs(pixels(room / "one" / "half" / "half.png") - np.array([0, 128, 128])).max() <= 2


def test_a_picture_larger_than_the_server_takes_is_refused_with_its_limit(url: str, room: Path) -> None:
    with (room / "pictures" / "photo.png").open("ab") as file:
        file.truncate(101 * 1024 * 1024)

    done = comfy_runner("run", "recipe.yaml", "--server", url, folder=room, code=2)

    assert "has 101.0 MiB, but the server accepts 100.0 MiB: start ComfyUI with a higher --max-upload-size" in done.stderr


@pytest.mark.parametrize(
    ("class_type", "name"),
    [("LoadImage", "image"), ("LoadImageMask", "image"), ("LoadAudio", "audio"), ("LoadVideo", "file"), ("LoadLatent", "latent")],
)
def test_what_a_server_lists_does_not_stand_against_an_input_file(url: str, class_type: str, name: str) -> None:
    info = ObjectInfo(ComfyHttp(parse_address(url)).object_info(), source=url)
    graph = parse_workflow({"load": {"class_type": class_type, "inputs": {name: f"comfy_runner/{'0' * 32}.dat"}}})

    assert ShapeCheck(graph, info).verdict("load", name, graph.nodes["load"].inputs[name]) == "fine"
    assert ShapeCheck(graph, info).verdict("load", name, "nothing.dat") == "refused"


def test_a_server_of_early_2024_loads_it_too(early_2024_server: LocalServer, room: Path) -> None:
    comfy_runner("run", "recipe.yaml", "--server", early_2024_server.url, "--out", "one", folder=room)
    half = pixels(room / "pictures" / "photo.png", size=(64, 48))

    assert np.abs(pixels(room / "one" / "half" / "half.png") - half).max() <= 2
