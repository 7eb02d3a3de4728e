"""The oldest ComfyUI that is supported: it chooses prompt ids itself, and its events carry less."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.engine.local import LocalServer
from tests.real.support import FAST, comfy_runner, pixels, sidecar


@pytest.mark.parametrize("how", [(), ("--no-websocket",)], ids=["websocket", "no websocket"])
def test_a_recipe_gives_its_two_pictures(early_2024_server: LocalServer, tmp_path: Path, how: tuple[str, ...]) -> None:
    comfy_runner("run", "quickstart", "--server", early_2024_server.url, *FAST, *how, folder=tmp_path)

    job = tmp_path / "runs" / "quickstart" / "quickstart"
    assert pixels(job / "original.png").shape == (48, 64, 3)
    assert pixels(job / "upscaled.png").shape == (96, 128, 3)
    assert sidecar(job)["state"] == "done"
