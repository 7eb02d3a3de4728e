"""The texts of pictures other than PNG: JPEG and WebP, walked through part by part, and AVIF and GIF as Pillow reads them."""

from __future__ import annotations

import struct
from typing import BinaryIO

from PIL import Image

from comfy_runner.importer.readers.embedded import MOST_PARTS, MOST_TEXT, DamagedFile, Embedded, length_of, taken
from comfy_runner.importer.readers.exif import PREFIX, read_exif
from comfy_runner.picture_files import BROKEN, without_warnings

_EXIF, _COMMENT, _START_OF_SCAN, _END = 0xE1, 0xFE, 0xDA, 0xD9
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MOST_BYTES = 256 << 20  # of a file that Pillow reads as a whole


def read_jpeg(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of a JPEG: EXIF, which may be in several segments, and comments. What follows the header is not read.

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    file.seek(2)
    exif = bytearray()
    try:
        for _ in range(MOST_PARTS):
            marker = _marker(file)
            if marker in (_START_OF_SCAN, _END):
                return
            if marker in _ALONE:
                continue
            (length,) = struct.unpack(">H", taken(file, 2, what="its header"))
            data = taken(file, max(0, length - 2), what="its header")
            if marker == _EXIF and data.startswith(PREFIX) and len(exif) < MOST_TEXT:
                exif += data[len(PREFIX) :]
            elif marker == _COMMENT:
                embedded.add("comment", data)
            elif marker in _FRAMES and len(data) >= 5:
                height, width = struct.unpack_from(">HH", data, 1)
                embedded.measure(width, height)
        raise DamagedFile(f"it has more than {MOST_PARTS} segments")
    finally:
        if exif:
            read_exif(bytes(exif), embedded)


def _marker(file: BinaryIO) -> int:
    byte = taken(file, 1, what="its header")
    if byte != b"\xff":
        raise DamagedFile("its header stops being that of a JPEG")
    while byte == b"\xff":
        byte = taken(file, 1, what="its header")
    return byte[0]


def read_webp(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of a WebP, which are EXIF behind the pixels.

    The format: https://developers.google.com/speed/webp/docs/riff_container.

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    file.seek(12)
    end = length_of(file)
    for _ in range(MOST_PARTS):
        if file.tell() + 8 > end:
            return
        name, length = struct.unpack("<4sI", taken(file, 8, what="its parts"))
        start = file.tell()
        if start + length > end:
            raise DamagedFile(f"it ends in the middle of a part of {length} bytes")
        if name == b"EXIF":
            read_exif(taken(file, length, what="its EXIF").removeprefix(PREFIX), embedded)
        elif name in (b"VP8X", b"VP8 ", b"VP8L"):
            _measure_webp(name, file.read(min(length, 10)), embedded)
        file.seek(start + length + length % 2)
    raise DamagedFile(f"it has more than {MOST_PARTS} parts")


def _measure_webp(name: bytes, data: bytes, embedded: Embedded) -> None:
    if name == b"VP8X" and len(data) == 10:
        embedded.measure(1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little"))
    elif name == b"VP8 " and data[3:6] == b"\x9d\x01\x2a" and len(data) == 10:
        width, height = struct.unpack_from("<HH", data, 6)
        embedded.measure(width & 0x3FFF, height & 0x3FFF)
    elif name == b"VP8L" and data[:1] == b"\x2f" and len(data) >= 5:
        bits = int.from_bytes(data[1:5], "little")
        embedded.measure(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))


def read_other_picture(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of an AVIF or GIF: EXIF and comments.

    Raises:
        DamagedFile: It is damaged, too large, or this Pillow cannot read it.
    """
    if length_of(file) > _MOST_BYTES:
        raise DamagedFile(f"it has more than {_MOST_BYTES >> 20} MiB")
    try:
        with without_warnings(), Image.open(file, formats=("AVIF", "GIF")) as image:
            size, info = image.size, image.info
    except (*BROKEN, KeyError) as error:
        raise DamagedFile(f"it cannot be read ({str(error) or type(error).__name__})") from None
    embedded.measure(*size)
    if isinstance(comment := info.get("comment"), bytes):
        embedded.add("comment", comment)
    if isinstance(exif := info.get("exif"), bytes):
        read_exif(exif, embedded)
