"""How much of a GPU's memory decoding will take, by ComfyUI's own estimate, and a warning where that will not suffice.

Does not decide anything by it (`decoding` does), and knows nothing of the memory of models and sampling, which ComfyUI shares out
itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from comfy_runner.errors import Note
from comfy_runner.graph.decoding import TILE_SIZE, decode_sizes
from comfy_runner.graph.filled import Filled
from comfy_runner.graph.sizes import CELL, Size
from comfy_runner.graph.workflow import Workflow
from comfy_runner.wording import GIB

_BYTES_PER_CELL: Final = 2178 * 64  # for each byte of a value; AutoencoderKL in comfy/sd.py, the VAE of SD1.5, SDXL and Flux
_USABLE: Final = 0.85  # the rest is taken by the driver, the VAE's weights and what others show on the screen
_SHAPES: Final = ((1.0, 1.0), (0.5, 2.0), (2.0, 0.5))  # tiled decoding averages three passes with tiles of these shapes

_DECODERS: Final = {"VAEDecode": False, "VAEDecodeTiled": True}  # by whether they decode in tiles


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


def decode_bytes(size: Size, *, tiled: bool = False, bytes_per_value: int = 2) -> int:
    """Return how many bytes of GPU memory decoding a picture takes, by ComfyUI's estimate for the VAEs of SD1.5 and SDXL.

    Before it decodes in tiles, ComfyUI makes room for the whole picture all the same, and may push the diffusion model out of
    memory for it; what must really fit is one tile.

    Args:
        size: The picture, in pixels.
        tiled: Whether it is decoded in tiles, as by `decoding.tile`.
        bytes_per_value: 2 for a VAE in 16 bits, 4 where the GPU knows no bfloat16 (those before Nvidia's Ampere).
    """
    width, height = size.width // CELL, size.height // CELL
    cells = width * height
    if tiled:
        edge = TILE_SIZE // CELL
        cells = max(min(width, int(edge * wide)) * min(height, int(edge * high)) for wide, high in _SHAPES)
    return _BYTES_PER_CELL * cells * bytes_per_value


def largest_decode(graphs: Iterable[Filled], *, vram_total: int | None) -> tuple[DecodeMemory | None, tuple[Note, ...]]:
    """Return what takes most memory to decode, None where no size is known; and a warning where a server has not enough.

    Args:
        graphs: Those of the jobs.
        vram_total: The server's memory in bytes; None where it is not known.
    """
    largest: dict[bool, tuple[Size, Filled]] = {}
    for graph in _one_of_each_size(graphs):
        shape = graph.shape
        sizes = shape.sizes(graph.literals)
        for node_id in shape.cells:
            tiled = _DECODERS.get(shape.bare.nodes[node_id].class_type)
            size = sizes[node_id]
            if tiled is not None and size is not None and (tiled not in largest or size.pixels > largest[tiled][0].pixels):
                largest[tiled] = (size, graph)
    found = [DecodeMemory(size, tiled, decode_bytes(size, tiled=tiled), vram_total) for tiled, (size, _) in largest.items()]
    notes = memory_notes(largest[False][1].workflow, vram_total) if False in largest else ()
    return max(found, key=lambda memory: memory.bytes_needed, default=None), notes


def memory_notes(workflow: Workflow, vram_total: int | None) -> tuple[Note, ...]:
    """Return a warning if the largest picture that is decoded at once takes more than 85 % of a GPU's memory.

    Args:
        workflow: The graph as it is submitted, see `decoding.with_decoding`.
        vram_total: The GPU's memory in bytes; None for a server without a GPU, or that does not say.
    """
    largest = max(
        ((size.pixels, node_id, size) for node_id, size in decode_sizes(workflow).items() if size is not None), default=None
    )
    if largest is None or vram_total is None:
        return ()
    _, node_id, size = largest
    wanted = decode_bytes(size)
    if wanted <= _USABLE * vram_total:
        return ()
    what = (
        f"decoding {size} at once takes about {wanted / GIB:.1f} GiB of GPU memory, and the server has {vram_total / GIB:.1f} GiB "
        f'(node "{node_id}"); "vae_decode: tiled" needs {decode_bytes(size, tiled=True) / GIB:.1f} GiB at a time'
    )
    return (Note(what),)


def vram_total(stats: Any) -> int | None:
    """Return the memory in bytes of the GPU that a server computes on.

    Args:
        stats: The parsed answer of ``GET /system_stats``; anything that is malformed counts as not said.

    Returns:
        The bytes; None where the server computes on the CPU, or does not say.
    """
    devices = stats.get("devices") if isinstance(stats, dict) else None
    # ComfyUI lists the one device that it computes on; of several, the first is that one.
    device = devices[0] if isinstance(devices, list) and devices else None
    if not isinstance(device, dict) or device.get("type") == "cpu":
        return None
    total = device.get("vram_total")
    return total if isinstance(total, int) and not isinstance(total, bool) and total > 0 else None


def _one_of_each_size(graphs: Iterable[Filled]) -> Iterable[Filled]:
    # Graphs of one shape and one size share the mapping. It is kept, so that no other one comes to have its identity.
    found = {}
    for graph in graphs:
        sizes = graph.shape.sizes(graph.literals)
        found[id(sizes)] = (sizes, graph)
    return [graph for _, graph in found.values()]
