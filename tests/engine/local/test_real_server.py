"""The managed engine itself: a real ComfyUI answers, with all of its core nodes and the small checkpoint."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests

from comfy_runner.engine.local import InstalledEngine, LocalOptions, LocalServer, start, status, stop


def get(server: LocalServer, path: str) -> Any:
    return requests.get(f"{server.url}{path}", timeout=60).json()


def checkpoints(server: LocalServer) -> list[str]:
    info = get(server, "/object_info/CheckpointLoaderSimple")
    return list(info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0])


def test_the_server_is_the_version_that_the_engine_says(comfyui_server: LocalServer, local_engine: InstalledEngine) -> None:
    assert get(comfyui_server, "/system_stats")["system"]["comfyui_version"] == local_engine.version


def test_the_status_knows_the_server(comfyui_server: LocalServer, local_options: LocalOptions) -> None:
    found = status(local_options)
    assert (found.running, found.answers, found.pid) == (True, True, comfyui_server.pid)


def test_every_core_node_can_be_imported(comfyui_server: LocalServer, local_engine: InstalledEngine) -> None:
    log = comfyui_server.log.read_text(encoding="utf-8")
    assert "IMPORT FAILED" not in log
    assert "WARNING: some comfy_extras/ nodes did not import correctly" not in log
    modules = {info["python_module"] for info in get(comfyui_server, "/object_info").values()}
    # The files of core nodes that define at least one node; ComfyUI adds their names to each node.
    defining = {
        f"comfy_extras.{path.stem}"
        for path in (local_engine.source / "comfy_extras").glob("nodes_*.py")
        if "NODE_CLASS_MAPPINGS" in (text := path.read_text(encoding="utf-8")) or "ComfyExtension" in text
    }
    assert defining - modules == set()


def test_the_node_that_a_base_directory_hides_is_there(comfyui_server: LocalServer) -> None:
    assert "SaveImageWebsocket" in get(comfyui_server, "/object_info/SaveImageWebsocket")


def test_the_small_checkpoint_is_there(comfyui_server: LocalServer) -> None:
    assert checkpoints(comfyui_server) == ["tiny-random-sd15.safetensors"]


def test_models_of_the_users_are_seen_beside_the_small_checkpoint(
    local_options: LocalOptions, local_engine: InstalledEngine, tmp_path: Path
) -> None:
    assert local_engine.managed
    models = tmp_path / "my $HOME models 😀"
    (models / "checkpoints").mkdir(parents=True)
    (models / "checkpoints" / "mine.safetensors").touch()
    options = replace(local_options, instance=f"{local_options.instance}-models", models=models)
    try:
        server = start(options, say=lambda _: None)
        assert sorted(checkpoints(server)) == ["mine.safetensors", "tiny-random-sd15.safetensors"]
    finally:
        stop(options)
        shutil.rmtree(options.folder, ignore_errors=True)
