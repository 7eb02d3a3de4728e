"""Which pictures are decoded in tiles, and what a real ComfyUI makes of it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.local import LocalServer
from comfy_runner.graph.conformance import check
from comfy_runner.graph.decoding import LATER_INPUTS, DecodeMode, tile, tiled_nodes, with_decoding
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.sizes import Size, node_sizes, output_sizes
from comfy_runner.graph.workflow import Workflow
from tests.graph.support import graph, node, shipped_graph, values
from tests.graph.test_real_server import Client

BOTH = {"decode_original", "decode_upscaled"}


def enlarged(width: int, height: int, **fields: Any) -> Workflow:
    """Return the shipped graph with a second pass of this size."""
    workflow = shipped_graph(values(**fields)).workflow
    return workflow.with_inputs({("upscale", "width"): width, ("upscale", "height"): height})


def in_tiles(workflow: Workflow) -> set[str]:
    return {node_id for node_id, known in workflow.nodes.items() if known.class_type == "VAEDecodeTiled"}


# --- the decision


@pytest.mark.parametrize(
    ("size", "expected"),
    [((2048, 1152), set()), ((2048, 2048), set()), ((2056, 2048), {"decode_upscaled"}), ((4096, 2304), {"decode_upscaled"})],
)
def test_auto_decodes_only_large_pictures_in_tiles(size: tuple[int, int], expected: set[str]) -> None:
    workflow = enlarged(*size)
    assert tiled_nodes(workflow, "auto", node_sizes(workflow)) == expected
    assert in_tiles(with_decoding(workflow, "auto")) == expected


@pytest.mark.parametrize(("mode", "expected"), [("full", set()), ("tiled", BOTH)])
def test_full_and_tiled_are_for_all_pictures_of_whatever_size(mode: DecodeMode, expected: set[str]) -> None:
    assert in_tiles(with_decoding(enlarged(2048, 1152), mode)) == expected
    assert in_tiles(with_decoding(enlarged(8192, 8192), mode)) == expected


@pytest.mark.parametrize(("mode", "expected"), [("full", set()), ("auto", set()), ("tiled", {"decode"})])
def test_a_picture_of_unknown_size_is_decoded_in_tiles_only_if_all_are(mode: DecodeMode, expected: set[str]) -> None:
    workflow = graph(latent=node("MyLatent"), decode=node("VAEDecode", samples=["latent", 0]))
    assert node_sizes(workflow)["decode"] is None
    assert tiled_nodes(workflow, mode, {"decode": None}) == tiled_nodes(workflow, mode, {}) == expected


def test_what_saves_a_picture_does_not_decide_how_it_is_decoded() -> None:
    workflow = enlarged(2048, 1152)
    data = workflow.to_api()
    data["decode_upscaled"]["_meta"] = {"role": "decode_original"}  # a role that is another node's id
    data["scaled"] = node("ImageScaleBy", image=["decode_upscaled", 0], upscale_method="area", scale_by=0.5)
    data["save_upscaled"]["inputs"]["images"] = ["scaled", 0]
    sizes = node_sizes(graph(**data))
    assert [sizes[node_id] for node_id in sorted(BOTH)] == [Size(1024, 576), Size(2048, 1152)]


# --- the graph


def test_a_decoder_in_tiles_keeps_its_id_links_role_and_title() -> None:
    before = graph(
        latent=node("EmptyLatentImage", width=64, height=64, batch_size=1),
        decode={**node("VAEDecode", samples=["latent", 0], vae=["latent", 1]), "_meta": {"title": "Decode", "role": "raw"}},
    )
    after = tile(before, {"decode"})
    assert after.nodes["latent"] == before.nodes["latent"]
    assert after.to_api()["decode"] == {
        "class_type": "VAEDecodeTiled",
        "inputs": {
            "samples": ["latent", 0],
            "vae": ["latent", 1],
            "tile_size": 768,
            "overlap": 64,
            "temporal_size": 64,
            "temporal_overlap": 8,
        },
        "_meta": {"title": "Decode", "role": "raw"},
    }


def test_the_order_of_nodes_and_the_planned_sizes_stay() -> None:
    before = enlarged(4096, 2304)
    after = with_decoding(before, "tiled")
    assert list(after.nodes) == list(before.nodes)
    assert output_sizes(after) == output_sizes(before)


@pytest.mark.parametrize("mode", ["auto", "full", "tiled"])
def test_a_decoder_in_tiles_of_the_template_stays_as_it_is(mode: DecodeMode) -> None:
    own = node("VAEDecodeTiled", samples=["latent", 0], tile_size=512, overlap=32, temporal_size=64, temporal_overlap=8)
    workflow = graph(latent=node("EmptyLatentImage", width=8192, height=8192, batch_size=1), decode=own)
    assert with_decoding(workflow, mode) == workflow
    assert tile(workflow, ["decode", "latent"]) == workflow


def test_decoding_twice_in_tiles_changes_nothing_more() -> None:
    once = with_decoding(enlarged(2048, 1152), "tiled")
    assert with_decoding(once, "tiled") == with_decoding(once, "auto") == with_decoding(once, "full") == once


# --- on a real server


def pictures(url: str, workflow: Workflow) -> dict[str, np.ndarray[Any, Any]]:
    """Run a graph on a server; return the pixels of each output role."""
    client = Client(url)
    _, entry = client.run(workflow.to_api())
    client.socket.close()
    found = {}
    for role, node_id in workflow.outputs.items():
        (image,) = entry["outputs"][node_id]["images"]
        data = requests.get(f"{url}/view", params=image, timeout=60).content
        found[role] = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
    return found


def small() -> Workflow:
    """Return the shipped graph without its second pass, with the small checkpoint, and a picture that some tiles do not cover."""
    few = {"name": "euler", "scheduler": "normal", "steps": 1, "cfg": 1.0}
    size = {"width": 64, "height": 64}
    workflow = enlarged(448, 448, checkpoint="tiny-random-sd15.safetensors", size=size, sampler=few)
    # Tiles are large: sampling at such a size would take most of the time.
    unsampled = workflow.with_inputs({("decode_upscaled", "samples"): ["upscale", 0]})
    return unsampled.keep(unsampled.ancestors(["save_upscaled"]))


def test_a_real_server_decodes_in_tiles_to_nearly_the_same_picture(comfyui_server: LocalServer) -> None:
    info = ObjectInfo(ComfyHttp(parse_address(comfyui_server.url)).object_info(), source=comfyui_server.url)
    full, tiled = small(), with_decoding(small(), "tiled")
    checked = check(tiled, info, where="template")
    assert (checked.workflow, checked.notes) == (tiled, ())

    at_once, piecewise = (pictures(comfyui_server.url, workflow)["upscaled"] for workflow in (full, tiled))
    assert piecewise.shape == at_once.shape == (448, 448, 3)
    assert output_sizes(tiled)["upscaled"] == Size(448, 448)
    difference = np.abs(piecewise - at_once)
    assert 0 < difference.mean() < 2


def test_a_server_of_early_2024_decodes_in_tiles_without_the_later_inputs(early_2024_server: LocalServer) -> None:
    url = early_2024_server.url
    known = ObjectInfo(ComfyHttp(parse_address(url)).object_info(), source=url).get("VAEDecodeTiled")
    assert known is not None
    tiled = with_decoding(small(), "tiled")
    assert tiled.nodes["decode_upscaled"].inputs.keys() - known.inputs.keys() == LATER_INPUTS

    data = tiled.to_api()
    for name in LATER_INPUTS:
        del data["decode_upscaled"]["inputs"][name]
    assert pictures(url, graph(**data))["upscaled"].shape == (448, 448, 3)
