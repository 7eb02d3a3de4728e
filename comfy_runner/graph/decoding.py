"""Which pictures are decoded in tiles: ``VAEDecode`` nodes that become ``VAEDecodeTiled``.

Decoding in tiles needs far less memory, takes longer, and gives slightly other pixels. So it is decided by the graph alone:
a job's pixels must not depend on how much memory a server happens to have free.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final, Literal

from comfy_runner.graph.sizes import Size, output_sizes
from comfy_runner.graph.workflow import Workflow

DecodeMode = Literal["auto", "full", "tiled"]
"""``full`` leaves a graph as it is, ``tiled`` decodes everything in tiles, ``auto`` only what is large."""

LARGEST_FULL: Final = 2048 * 2048
"""The largest picture, in pixels, that ``auto`` decodes at once: above it, ComfyUI wants more than 17 GiB in 16 bits."""

TILE_SIZE: Final = 768
"""Edge of a tile in pixels. With an overlap of 64, no other size costs less: 4.4 times a full decode, 512 costs 5.5 times."""

LATER_INPUTS: Final = frozenset({"overlap", "temporal_size", "temporal_overlap"})
"""Inputs of ``VAEDecodeTiled`` that ComfyUI of early 2024 does not know; it overlaps tiles by 128 pixels."""

# The last two are for video, and required by the server all the same.
_INPUTS: Final = {"tile_size": TILE_SIZE, "overlap": 64, "temporal_size": 64, "temporal_overlap": 8}


def with_decoding(workflow: Workflow, mode: DecodeMode) -> Workflow:
    """Return the graph in which the decoders are those of a mode; the same graph where nothing changes."""
    return tile(workflow, tiled_nodes(workflow, mode, decode_sizes(workflow)))


def decode_sizes(workflow: Workflow) -> dict[str, Size | None]:
    """Return the size in pixels of what each ``VAEDecode`` node makes; None where that is not known."""
    decoders = [node_id for node_id, node in workflow.nodes.items() if node.class_type == "VAEDecode"]
    # Each decoder as the output that it is not, since sizes are known by output.
    asked = {id_: replace(node, meta={"role": id_} if id_ in decoders else {}) for id_, node in workflow.nodes.items()}
    sizes = output_sizes(Workflow(asked))
    return {node_id: sizes.get(node_id) for node_id in decoders}


def tiled_nodes(workflow: Workflow, mode: DecodeMode, sizes: Mapping[str, Size | None]) -> frozenset[str]:
    """Return the ids of the ``VAEDecode`` nodes that a mode decodes in tiles.

    Args:
        workflow: The graph.
        mode: The mode.
        sizes: The size in pixels of what a node makes; a missing one is not known, and ``auto`` takes it for small.
    """
    if mode == "full":
        return frozenset()
    return frozenset(
        node_id
        for node_id, node in workflow.nodes.items()
        if node.class_type == "VAEDecode"
        and (mode == "tiled" or ((size := sizes.get(node_id)) is not None and size.pixels > LARGEST_FULL))
    )


def tile(workflow: Workflow, node_ids: Collection[str]) -> Workflow:
    """Return the graph in which these ``VAEDecode`` nodes are ``VAEDecodeTiled``; ids, links, roles and titles stay.

    Other nodes among them stay as they are, decoders of the template's own that are tiled already above all.
    """
    changed = {
        node_id: replace(node, class_type="VAEDecodeTiled", inputs={**node.inputs, **_INPUTS})
        for node_id, node in workflow.nodes.items()
        if node_id in node_ids and node.class_type == "VAEDecode"
    }
    return Workflow({**workflow.nodes, **changed}) if changed else workflow
