"""What real servers list, of today and of early 2024."""

from __future__ import annotations

import json
from pathlib import Path

from comfy_runner.engine.local import LocalServer
from tests.real.support import comfy_runner


def test_real_servers_list_their_models_and_describe_their_nodes(
    comfyui_server: LocalServer, early_2024_server: LocalServer, tmp_path: Path
) -> None:
    for server in (comfyui_server, early_2024_server):
        asked = ("--server", server.url)

        samplers, checkpoints = (
            comfy_runner("models", kind, *asked, folder=tmp_path).stdout.splitlines() for kind in ("samplers", "checkpoint")
        )
        overview = comfy_runner("models", *asked, folder=tmp_path).stdout.splitlines()
        found = json.loads(comfy_runner("nodes", "KSampler", *asked, "--json", folder=tmp_path).stdout)

        assert "euler" in samplers
        assert "tiny-random-sd15.safetensors" in checkpoints
        assert any(line.split()[:2] == ["samplers", str(len(samplers))] for line in overview)
        assert any(line.split()[0] == "embeddings" for line in overview) is (server is comfyui_server)
        (cfg,) = [known for known in found["nodes"][0]["inputs"] if known["name"] == "cfg"]
        assert (cfg["min"], cfg["max"], cfg["type"]) == (0, 100, "FLOAT")
