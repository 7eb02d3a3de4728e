"""Opening a picture file that may hold anything: PNG, JPEG and WebP only, no warnings, and a list of all that readers raise."""

from __future__ import annotations

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

_QUIET = threading.Lock()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence what Pillow warns of. Warnings are switched off for the whole process, so one thread at a time may do it."""
    with _QUIET, warnings.catch_warnings(action="ignore"):
        yield


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
