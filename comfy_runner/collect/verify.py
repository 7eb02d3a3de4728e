"""A collected file held against what was planned: does it decode, is it as large, does it show anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from comfy_runner.errors import FlatPicture, VerificationError
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import Workflow
from comfy_runner.picture_files import BROKEN, opened, without_warnings
from comfy_runner.text_files import shown

_MOST_PIXELS = 256 * 1024 * 1024
"""Largest picture that is decoded where its size was not planned."""

_MOST_DECODED = 64 * _MOST_PIXELS
"""Pixels of an animation that are decoded: some thousand frames of a film. What comes after them is not looked at."""

_MOST_FRAMES = 1 << 16


@dataclass(frozen=True, slots=True)
class Verified:
    """What a picture file holds.

    Attributes:
        size: In pixels.
        frames: How many pictures it has; more than one for an animation.
    """

    size: Size
    frames: int = 1


def verify_picture(path: Path, *, expected: Size | None, may_be_flat: bool) -> Verified:
    """Decode a whole picture, of an animation every frame, and return what it is.

    Args:
        path: The file.
        expected: The size that was planned; None where it is not known.
        may_be_flat: Whether one single colour is fine. A model's picture never is: that is what a black or NaN result looks like.
            An animation is flat where all of its frames are, of whatever colour.

    Raises:
        VerificationError: It does not decode, or has another size.
        FlatPicture: It is one flat colour.
    """
    where = shown(path)
    try:
        with without_warnings(), path.open("rb") as file, opened(file) as image:
            size = Size(*image.size)
            if expected is not None and size != expected:
                raise VerificationError(f"is not as large as planned, {expected} pixels (got {size})", where=where)
            if expected is None and size.pixels > _MOST_PIXELS:
                raise VerificationError(f"is larger than {_MOST_PIXELS} pixels (got {size})", where=where)
            frames = int(getattr(image, "n_frames", 1))
            flat = True
            for number in range(max(1, min(frames, _MOST_FRAMES, _MOST_DECODED // max(1, size.pixels)))):
                image.seek(number)
                image.load()
                flat = flat and all(low == high for low, high in _extrema(image))
    except BROKEN as error:
        raise VerificationError(f"is not a whole picture: {str(error) or type(error).__name__}", where=where) from error
    if flat and not may_be_flat:
        hint = "the model gave black or NaN: try another VAE, or start ComfyUI with --force-upcast-attention or --fp32-vae"
        raise FlatPicture("is one flat colour", where=where, hint=hint)
    return Verified(size, frames)


def comes_from_a_model(workflow: Workflow, node_id: str) -> bool:
    """Return whether a node's picture was decoded from a latent, so that one flat colour means a failure."""
    nodes = (workflow.nodes[ancestor] for ancestor in workflow.ancestors([node_id]))
    return any(node.class_type.startswith("VAEDecode") for node in nodes)


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    return [band.getextrema() for band in image.split()]  # type: ignore[misc] # of one band it is always a pair of numbers
