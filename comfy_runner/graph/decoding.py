"""How pictures are decoded: at once or in tiles (``VAEDecode`` nodes that become ``VAEDecodeTiled``), and what memory that takes.

Decoding in tiles needs far less memory, takes longer, and gives slightly other pixels. So it is decided by the graph alone:
a job's pixels must not depend on how much memory a server happens to have free. Knows nothing of the memory of models and sampling,
which ComfyUI shares out itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from comfy_runner.errors import Note
from comfy_runner.graph.filled import Filled
from comfy_runner.graph.sizes import CELL, Size, node_sizes
from comfy_runner.graph.workflow import Workflow
from comfy_runner.wording import GIB

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

_BYTES_PER_CELL: Final = 2178 * 64  # for each byte of a value; AutoencoderKL in comfy/sd.py, the VAE of SD1.5, SDXL and Flux
_USABLE: Final = 0.85  # the rest is taken by the driver, the VAE's weights and what others show on the screen
_SHAPES: Final = ((1.0, 1.0), (0.5, 2.0), (2.0, 0.5))  # tiled decoding averages three passes with tiles of these shapes


@dataclass(frozen=True, slots=True)
class DecodeMemory:
    """What decoding a picture takes of a GPU's memory.

    Attributes:
        picture: Its size in pixels.
        tiled: Whether it is decoded in tiles.
        bytes_needed: ComfyUI's own estimate, for 16 bits a value.
        vram_total: What the server has, in bytes; None where it has no GPU, does not say, or is not asked.
    """

    picture: Size
    tiled: bool
    bytes_needed: int
    vram_total: int | None


def with_decoding(workflow: Workflow, mode: DecodeMode) -> Workflow:
    """Return the graph in which the decoders are those of a mode; the same graph where nothing changes."""
    return tile(workflow, tiled_nodes(workflow, mode, node_sizes(workflow)))


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


def decode_bytes(size: Size, *, tiled: bool = False, bytes_per_value: int = 2) -> int:
    """Return how many bytes of GPU memory decoding a picture takes, by ComfyUI's estimate for the VAEs of SD1.5 and SDXL.

    Before it decodes in tiles, ComfyUI makes room for the whole picture all the same, and may push the diffusion model out of
    memory for it; what must really fit is one tile.

    Args:
        size: The picture, in pixels.
        tiled: Whether it is decoded in tiles, as by `tile`.
        bytes_per_value: 2 for a VAE in 16 bits, 4 where the GPU knows no bfloat16 (those before Nvidia's Ampere).
    """
    width, height = size.width // CELL, size.height // CELL
    cells = width * height
    if tiled:
        edge = TILE_SIZE // CELL
        cells = max(min(width, int(edge * wide)) * min(height, int(edge * high)) for wide, high in _SHAPES)
    return _BYTES_PER_CELL * cells * bytes_per_value


def largest_decode(graphs: Iterable[Filled], *, vram_total: int | None) -> tuple[DecodeMemory | None, tuple[Note, ...]]:
    """Return what takes most memory to decode, and a warning if a picture that is decoded at once takes more than 85 % of a GPU's.

    Args:
        graphs: Those of the jobs.
        vram_total: The server's memory in bytes; None where it is not known.

    Returns:
        The memory, None where no size is known; and the warning, if there is one.
    """
    # Graphs of one shape and one size share the mapping; it is kept, so that no other one comes to have its identity.
    different = {id(sizes): (graph.shape, sizes) for graph in graphs for sizes in [graph.shape.sizes(graph.literals)]}
    decoded: dict[str, list[tuple[int, Size, str]]] = {"VAEDecode": [], "VAEDecodeTiled": []}
    for shape, sizes in different.values():
        for node_id in shape.cells:
            size, class_type = sizes[node_id], shape.bare.nodes[node_id].class_type
            if size is not None and class_type in decoded:
                decoded[class_type].append((size.pixels, size, node_id))
    notes: list[Note] = []
    found: list[DecodeMemory] = []
    for class_type, pictures in decoded.items():
        if not pictures:
            continue
        tiled = class_type == "VAEDecodeTiled"
        _, size, node_id = max(pictures, key=lambda picture: picture[0])
        wanted = decode_bytes(size, tiled=tiled)
        found.append(DecodeMemory(size, tiled, wanted, vram_total))
        if not tiled and vram_total is not None and wanted > _USABLE * vram_total:
            what = (
                f"decoding {size} at once takes about {wanted / GIB:.1f} GiB of GPU memory, but the server has "
                f'{vram_total / GIB:.1f} GiB (node "{node_id}"); "vae_decode: tiled" needs '
                f"{decode_bytes(size, tiled=True) / GIB:.1f} GiB at a time"
            )
            notes.append(Note(what))
    return max(found, key=lambda memory: memory.bytes_needed, default=None), tuple(notes)
