"""What a graph does to the shape of a picture that it loads: what it cuts off, and how far it stretches the rest.

The rules are those of ComfyUI's code: ``common_upscale`` (``comfy/utils.py``) keeps the middle where it crops, and stretches
otherwise; VAEs encode whole latent cells, and cut off the rest (``vae_encode_crop_pixels`` in ``comfy/sd.py``); a mask is stretched
to what it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from comfy_runner.graph.sizes import LOADERS, PASSED_ON, Size, node_sizes
from comfy_runner.graph.workflow import Node, Workflow, as_link

_RESIZED = {"ImageScale": "image", "LatentUpscale": "samples"}
_ENCODED = {"VAEEncode": "pixels", "VAEEncodeForInpaint": "pixels"}
_MASKED = {"VAEEncodeForInpaint": "pixels", "SetLatentNoiseMask": "samples"}
_SHAPED_BY = {**PASSED_ON, **_RESIZED, **_ENCODED, **_MASKED, "ImageScaleBy": "image", "LatentUpscaleBy": "samples"}


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A node that makes another shape of a picture.

    Attributes:
        picture: What the picture is called in the graph.
        before: The size in pixels of what the node is given.
        kept: How much of it is left; the same where nothing is cut off.
        after: What it becomes. Where that has another aspect, it is stretched.
    """

    picture: str
    before: Size
    kept: Size
    after: Size

    @property
    def lost(self) -> float:
        """Return which share of the pixels is cut off."""
        return 1 - self.kept.pixels / self.before.pixels

    @property
    def stretch(self) -> float:
        """Return by which share the aspect is another one, from 0."""
        ratio = self.kept.width * self.after.height / (self.kept.height * self.after.width)
        return max(ratio, 1 / ratio) - 1


def reshaped(workflow: Workflow, pictures: Mapping[str, Size]) -> Iterator[Reshaped]:
    """Yield what a graph cuts off of the pictures that it loads, or stretches, node by node; less than a pixel does not count.

    Args:
        workflow: The graph.
        pictures: The sizes of the pictures, by what they are called in it.
    """
    sizes = node_sizes(workflow, pictures)
    loaded: dict[str, str] = {}  # by node, the picture whose shape its result has

    def given(node: Node, name: str) -> tuple[str, Size | None]:
        link = as_link(node.inputs.get(name))
        return (loaded.get(link.node, ""), sizes[link.node]) if link else ("", None)

    for node_id in workflow.in_order:
        node = workflow.nodes[node_id]
        if node.class_type in LOADERS and sizes[node_id] is not None:
            loaded[node_id] = str(node.inputs["image"])
            continue
        picture, before = given(node, _SHAPED_BY.get(node.class_type, ""))
        if picture:
            loaded[node_id] = picture
        if node.class_type in _MASKED:
            mask, drawn = given(node, "mask")
            if mask and drawn and before and _is_stretched(drawn, before):
                yield Reshaped(mask, drawn, drawn, before)
        if not picture or before is None:
            continue
        if node.class_type in _ENCODED:
            whole = before.whole_cells
            if whole != before:
                yield Reshaped(picture, before, whole, whole)
        after = sizes[node_id]
        if node.class_type in _RESIZED and after is not None:
            kept = _middle(before, after) if node.inputs.get("crop") == "center" else before
            if kept != before or (node.inputs.get("crop") != "center" and _is_stretched(kept, after)):
                yield Reshaped(picture, before, kept, after)


def _middle(before: Size, after: Size) -> Size:
    """Return what is left of a picture whose middle is brought to another size."""
    old, new = before.width / before.height, after.width / after.height
    across = round((before.width - before.width * (new / old)) / 2) if old > new else 0
    down = round((before.height - before.height * (old / new)) / 2) if old < new else 0
    return Size(before.width - 2 * across, before.height - 2 * down)


def _is_stretched(before: Size, after: Size) -> bool:
    return abs(before.width * after.height / after.width - before.height) >= 1
