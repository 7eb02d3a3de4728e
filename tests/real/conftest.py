"""What the tests of this folder share: a real ComfyUI that has the custom nodes of ``odd_*.py``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.engine.local import InstalledEngine, LocalOptions, LocalServer, start, stop
from tests.conftest import say


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
