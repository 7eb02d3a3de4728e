"""A picture file read safely: PNG, JPEG or WebP in, 8 bit RGB out, or one clear error."""

from __future__ import annotations

import math
import threading
from contextlib import nullcontext
from pathlib import Path

from PIL import Image

from comfy_runner.errors import VerificationError
from comfy_runner.picture_files import BROKEN, eight_bit_grey, opened, without_warnings
from comfy_runner.store.interface import Artifact
from comfy_runner.text_files import shown

MOST_SIDE = 8192
"""Largest picture that is measured, if it is square: all metrics of one of 64 megapixels take some gigabytes of memory."""

MOST_DRAWN_SIDE = 16_384
"""Largest picture that is drawn small, likewise: one of 256 megapixels takes one or two gigabytes while it is decoded."""

_ONE_AT_A_TIME = threading.Lock()
_REDUCIBLE = ("RGB", "RGBA", "L", "LA", "CMYK")

_BEHIND = (128, 128, 128, 255)
"""The neutral grey that is seen through transparent parts: neither black nor white, which a model's failure looks like."""


def read_rgb(source: Path | Artifact) -> Image.Image:
    """Return the picture in a file, or in a store, as RGB with 8 bits a channel.

    Grey becomes RGB, a palette its colours, 16 bits are scaled to 8, and what is transparent lies over a neutral grey. Of an
    animation it is the first frame. Colour profiles and turns that EXIF asks for are not applied: both pictures of a job would
    have them.

    Raises:
        VerificationError: It is no whole PNG, JPEG or WebP, or has more pixels than `MOST_SIDE` twice.
    """
    return _read(source, MOST_SIDE, "measured")[0]


def read_reduced(source: Path | Artifact) -> tuple[Image.Image, tuple[int, int]]:
    """Return a picture to be drawn small, as `read_rgb` does, and its own width and height.

    One that is too large to be measured is divided by a whole number, so that it no longer is.

    Raises:
        VerificationError: It is no whole PNG, JPEG or WebP, or has more pixels than `MOST_DRAWN_SIDE` twice.
    """
    return _read(source, MOST_DRAWN_SIDE, "drawn")


def over_grey(image: Image.Image) -> Image.Image:
    """Return a picture with transparent parts as it looks over a neutral grey: RGBA, and opaque."""
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, _BEHIND), picture)


def _read(source: Path | Artifact, most: int, done: str) -> tuple[Image.Image, tuple[int, int]]:
    where = shown(source) if isinstance(source, Path) else str(source)
    try:
        with source.open("rb") as file:
            # They come with the header; pixels give none.
            with without_warnings():
                image = opened(file)
            width, height = image.size
            factor = math.ceil(math.sqrt(width * height) / MOST_SIDE)
            with image, _ONE_AT_A_TIME if factor > 1 else nullcontext():
                if width * height > most**2:
                    what = f"is larger than {most}x{most} pixels, the most that is {done} (got {width}x{height})"
                    raise VerificationError(what, where=where)
                image.load()
                if factor <= 1:
                    return _rgb(image), image.size
                # Before its colours are converted, which takes as much memory again.
                small = image.reduce(factor) if image.mode in _REDUCIBLE else _rgb(image).reduce(factor)
                return _rgb(small), (width, height)
    except BROKEN as error:
        raise VerificationError(f"is not a whole picture: {str(error) or type(error).__name__}", where=where) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return eight_bit_grey(image).convert("RGB")
    if image.has_transparency_data:
        return over_grey(image).convert("RGB")
    return image.convert("RGB")
