"""What pictures of the real ComfyUI say of themselves, and what is left of that where the recipe wants it otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfy_runner.engine.local import LocalServer
from tests.real.support import FAST, comfy_runner, pixels, sidecar


@pytest.fixture
def url(comfyui_server: LocalServer) -> str:
    return comfyui_server.url


def _texts(path: Path) -> dict[str, str]:
    with Image.open(path) as image:
        image.load()
        return {name: str(text) for name, text in image.text.items()}  # type: ignore[attr-defined] # of PNG files


def _again(url: str, folder: Path, recipe: dict[str, Any]) -> Path:
    """Render a recipe that stood in a picture, in a folder of its own, and return its pictures' folder."""
    folder.mkdir()
    (folder / "found.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    comfy_runner("run", "found.yaml", "--server", url, "--out", "out", folder=folder)
    return folder / "out" / str(recipe["name"])


def test_a_picture_alone_says_what_made_it_and_the_cache_does_not_mind(url: str, tmp_path: Path) -> None:
    comfy_runner("run", "quickstart", "--server", url, "--sweep", "upscale.denoise=0.5,0.7", "--out", "out", *FAST, folder=tmp_path)

    jobs = [tmp_path / "out" / name for name in ("quickstart-d050", "quickstart-d070")]
    for job, denoise in zip(jobs, (0.5, 0.7), strict=True):
        about = json.loads(_texts(job / "upscaled.png")["comfy_runner"])
        assert about["recipe"] == sidecar(job)["recipe"]
        assert about["recipe"]["upscale"]["denoise"] == denoise
        assert about["template"] == sidecar(job)["template"]
        assert str(tmp_path) not in json.dumps(about)
    assert any("first_pass" in sidecar(job)["cached_nodes"] for job in jobs)

    found = json.loads(_texts(jobs[1] / "original.png")["comfy_runner"])
    again = _again(url, tmp_path / "again", found["recipe"])

    assert sidecar(again)["content_hash"] == found["content_hash"]
    assert np.array_equal(pixels(again / "upscaled.png"), pixels(jobs[1] / "upscaled.png"))


def test_pictures_for_those_who_publish_tell_nothing_and_others_tell_it_to_all(url: str, tmp_path: Path) -> None:
    args = ("run", "quickstart", "--server", url, "--out", "out", *FAST, "--set")
    job, asked = tmp_path / "out" / "quickstart", ("--server", "http://127.0.0.1:9")
    comfy_runner(*args, "output.metadata=none", folder=tmp_path)
    before, plain = pixels(job / "upscaled.png"), (job / "upscaled.png").read_bytes()
    assert (_texts(job / "upscaled.png"), b"tEXt" in plain, b"iTXt" in plain) == ({}, False, False)

    comfy_runner(*args, "output.metadata=[comfyui, a1111]", *asked, folder=tmp_path)

    told = _texts(job / "upscaled.png")
    assert json.loads(told["prompt"]) == sidecar(job)["workflow"]
    prompt, _, settings = told["parameters"].partition("\n")
    assert prompt == sidecar(job)["recipe"]["prompt"]
    assert settings.rpartition("\n")[2].startswith("Steps: 4, Sampler: ")
    assert "Hires upscaler: Latent (nearest-exact)" in settings
    assert np.array_equal(pixels(job / "upscaled.png"), before)

    comfy_runner(*args, "output.metadata=none", *asked, folder=tmp_path)

    assert (job / "upscaled.png").read_bytes() == plain
