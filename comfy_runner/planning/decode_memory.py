"""What decoding the largest picture of a plan takes of a GPU's memory, and the warning where that will not suffice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfy_runner.errors import Note
from comfy_runner.graph.memory import decode_bytes, memory_notes
from comfy_runner.graph.sizes import Size
from comfy_runner.planning.draft import Draft

_DECODERS = {"VAEDecode": False, "VAEDecodeTiled": True}


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


def largest_decode(drafts: Iterable[Draft], *, vram_total: int | None) -> tuple[DecodeMemory | None, tuple[Note, ...]]:
    """Return what takes most memory to decode, None where no size is known; and a warning where a server has not enough.

    Args:
        drafts: The jobs.
        vram_total: The server's memory in bytes; None where it is not known.
    """
    largest: dict[bool, tuple[Size, Draft]] = {}
    for draft in _one_of_each_size(drafts):
        shape = draft.filled.shape
        sizes = shape.sizes(draft.filled.literals)
        for node_id in shape.cells:
            tiled = _DECODERS.get(shape.bare.nodes[node_id].class_type)
            size = sizes[node_id]
            if tiled is not None and size is not None and (tiled not in largest or size.pixels > largest[tiled][0].pixels):
                largest[tiled] = (size, draft)
    found = [DecodeMemory(size, tiled, decode_bytes(size, tiled=tiled), vram_total) for tiled, (size, _) in largest.items()]
    notes = memory_notes(largest[False][1].filled.workflow, vram_total) if False in largest else ()
    return max(found, key=lambda memory: memory.bytes_needed, default=None), notes


def _one_of_each_size(drafts: Iterable[Draft]) -> Iterable[Draft]:
    # Jobs of one shape and one size share the mapping. It is kept, so that no other one comes to have its identity.
    found = {}
    for draft in drafts:
        sizes = draft.filled.shape.sizes(draft.filled.literals)
        found[id(sizes)] = (sizes, draft)
    return [draft for _, draft in found.values()]
