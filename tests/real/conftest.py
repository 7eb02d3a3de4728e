"""What the tests of this folder share: a real ComfyUI that has the custom nodes of ``odd_*.py``, and a model that is fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.engine.local import InstalledEngine, LocalOptions, LocalServer, start, stop
from tests.conftest import say
from tests.model_files.support import FileServer, file_server
from tests.real.support import FETCHED, source_of


@pytest.fixture(scope="session")
def odd_server(local_options: LocalOptions, local_engine: InstalledEngine) -> Iterator[LocalServer]:
    """A real ComfyUI that has the odd nodes."""
    assert local_engine.checkpoint is not None
    options = replace(local_options, instance=f"{local_options.instance}-odd")
    nodes = options.base / "custom_nodes"
    nodes.mkdir(parents=True)
    for module in Path(__file__).parent.glob("odd_*.py"):
        shutil.copy(module, nodes)
    try:
        yield start(options, say=say)
    finally:
        stop(options)
        shutil.rmtree(options.folder, ignore_errors=True)


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


@pytest.fixture
def fetching(home: Path, web: FileServer, tmp_path: Path) -> dict[str, str]:
    """A recipe that names the checkpoint, ``job.yaml``, and settings that allow the web server; the environment that has these."""
    recipe = {"extends": "quickstart", "checkpoint": FETCHED, "models": {FETCHED: source_of(web)}}
    (tmp_path / "job.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    config = {"models": {"hosts": [web.url], "cache": str(tmp_path / "cache")}}
    (tmp_path / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    return {"COMFY_RUNNER_LOCAL_HOME": str(home), "COMFY_RUNNER_CONFIG": str(tmp_path / "config.yaml")}
