"""A baseline on a real ComfyUI: the same recipe gives the same pixels, another sampler is another picture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from comfy_runner.engine.local import LocalServer
from tests.real.support import FAST, comfy_runner, sidecar


def test_the_same_is_the_same_and_another_sampler_is_shown_beside_what_was_expected(
    comfyui_server: LocalServer, tmp_path: Path
) -> None:
    run = ("run", "quickstart", "--server", comfyui_server.url, *FAST, "--baseline", "base", "--out")
    written = comfy_runner(*run, "out", folder=tmp_path)
    assert "2 pictures that had no baseline were written to base: quickstart" in written.stderr
    told = json.loads((tmp_path / "base/baseline.json").read_text(encoding="utf-8"))["jobs"]["quickstart"]
    assert told["environment"]["comfyui"] == sidecar(tmp_path / "out" / "quickstart")["server"]["comfyui"]
    assert comfyui_server.url not in (tmp_path / "base/baseline.json").read_text(encoding="utf-8")

    # In a folder of its own it is rendered again.
    again = comfy_runner(*run, "again", folder=tmp_path, environment={"CI": "true"})
    assert again.stderr.splitlines()[-2] == "checked 1 job: 1 passed"
    assert not (tmp_path / "again" / "comparison_files").exists()

    other = comfy_runner(*run, "other", "--set", "sampler.name=euler", folder=tmp_path, environment={"CI": "true"}, code=4)
    assert "FAILED quickstart upscaled: looks different" in other.stderr
    assert "the job has changed: sampler.name dpmpp_2m → euler" in other.stderr
    sizes = set()
    for name in ("actual", "expected", "diff"):
        with Image.open(tmp_path / f"other/comparison_files/quickstart/upscaled.{name}.png") as image:
            sizes.add(image.size)
    assert len(sizes) == 1


def test_a_truncated_picture_is_exit_code_4(comfyui_server: LocalServer, tmp_path: Path) -> None:
    comfy_runner("run", "quickstart", "--server", comfyui_server.url, *FAST, "--update-baseline", "base", folder=tmp_path)
    picture = tmp_path / "runs/quickstart/quickstart/upscaled.png"
    shutil.copy(picture, tmp_path / "whole.png")
    picture.write_bytes(picture.read_bytes()[:5000])

    cut = comfy_runner("check", "runs/quickstart", "--baseline", "base", folder=tmp_path, code=4)
    assert "upscaled: cannot be compared: runs/quickstart/quickstart/upscaled.png: is not a whole picture" in cut.stdout
    shutil.copy(tmp_path / "whole.png", picture)
    comfy_runner("check", "runs/quickstart", "--baseline", "base", folder=tmp_path)
