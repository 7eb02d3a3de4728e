"""A picture file read safely: PNG, JPEG or WebP in, 8 bit RGB out, or one clear error.

Not here: whether it is what was planned (`runs.pictures`), and what is measured of it (`metrics`).
"""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from comfy_runner.errors import VerificationError
from comfy_runner.textfile import shown

MOST_PIXELS = 64 * 1024 * 1024
"""Largest picture that is decoded: 8192x8192."""

_BEHIND = (128, 128, 128)
"""The neutral grey that is seen through transparent parts: neither black nor white, which a model's failure looks like."""

# What Pillow's readers raise.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)

# Warnings are switched off for the whole process, so one thread at a time may do it. They come with the header; pixels give none.
_QUIET = threading.Lock()


def read_rgb(path: Path) -> Image.Image:
    """Return the picture in a file as RGB with 8 bits a channel.

    Grey becomes RGB, a palette its colours, 16 bits are scaled to 8, and what is transparent lies over a neutral grey. Of an
    animation it is the first frame. Colour profiles and turns that EXIF asks for are not applied: both pictures of a job would
    have them.

    Raises:
        VerificationError: It is no whole PNG, JPEG or WebP, or has more than `MOST_PIXELS`.
    """
    where = shown(path)
    try:
        with path.open("rb") as file:
            with _QUIET, warnings.catch_warnings(action="ignore"):
                image = _opened(file)
            with image:
                if image.width * image.height > MOST_PIXELS:
                    raise VerificationError(f"is larger than {MOST_PIXELS} pixels (got {image.width}x{image.height})", where=where)
                image.load()
                return _rgb(image)
    except _BROKEN as error:
        raise VerificationError(f"is not a whole picture: {str(error) or type(error).__name__}", where=where) from error


def _opened(file: BinaryIO) -> ImageFile:
    """Read a picture's header, as `runs.pictures` does. `Image.open` would try every format, and warn."""
    start = file.read(12)
    file.seek(0)
    if start.startswith(b"\x89PNG"):
        return PngImageFile(file)
    if start.startswith(b"\xff\xd8"):
        return JpegImageFile(file)
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return WebPImageFile(file)
    raise ValueError("neither PNG, JPEG nor WebP")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bit grey; `convert` would cut it off at 255.
        return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L").convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        behind = Image.new("RGBA", picture.size, (*_BEHIND, 255))
        return Image.alpha_composite(behind, picture).convert("RGB")
    return image.convert("RGB")
