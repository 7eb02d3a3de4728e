"""What follows from a graph alone: what each node's result measures in pixels, how many pictures it has, and what its nodes cost.

The rules are those of ComfyUI's nodes (``nodes.py``): latents are 8 pixels a cell, sizes are floored to cells, and
``LatentUpscaleBy`` rounds. A class that is not known here gives nothing rather than what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from comfy_runner.graph.schedules import SAMPLERS
from comfy_runner.graph.workflow import Node, Workflow, as_link, once_per_graph

CELL = 8
"""Pixels per latent cell, each way (SD1.5, SDXL)."""

MIN_UPSCALED = 64
"""ComfyUI's LatentUpscale makes no side shorter than this, in pixels."""

_LARGEST = 1 << 20  # no server makes such an edge, or takes so many steps; up to it, arithmetic is exact
_DECODE_STEPS = 0.7
_TILED = 4.4  # times a full decode, for tiles of 768 pixels that overlap by 64
MEASURES = frozenset(("width", "height", "scale_by"))
"""The inputs whose literals decide sizes."""

LARGEST_BATCH = 4096
"""Most pictures that are made at once, as in ComfyUI's EmptyLatentImage."""

COUNTS = frozenset(("batch_size",))
"""The inputs whose literals decide how many pictures there are."""

LOADERS = ("LoadImage", "LoadImageMask")
"""Classes that load a picture, turned as its EXIF data say."""

PASSED_ON = {
    **dict.fromkeys(SAMPLERS, "latent_image"),
    "VAEDecode": "samples",
    "VAEDecodeTiled": "samples",
    "SaveImage": "images",
    "PreviewImage": "images",
    "SaveImageWebsocket": "images",
}
"""The input that a node's result has the size of, by class."""

_AS_MANY_AS = {
    **PASSED_ON,
    **dict.fromkeys(("ImageScale", "ImageScaleBy", "ImageScaleToTotalPixels", "ImageUpscaleWithModel"), "image"),
    **dict.fromkeys(("LatentUpscale", "LatentUpscaleBy"), "samples"),
    "UltimateSDUpscale": "image",
    "VAEEncode": "pixels",
}
_SAVING_EACH = ("SaveImage", "SaveImageWebsocket")  # others may make one file of several pictures


@dataclass(frozen=True, slots=True)
class Size:
    """A picture's width and height in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Return the area in pixels."""
        return self.width * self.height

    @property
    def whole_cells(self) -> Size:
        """Return what is left of it in whole latent cells."""
        return Size(self.width // CELL * CELL, self.height // CELL * CELL)

    def __str__(self) -> str:
        """Return ``1024x576``."""
        return f"{self.width}x{self.height}"


def output_sizes(workflow: Workflow) -> dict[str, Size]:
    """Return the size in pixels of each output role whose size is known."""
    sizes = node_sizes(workflow)
    return {role: size for role, node_id in workflow.outputs.items() if (size := sizes[node_id]) is not None}


@once_per_graph
def node_counts(workflow: Workflow) -> Mapping[str, int | None]:
    """Return how many pictures, or latents of them, each node's result has; None where that is not known.

    It is the batch of the empty latent that they begin with: pictures that are loaded may be films.
    """
    found: dict[str, int | None] = {}
    for node_id in workflow.in_order:
        node = workflow.nodes[node_id]
        if node.class_type in ("EmptyImage", "EmptyLatentImage", "EmptySD3LatentImage"):
            count = node.inputs.get("batch_size")
            found[node_id] = count if type(count) is int and 1 <= count <= LARGEST_BATCH else None
        else:
            link = as_link(node.inputs.get(_AS_MANY_AS.get(node.class_type, "")))
            found[node_id] = found[link.node] if link else None
    return found


def output_counts(workflow: Workflow) -> dict[str, int]:
    """Return how many files each output role has that saves every picture as one, where that is known."""
    counts = node_counts(workflow)
    return {
        role: count
        for role, node_id in workflow.outputs.items()
        if workflow.nodes[node_id].class_type in _SAVING_EACH and (count := counts[node_id]) is not None
    }


def weight(pixels: int) -> float:
    """Return what a sampler's step costs at a size in pixels, where one at 1024x576 costs 1.

    More than the pixels, since attention grows with their square: counted FLOPs of SDXL's modules, within 2 % of them from
    0.6 to 4 megapixels.
    """
    mega = pixels / 1e6
    return (11.63 * mega + 1.27 * mega * mega) / 7.3


@once_per_graph
def node_work(workflow: Workflow) -> Mapping[str, float]:
    """Return the work of each node that costs noticeable time, in steps of a sampler at 1024x576.

    Decoding a picture costs as much as 0.7 steps of a sampler at its size. A batch costs as much as its pictures one by one.
    """
    sizes, counts = node_sizes(workflow), node_counts(workflow)
    found = {}
    for node_id, node in workflow.nodes.items():
        steps = workflow.nodes[stepper(workflow, node_id)].inputs.get("steps")
        size = sizes[node_id]
        if size is not None and (cost := work(node.class_type, steps, size)):
            found[node_id] = cost * (counts[node_id] or 1)
    return found


def stepper(workflow: Workflow, node_id: str) -> str:
    """Return the id of the node whose ``steps`` a node makes: its own, or that of the scheduler that its sigmas come from."""
    sigmas = as_link(workflow.nodes[node_id].inputs.get("sigmas"))
    return sigmas.node if sigmas else node_id


def work(class_type: str, steps: Any, size: Size) -> float:
    """Return the work of a node whose result has this size, as `node_work` does; 0 for what takes no noticeable time."""
    if isinstance(steps, int) and 0 <= steps <= _LARGEST:
        return weight(size.pixels) * steps
    if not class_type.startswith("VAEDecode"):
        return 0.0
    return _DECODE_STEPS * weight(size.pixels) * (_TILED if class_type == "VAEDecodeTiled" else 1.0)


def node_sizes(workflow: Workflow, pictures: Mapping[str, Size] = MappingProxyType({})) -> Mapping[str, Size | None]:
    """Return the size in pixels of each node's result; None where it is not known.

    Args:
        workflow: The graph.
        pictures: The sizes of pictures that it loads, by what they are called in it, as far as they are known.
    """
    return _sizes(workflow, pictures) if pictures else _sizes_alone(workflow)


@once_per_graph
def _sizes_alone(workflow: Workflow) -> Mapping[str, Size | None]:
    return _sizes(workflow, {})


def _sizes(workflow: Workflow, pictures: Mapping[str, Size]) -> Mapping[str, Size | None]:
    found: dict[str, Size | None] = {}
    for node_id in workflow.in_order:
        node = workflow.nodes[node_id]
        name = node.inputs.get("image") if node.class_type in LOADERS else None
        size = pictures.get(name) if isinstance(name, str) else _size(node, found)
        found[node_id] = size if size and max(size.width, size.height) <= _LARGEST else None
    return found


def _size(node: Node, found: Mapping[str, Size | None]) -> Size | None:
    def of(name: str) -> Size | None:
        link = as_link(node.inputs.get(name))
        return found[link.node] if link else None

    match node.class_type:
        case "EmptyImage" | "ImageScale":
            return _literal(node)
        case "EmptyLatentImage" | "EmptySD3LatentImage":
            return (size := _literal(node)) and size.whole_cells
        case "LatentUpscale":  # 0 asks the server to keep the aspect; a template that does so gets no size here
            size = _literal(node)
            return size and Size(max(MIN_UPSCALED, size.width), max(MIN_UPSCALED, size.height)).whole_cells
        case "LatentUpscaleBy":
            return _scaled(of("samples"), node.inputs.get("scale_by"), cell=CELL)
        case "ImageScaleBy":
            return _scaled(of("image"), node.inputs.get("scale_by"), cell=1)
        case "VAEEncode":
            return (size := of("pixels")) and size.whole_cells
        case class_type:
            return of(PASSED_ON[class_type]) if class_type in PASSED_ON else None


def _literal(node: Node) -> Size | None:
    width, height = node.inputs.get("width"), node.inputs.get("height")
    if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
        return Size(width, height)
    return None


def _scaled(size: Size | None, factor: Any, *, cell: int) -> Size | None:
    if size is None or not isinstance(factor, (int, float)) or not 0 < factor <= _LARGEST:
        return None
    return Size(round(size.width // cell * factor) * cell, round(size.height // cell * factor) * cell)
