"""Sizes that follow from a graph alone: what each output will measure in pixels, and what its nodes cost.

The rules are those of ComfyUI's nodes (``nodes.py``): latents are 8 pixels a cell, sizes are floored to cells, and
``LatentUpscaleBy`` rounds. A class that is not known here gives no size rather than a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.workflow.graph import Node, Workflow, as_link

_CELL = 8
_LARGEST = 1 << 20  # no server makes such an edge, or takes so many steps; up to it, arithmetic is exact
_DECODE_STEPS = 0.7
_PASSED_ON = {
    "KSampler": "latent_image",
    "KSamplerAdvanced": "latent_image",
    "VAEDecode": "samples",
    "VAEDecodeTiled": "samples",
    "SaveImage": "images",
    "PreviewImage": "images",
    "SaveImageWebsocket": "images",
}
_EMPTY_LATENTS = ("EmptyLatentImage", "EmptySD3LatentImage")


@dataclass(frozen=True, slots=True)
class Size:
    """A picture's width and height in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Return the area in pixels."""
        return self.width * self.height

    def __str__(self) -> str:
        """Return ``1024x576``."""
        return f"{self.width}x{self.height}"


def output_sizes(workflow: Workflow) -> dict[str, Size]:
    """Return the size in pixels of each output role whose size is known."""
    sizes = _sizes(workflow)
    return {role: size for role, node_id in workflow.outputs.items() if (size := sizes[node_id]) is not None}


def node_work(workflow: Workflow) -> dict[str, float]:
    """Return the work of each node that costs noticeable time, in pixels times sampler steps.

    Decoding a picture costs as much as 0.7 steps of a sampler at its size (counted FLOPs of SDXL's modules).
    """
    sizes = _sizes(workflow)
    work: dict[str, float] = {}
    for node_id, node in workflow.nodes.items():
        steps, size = node.inputs.get("steps"), sizes[node_id]
        if size is None:
            continue
        if isinstance(steps, int) and 0 <= steps <= _LARGEST:
            work[node_id] = float(size.pixels * steps)
        elif node.class_type.startswith("VAEDecode"):
            work[node_id] = _DECODE_STEPS * size.pixels
    return work


def _sizes(workflow: Workflow) -> dict[str, Size | None]:
    found: dict[str, Size | None] = {}
    for node_id in workflow.in_order():
        size = _size(workflow.nodes[node_id], found)
        found[node_id] = size if size and max(size.width, size.height) <= _LARGEST else None
    return found


def _size(node: Node, found: Mapping[str, Size | None]) -> Size | None:
    def of(name: str) -> Size | None:
        link = as_link(node.inputs.get(name))
        return found[link.node] if link else None

    if node.class_type in _PASSED_ON:
        return of(_PASSED_ON[node.class_type])
    if node.class_type == "EmptyImage":
        return _literal(node)
    if node.class_type in _EMPTY_LATENTS:
        size = _literal(node)
        return Size(_floor(size.width), _floor(size.height)) if size else None
    if node.class_type == "LatentUpscale":
        size = _literal(node)
        # 0 asks the server to keep the aspect; a template that does so gets no size here
        return Size(_floor(max(64, size.width)), _floor(max(64, size.height))) if size else None
    if node.class_type == "LatentUpscaleBy":
        return _scaled(of("samples"), node.inputs.get("scale_by"), cell=_CELL)
    if node.class_type == "VAEEncode":
        size = of("pixels")
        return Size(_floor(size.width), _floor(size.height)) if size else None
    if node.class_type == "ImageScale":
        return _literal(node)
    if node.class_type == "ImageScaleBy":
        return _scaled(of("image"), node.inputs.get("scale_by"), cell=1)
    return None


def _literal(node: Node) -> Size | None:
    width, height = node.inputs.get("width"), node.inputs.get("height")
    if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
        return Size(width, height)
    return None


def _scaled(size: Size | None, factor: Any, *, cell: int) -> Size | None:
    if size is None or not isinstance(factor, (int, float)) or not 0 < factor <= _LARGEST:
        return None
    return Size(round(size.width // cell * factor) * cell, round(size.height // cell * factor) * cell)


def _floor(pixels: int) -> int:
    return pixels // _CELL * _CELL
