"""How real servers stand, of today and of early 2024."""

from __future__ import annotations

import json
from pathlib import Path

from comfy_runner.engine.local import LocalServer
from tests.real.support import comfy_runner


def test_real_servers_tell_all_that_is_asked(comfyui_server: LocalServer, early_2024_server: LocalServer, tmp_path: Path) -> None:
    urls = [comfyui_server.url, early_2024_server.url]

    done = comfy_runner("servers", *(f"--server={url}" for url in urls), "--json", folder=tmp_path)

    found = json.loads(done.stdout)["servers"]
    assert [server["url"] for server in found] == urls
    assert [server["comfyui"] for server in found] == ["0.3.75", "unknown"]
    for server in found:
        assert server["error"] is None
        assert server["latency_seconds"] > 0
        assert server["devices"][0]["vram_total"] > 0
        assert set(server["ours"]) == set(server["others"]) == {"running", "pending"}
        assert "tiny-random-sd15.safetensors" in server["checkpoints"]
        assert server["diffusion_models"] == []
