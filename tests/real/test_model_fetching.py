"""A recipe names a checkpoint that the local ComfyUI lacks: it is fetched, linked, and renders."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.byte_sizes import told_size
from comfy_runner.engine.local import InstalledEngine, LocalOptions, stop
from tests.cli.support import COMMAND
from tests.cli.support import environment as run_environment
from tests.model_files.support import FileServer, file_server, sha256
from tests.ray_cluster import ray_cluster
from tests.real.support import FAST, comfy_runner, pixels, sidecar

_NAME = "fetched/tiny.safetensors"


@pytest.fixture
def home(local_options: LocalOptions, local_engine: InstalledEngine, tmp_path: Path) -> Iterator[Path]:
    """A home of its own with the very engine of all, whose models folder is another one."""
    assert local_engine.checkpoint is not None
    folder = tmp_path / "home"
    (folder / "models" / "checkpoints").mkdir(parents=True)
    for path in local_options.root.iterdir():
        if path.name in ("venv", "models.json") or path.name.startswith("comfyui-"):
            (folder / path.name).symlink_to(path)
    for path in local_options.shared_models.glob("*/*"):
        (folder / "models" / path.parent.name).mkdir(exist_ok=True)
        (folder / "models" / path.parent.name / path.name).symlink_to(path)
    try:
        yield folder
    finally:
        stop(LocalOptions(home=folder))


@pytest.fixture
def web(local_options: LocalOptions, local_engine: InstalledEngine) -> Iterator[FileServer]:
    """A web server that has the tiny checkpoint, and breaks off in the middle of it once."""
    assert local_engine.checkpoint is not None
    with file_server(tiny=local_options.checkpoint.read_bytes()) as made:
        made.responding = [lambda handler: handler.give(cut_after=200_000_000)]
        yield made


def _prepared(folder: Path, home: Path, web: FileServer) -> dict[str, str]:
    """Write a recipe that names the checkpoint, and settings that allow the web server; return the environment."""
    source = {"url": f"{web.url}/tiny.safetensors", **_source(web)}
    (folder / "job.yaml").write_text(json.dumps({"extends": "quickstart", "checkpoint": _NAME, "models": {_NAME: source}}))
    (folder / "config.yaml").write_text(json.dumps({"models": {"hosts": [web.url], "cache": str(folder / "cache")}}))
    return {"COMFY_RUNNER_LOCAL_HOME": str(home), "COMFY_RUNNER_CONFIG": str(folder / "config.yaml")}


def _source(web: FileServer) -> dict[str, Any]:
    content = web.files["/tiny.safetensors"]
    return {"sha256": sha256(content), "size": len(content)}


def test_a_checkpoint_that_is_fetched_renders(home: Path, web: FileServer, tmp_path: Path) -> None:
    content = web.files["/tiny.safetensors"]
    environment = _prepared(tmp_path, home, web)
    command = ("job.yaml", "--server", "local", *FAST)

    def typed(*args: str, code: int = 0) -> Any:
        return comfy_runner(*args, folder=tmp_path, code=code, environment=environment)

    refused = typed("run", *command, code=2)
    assert "--fetch-models fetches it" in refused.stderr
    assert not web.seen
    planned = typed("plan", *command, "--fetch-models")
    assert f"a run fetches 1 model ({told_size(len(content))}) from {web.url}: {_NAME} first" in planned.stderr
    done = typed("run", *command, "--fetch-models")

    assert "fetched and checked" in done.stderr
    assert web.asked == ["/tiny.safetensors", "/tiny.safetensors bytes=200000000-"]
    assert (home / "models/checkpoints" / _NAME).readlink() == tmp_path / "cache" / sha256(content) / "model"
    # Another name of the very file: the very same picture.
    (tmp_path / "own.yaml").write_text(json.dumps({"extends": "quickstart"}), encoding="utf-8")
    typed("run", "own.yaml", "--server", "local", *FAST)
    assert (pixels(tmp_path / "runs/job/job/upscaled.png") == pixels(tmp_path / "runs/own/own/upscaled.png")).all()
    assert sidecar(tmp_path / "runs/job/job")["recipe"]["models"] == {_NAME: {"url": f"{web.url}/tiny.safetensors", **_source(web)}}
    listed = typed("models", "--cached")
    assert listed.stdout.startswith(f"{_NAME}  ")
    typed("models", "--clean")
    assert not (home / "models/checkpoints" / _NAME).is_symlink()
    again = typed("run", "job.yaml", "--server", "local", *FAST)
    assert "1 done (1 already)" in again.stderr


@pytest.mark.timeout(900)
def test_two_actors_of_a_machine_share_one_download(home: Path, web: FileServer, tmp_path: Path) -> None:
    variables = _prepared(tmp_path, home, web)
    with ray_cluster("north", "south", OMP_NUM_THREADS="1") as cluster:
        options = ("--ray", cluster.address, "--ray-actors", "2", "--sweep", "seed=1,2")

        # By a Python of its own: a process that has forked cannot use Ray.
        done = subprocess.run(
            [*COMMAND, "run", "job.yaml", *options, *FAST, "--fetch-models"],
            cwd=tmp_path,
            env=run_environment(**cluster.environment, **variables),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert web.asked == ["/tiny.safetensors", "/tiny.safetensors bytes=200000000-"]
    assert len(done.stdout.splitlines()) == 4
    assert (home / "models/checkpoints" / _NAME).is_symlink()
