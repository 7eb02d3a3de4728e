"""A collected file read, and held by the checks of `check.pictures` against what was planned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from comfy_runner.check.interface import Check, Output, failures
from comfy_runner.check.pictures import CONTRAST, MOST_PIXELS, not_empty, not_flat, planned_size, whole
from comfy_runner.errors import FlatPicture, VerificationError
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import Workflow, once_per_graph
from comfy_runner.picture_files import BROKEN, opened, without_warnings
from comfy_runner.store.interface import Artifact
from comfy_runner.store.media_types import is_binary
from comfy_runner.store.sidecar import FileRecord
from comfy_runner.text_files import shown

_FLAT = "the model gave black or NaN: try another VAE, or start ComfyUI with --force-upcast-attention or --fp32-vae"

_MOST_DECODED = 64 * MOST_PIXELS
"""Pixels of an animation that are decoded: some thousand frames of a film. What comes after them is not looked at."""

_MOST_FRAMES = 1 << 16
_START, _SPACE = 512, 0x20
_PAGES = (".html", ".htm", ".xhtml")


class NotWhole(VerificationError):
    """A file that cannot be read to its end as what it is, or has no content."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a picture file holds.

    Attributes:
        size: In pixels.
        frames: How many pictures it has; more than one for an animation.
    """

    size: Size
    frames: int = 1


def verify_picture(source: Path | Artifact, *, expected: Size | None, may_be_flat: bool) -> Verified:
    """Decode a whole picture, of an animation every frame, and return what it is.

    Args:
        source: The file, or what a store has of it.
        expected: The size that was planned; None where it is not known.
        may_be_flat: Whether one single colour is fine. A model's picture never is: that is what a black or NaN result looks like.
            An animation is flat where all of its frames are, of whatever colour.

    Raises:
        NotWhole: It does not decode, also where it has another size.
        VerificationError: It has another size.
        FlatPicture: It is one flat colour.
        OSError: It is gone.
    """
    problem, most = "", max(MOST_PIXELS, expected.pixels if expected else 0)
    record, size, frames, contrast = FileRecord("", "", 0, None, None, ""), Size(0, 0), 1, 0.0
    # A file that is gone is no broken picture.
    with source.open("rb") as file:
        try:
            with without_warnings(), opened(file) as image:
                size = Size(*image.size)
                record = replace(record, width=size.width, height=size.height)
                if size.pixels > most:
                    raise OSError(f"it is larger than {most} pixels (got {size})")
                frames = int(getattr(image, "n_frames", 1))
                for number in range(max(1, min(frames, _MOST_FRAMES, _MOST_DECODED // max(1, size.pixels)))):
                    image.seek(number)
                    image.load()
                    contrast = max(contrast, *(high - low for low, high in _extrema(image)))
        except BROKEN as error:
            problem = f"is not a whole picture: {str(error) or type(error).__name__}"
    found = Output(record=replace(record, problem=problem), metrics={CONTRAST: contrast})
    _refuse(found, [whole, planned_size(expected), *(() if may_be_flat else (not_flat,))], source)
    return Verified(size, frames)


def is_page(path: Path, suffix: str) -> bool:
    """Return whether what came is not a server's file but what somebody in between says of it: a login, an error.

    Args:
        path: What came.
        suffix: What the file's name ends in: any text in place of what is no text is such a page; otherwise only HTML is.
    """
    if suffix in _PAGES:
        return False
    with path.open("rb") as file:
        start = file.read(_START).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.lower().startswith((b"<!doctype html", b"<html")):
        return True
    is_text = bool(start) and start.isascii() and all(byte >= _SPACE or byte in b"\t\r\n" for byte in start)
    return is_text and is_binary(suffix)


def is_picture(path: Path) -> bool:
    """Return whether a file says in its first bytes that it is a picture that can be read, whatever it is called."""
    with path.open("rb") as file:
        start = file.read(_START)
    return start.startswith((b"\x89PNG", b"\xff\xd8\xff")) or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")


def verify_file(record: FileRecord) -> None:
    """Check what is no picture: it has any content.

    Raises:
        NotWhole: It has none.
    """
    _refuse(Output(record=record), [not_empty], record.path)


def _refuse(output: Output, checks: Iterable[Check], source: Path | Artifact | str) -> None:
    """Raise the first thing that checks find wrong."""
    for found in failures(output, checks):
        where = shown(source) if isinstance(source, Path) else str(source)
        if found.check == "flat":
            raise FlatPicture(found.message, where=where, hint=_FLAT)
        kind = VerificationError if found.check == "size" else NotWhole
        raise kind(found.message, where=where)


def comes_from_a_model(workflow: Workflow, node_id: str) -> bool:
    """Return whether a node's picture was decoded from a latent, so that one flat colour means a failure."""
    return node_id in _decoded(workflow)


@once_per_graph
def _decoded(workflow: Workflow) -> set[str]:
    return workflow.descendants(node_id for node_id, node in workflow.nodes.items() if node.class_type.startswith("VAEDecode"))


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    found = image.getextrema()
    return [found] if len(image.getbands()) == 1 else list(found)  # type: ignore[list-item,arg-type] # of one band it is one pair
