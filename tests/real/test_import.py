"""Imported workflows on the real ComfyUI: the pixels of a pair are those of the graph as somebody posted it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comfy_runner.engine.local import LocalServer
from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.importer.recognise import recognise
from comfy_runner.importer.write import prove, write_files, write_pair
from tests.importer.graphs import hires
from tests.real.support import comfy_runner, pixels


@pytest.fixture
def url(comfyui_server: LocalServer) -> str:
    return comfyui_server.url


def _graph(checkpoint: str) -> dict[str, Any]:
    graph = hires(steps=3)
    graph["3"]["inputs"]["steps"] = 3
    graph["4"]["inputs"]["ckpt_name"] = checkpoint
    graph["5"]["inputs"] |= {"width": 128, "height": 72}
    graph["6"]["inputs"]["text"] = "a {{red|blue}} fox {# in the snow #}"
    return graph


def test_an_imported_workflow_gives_the_very_pixels_of_the_graph(url: str, tmp_path: Path) -> None:
    quickstart = json.loads(comfy_runner("render", "quickstart", folder=tmp_path).stdout)
    (loader,) = (node for node in quickstart.values() if node["class_type"] == "CheckpointLoaderSimple")
    graph = _graph(loader["inputs"]["ckpt_name"])
    workflow = parse_workflow(graph)
    # As a template without anything in it to change, it is posted as it is.
    plain = {
        node_id: {**node, "_meta": {"role": {"9": "original", "23": "upscaled"}.get(node_id, "")}}
        for node_id, node in graph.items()
    }
    posted = tmp_path / "posted"
    (posted / "templates").mkdir(parents=True)
    text = json.dumps(graph["6"]["inputs"]["text"])
    raw = json.dumps(plain).replace(text, f"{{% raw %}}{text}{{% endraw %}}")
    (posted / "templates" / "graph.json.j2").write_text(raw, encoding="utf-8")
    (posted / "graph.yaml").write_text("template: graph\nseed: 1\nvae_decode: full\n", encoding="utf-8")
    comfy_runner("run", "graph.yaml", "--server", url, folder=posted)

    pair = write_pair(recognise(workflow), name="fox", source="fox.json")
    prove(pair, workflow)
    imported = tmp_path / "imported"
    write_files(pair, imported)
    comfy_runner("run", "fox.yaml", "--server", url, folder=imported)

    for role in ("original", "upscaled"):
        one, other = pixels(posted / f"runs/graph/graph/{role}.png"), pixels(imported / f"runs/fox/fox/{role}.png")
        assert one.shape == other.shape
        assert np.array_equal(one, other)
