"""A picture file read safely: PNG, JPEG or WebP in, 8 bit RGB out, or one clear error."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from comfy_runner.errors import VerificationError
from comfy_runner.picture_files import BROKEN, opened, without_warnings
from comfy_runner.store.interface import Artifact
from comfy_runner.text_files import shown

MOST_PIXELS = 64 * 1024 * 1024
"""Largest picture that is decoded: 8192x8192."""

_BEHIND = (128, 128, 128)
"""The neutral grey that is seen through transparent parts: neither black nor white, which a model's failure looks like."""


def read_rgb(source: Path | Artifact) -> Image.Image:
    """Return the picture in a file, or in a store, as RGB with 8 bits a channel.

    Grey becomes RGB, a palette its colours, 16 bits are scaled to 8, and what is transparent lies over a neutral grey. Of an
    animation it is the first frame. Colour profiles and turns that EXIF asks for are not applied: both pictures of a job would
    have them.

    Raises:
        VerificationError: It is no whole PNG, JPEG or WebP, or has more than `MOST_PIXELS`.
    """
    where = shown(source) if isinstance(source, Path) else str(source)
    try:
        with source.open("rb") as file:
            # They come with the header; pixels give none.
            with without_warnings():
                image = opened(file)
            with image:
                if image.width * image.height > MOST_PIXELS:
                    raise VerificationError(f"is larger than {MOST_PIXELS} pixels (got {image.width}x{image.height})", where=where)
                image.load()
                return _rgb(image)
    except BROKEN as error:
        raise VerificationError(f"is not a whole picture: {str(error) or type(error).__name__}", where=where) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bit grey; `convert` would cut it off at 255.
        return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L").convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        behind = Image.new("RGBA", picture.size, (*_BEHIND, 255))
        return Image.alpha_composite(behind, picture).convert("RGB")
    return image.convert("RGB")
