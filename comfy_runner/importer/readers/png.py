"""The texts of a PNG: chunks tEXt, zTXt and iTXt, the ``comf`` of ComfyUI's animations, and EXIF, before and behind the pixels.

Pillow would decode all pixels to get at what stands behind them, and refuses compressed texts of more than 1 MiB. The format is
that of the PNG specification, https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, Final

from comfy_runner.importer.readers.embedded import MOST_PARTS, DamagedFile, Embedded, is_wanted, length_of, taken
from comfy_runner.importer.readers.exif import read_exif

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"comf")
_HEAD, _CHECKSUM = 8, 4


def read_png(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of a PNG.

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    file.seek(len(SIGNATURE))
    end = length_of(file)
    is_over = False
    for _ in range(MOST_PARTS):
        if is_over and file.tell() + _HEAD > end:
            return
        length, name = struct.unpack(">I4s", taken(file, _HEAD, what="its chunks"))
        start = file.tell()
        if is_over and (name not in _TEXTS or start + length + _CHECKSUM > end):
            return
        if start + length + _CHECKSUM > end:
            raise DamagedFile(f"it ends in the middle of a chunk of {length} bytes")
        if name == b"IHDR" and length >= 8:
            embedded.measure(*struct.unpack(">II", taken(file, 8, what="its header")))
        elif name in _TEXTS:
            data = taken(file, length, what="a text")
            (checksum,) = struct.unpack(">I", taken(file, _CHECKSUM, what="a text"))
            _read_text(name, data, embedded)
            if zlib.crc32(name + data) != checksum:
                embedded.damage = "may be damaged: the checksum of one of its texts is wrong"
        elif name == b"eXIf":
            read_exif(taken(file, length, what="its EXIF"), embedded)
        elif name == b"IEND":
            # Some programs put a workflow behind the end, where ComfyUI's page finds it, too.
            is_over = True
        file.seek(start + length + _CHECKSUM)
    raise DamagedFile(f"it has more than {MOST_PARTS} chunks")


def _read_text(kind: bytes, data: bytes, embedded: Embedded) -> None:
    head, _, rest = data.partition(b"\0")
    name = head.decode("latin-1")
    if not is_wanted(name):
        return
    if kind == b"zTXt":
        rest = _inflated(rest[1:], embedded)
    elif kind == b"iTXt":
        is_compressed = rest[:1] == b"\1"
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind the language, and the name in this language
        rest = _inflated(text, embedded) if is_compressed else text
    embedded.add(name, rest)


def _inflated(data: bytes, embedded: Embedded) -> bytes:
    """Return what was compressed; one byte more than there is room for where it is too much."""
    try:
        return zlib.decompressobj().decompress(data, embedded.room + 1)
    except zlib.error as error:
        raise DamagedFile(f"one of its compressed texts cannot be read ({error})") from None
