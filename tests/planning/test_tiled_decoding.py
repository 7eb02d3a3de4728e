"""How a job's pictures are decoded: by what the recipe says, or by their size alone."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner import render

_RECIPE = {"name": "lake", "checkpoint": "x.safetensors", "prompt": "a lake", "seed": 1}


def _decoders(**changes: Any) -> dict[str, str]:
    nodes = render({**_RECIPE, **changes}).nodes
    return {node_id: node.class_type for node_id, node in nodes.items() if node.class_type.startswith("VAEDecode")}


@pytest.mark.parametrize(
    ("side", "upscaled"),
    [(1024, "VAEDecode"), (1032, "VAEDecodeTiled")],
)
def test_auto_decodes_pictures_of_more_than_2048_squared_in_tiles(side: int, upscaled: str) -> None:
    found = _decoders(size={"width": side, "height": side})

    assert found == {"decode_original": "VAEDecode", "decode_upscaled": upscaled}


@pytest.mark.parametrize(("mode", "decoder"), [("full", "VAEDecode"), ("tiled", "VAEDecodeTiled")])
def test_what_the_recipe_says_holds_for_every_size(mode: str, decoder: str) -> None:
    for side in (64, 2048):
        assert set(_decoders(size={"width": side, "height": side}, vae_decode=mode).values()) == {decoder}


def test_a_sweep_over_the_size_decides_for_each_job() -> None:
    sweep = {"upscale.factor": [1, 2, 4]}

    found = [
        render({**_RECIPE, "sweep": sweep}, only=[f"lake-x{factor}"]).nodes["decode_upscaled"].class_type for factor in (1, 2, 4)
    ]

    assert found == ["VAEDecode", "VAEDecode", "VAEDecodeTiled"]
