"""Nodes that the program knows little of: what the server would take is not refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import WorkflowError
from tests.running.support import rendered, sidecar_in, states, sweep
from tests.standin import V0_33, V0_38, Generation, StandIn, State

_PLAIN = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0x336699}}


def _recipe(folder: Path, name: str, axes: dict[str, Any], **nodes: Any) -> dict[str, Any]:
    """Return a recipe of a graph that has these nodes beside a plain picture."""
    path = folder / f"{name}.json.j2"
    path.write_text(
        json.dumps({"plain": _PLAIN, **nodes}).replace('"PROMPT"', "{{ prompt }}").replace('"SCALE"', "{{ sampler.cfg }}"),
        encoding="utf-8",
    )
    recipe = sweep(axes, template=str(path))
    return {name: value for name, value in recipe.items() if name in ("name", "template", "sweep")}


def test_values_that_a_list_cannot_know_are_left_to_the_server(server: StandIn, tmp_path: Path) -> None:
    picked = {"empty": "anything", "style": "PROMPT", "film": "/data/films/c.mp4"}
    save = {"class_type": "SavePicked", "inputs": {"images": ["plain", 0], "filename_prefix": "x", **picked}}
    recipe = _recipe(tmp_path, "picked", {"prompt": ["oil", "watercolour"]}, save=save)

    results = rendered(server, tmp_path / "out", recipe)

    assert set(states(results).values()) == {"done"}
    styles = [sidecar_in(tmp_path / "out", result.job_id)["workflow"]["save"]["inputs"]["style"] for result in results]
    assert styles == ["oil", "watercolour"]


@pytest.mark.parametrize("generation", [V0_33, V0_38], ids=lambda generation: generation.version)
def test_a_class_that_the_server_replaces_is_run(generation: Generation, tmp_path: Path) -> None:
    scaled = {"class_type": "ImageScaleBy", "inputs": {"image": ["plain", 0], "upscale_method": "area", "scale_by": "SCALE"}}
    both = {"class_type": "ImageBatch", "inputs": {"image1": ["plain", 0], "image2": ["scaled", 0]}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["both", 0], "filename_prefix": "x"}}

    def recipe(*factors: float) -> dict[str, Any]:
        return _recipe(tmp_path, "old", {"sampler.cfg": list(factors)}, scaled=scaled, both=both, save=save)

    with StandIn(State(generation=generation)) as server:
        results = rendered(server, tmp_path / "out", recipe(1.5, 2.0))
        assert set(states(results).values()) == {"done"}
        with pytest.raises(WorkflowError, match=r"resize_type\.multiplier: must be at most 8 \(got 9\.0\)"):
            rendered(server, tmp_path / "out", recipe(9.0))
