"""Opening a picture file that may hold anything: PNG, JPEG and WebP only, no warnings, and a list of all that readers raise."""

from __future__ import annotations

import contextlib
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

BROKEN: Final = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow's readers raise."""

_counting = threading.Lock()
_silenced = 0
_silence = contextlib.ExitStack()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence what Pillow warns of, in the whole process, as long as any thread is in here: many decode at the same time."""
    global _silenced
    with _counting:
        _silenced += 1
        if _silenced == 1:
            _silence.enter_context(warnings.catch_warnings(action="ignore"))
    try:
        yield
    finally:
        with _counting:
            _silenced -= 1
            if not _silenced:
                _silence.close()


def opened(file: BinaryIO) -> ImageFile:
    """Read a picture's header. `Image.open` would try every format, warn of what it finds too large, and refuse some of it.

    Raises:
        Exception: One of `BROKEN`.
    """
    start = file.read(12)
    file.seek(0)
    if start.startswith(b"\x89PNG"):
        return PngImageFile(file)
    if start.startswith(b"\xff\xd8"):
        return JpegImageFile(file)
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return WebPImageFile(file)
    raise ValueError("neither PNG, JPEG nor WebP")


def eight_bit_grey(image: Image.Image) -> Image.Image:
    """Return a picture of 16 bit grey (a mode that begins with ``I``) with 8 bits; Pillow's `convert` would cut it off at 255."""
    return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
