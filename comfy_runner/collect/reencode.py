"""A verified picture written anew as JPEG or WebP, with all that its file says of itself.

What stands in a PNG's text chunks goes into EXIF (`exif`). Does not decide which pictures are written anew
(`store.media_types`), nor where they go (`download`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from comfy_runner.collect.exif import MOST_IN_JPEG
from comfy_runner.collect.picture_texts import NO_CHANGES, TextChanges
from comfy_runner.errors import VerificationError
from comfy_runner.picture_files import BROKEN, eight_bit_grey, opened, without_warnings
from comfy_runner.recipe.schema import QUALITY
from comfy_runner.store.interface import Artifact
from comfy_runner.text_files import shown

_WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How pictures are written anew.

    Attributes:
        quality: 1 to 100.
        lossless: Whether a WebP has the very same pixels.
    """

    quality: int = QUALITY
    lossless: bool = False

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Encoding:
        """Return what a complete recipe says, as a sidecar or a submission has it."""
        output = recipe.get("output")
        given = output if isinstance(output, Mapping) else {}
        quality = given.get("quality")
        return cls(quality if type(quality) is int and 1 <= quality <= 100 else QUALITY, given.get("lossless") is True)


def convert(
    source: Path | Artifact, suffix: str, encoding: Encoding, changes: TextChanges = NO_CHANGES
) -> tuple[bytes, tuple[str, ...]]:
    """Return a picture in another format, and what of its metadata has no room there, by name.

    Transparent parts of a JPEG become white; 16 bits a channel become 8.

    Args:
        source: A picture that was verified.
        suffix: Its format: ``.jpg`` or ``.webp``.
        encoding: How it is written.
        changes: What becomes of its texts.

    Raises:
        VerificationError: The picture cannot be read, or written in this format.
        OSError: It is gone.
    """
    where, target = shown(source) if isinstance(source, Path) else str(source), io.BytesIO()
    with source.open("rb") as file:
        try:
            with without_warnings():
                image = opened(file)
            with image:
                # What stands behind the pixels is read with them.
                image.load()
                exif, left_out = changes.as_exif(image, most=MOST_IN_JPEG if suffix == ".jpg" else None)
                picture = _flattened(image) if suffix == ".jpg" else _coloured(image)
                beside = {"exif": exif} if exif else {}
                icc = image.info.get("icc_profile")
        except BROKEN as error:
            raise VerificationError(f"cannot be read: {str(error) or type(error).__name__}", where=where) from error
    # A profile describes the channels that it was made for.
    if icc and _channels(picture) == _channels(image):
        beside["icc_profile"] = icc
    try:
        if suffix == ".jpg":
            picture.save(target, "JPEG", quality=encoding.quality, **beside)
        else:
            picture.save(target, "WEBP", quality=encoding.quality, lossless=encoding.lossless, exact=encoding.lossless, **beside)
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise VerificationError(f"cannot be written as {suffix}: {str(error) or type(error).__name__}", where=where) from error
    return target.getvalue(), left_out


def _channels(image: Image.Image) -> str:
    return "RGB" if image.mode in ("P", "PA") else image.mode.removesuffix("A")


def _plain(image: Image.Image) -> Image.Image:
    """Return a picture with 8 bits a channel: grey, RGB or RGBA."""
    if image.mode.startswith("I"):
        return eight_bit_grey(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.copy() if image.mode in ("L", "RGB") else image.convert("RGB")


def _coloured(image: Image.Image) -> Image.Image:
    """Return a picture as WebP has it: RGB or RGBA."""
    picture = _plain(image)
    return picture.convert("RGB") if picture.mode == "L" else picture


def _flattened(image: Image.Image) -> Image.Image:
    """Return a picture without transparency, which JPEG does not have: what is behind it is white, as on a page."""
    picture = _plain(image)
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, _WHITE), picture).convert("RGB")
