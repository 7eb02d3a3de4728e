"""The texts of a picture file changed, its pixels left byte for byte: PNG, JPEG and WebP are taken apart and put together again.

What tells of a picture's making stands beside its pixels: in text chunks of a PNG, in EXIF of the other two. Only what decides how
the picture looks, such as its colour profile, stays in any case. The formats are those of the PNG specification (W3C, third
edition, 5.3), of ITU-T T.81 (annex B) and of Google's "WebP Container Specification". Does not decide which texts those are
(`metadata`).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy_runner.collect.exif import MOST_IN_JPEG, names_in, remove_texts, write_texts
from comfy_runner.errors import VerificationError
from comfy_runner.picture_files import BROKEN, opened, without_warnings
from comfy_runner.store.interface import Artifact
from comfy_runner.text_files import shown

_PIECE = 1 << 20
_PNG = b"\x89PNG\r\n\x1a\n"
_LONGEST_KEYWORD = 80  # with the zero behind it
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"comf")  # the last is that of ComfyUI's animations
_PNG_LOOKS = frozenset(
    (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD")
) | {b"pHYs", b"hIST", b"sPLT", b"acTL", b"fcTL", b"fdAT"}
_WEBP_LOOKS = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_HAS_EXIF, _HAS_XMP, _HAS_ALPHA = 0x08, 0x04, 0x10  # flags of VP8X
_ORIENTATION: Final = 0x0112


@dataclass(frozen=True, slots=True)
class TextChanges:
    """What becomes of the texts of a picture.

    Attributes:
        keeps: Whether what the file says of itself stays, but for what is changed here.
        written: Texts by name that the file is to have.
        replaced: Texts by name that take the place of those that the file has; where it has none of that name, it gets none.
        removed: Names of texts that go.
    """

    keeps: bool = True
    written: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def new(self, names: Iterable[str]) -> dict[str, str]:
        """Return the texts that are written into a file that has texts of these names."""
        there = frozenset(names) if self.keeps else frozenset()
        return {**{name: text for name, text in self.replaced.items() if name in there}, **self.written}

    def as_exif(self, image: Image.Image, *, most: int | None = None) -> tuple[bytes, tuple[str, ...]]:
        """Return what a picture says of itself as EXIF, with these changes; see `exif.write_texts`.

        Args:
            image: The picture, read to its end.
            most: How many bytes the EXIF may have; None for any number.
        """
        exif, texts = image.getexif(), {name: str(text) for name, text in getattr(image, "text", {}).items()}
        if not self.keeps:
            exif, texts = _turned(exif), {}
        remove_texts(exif, self.removed)
        kept = {name: text for name, text in texts.items() if name not in self.removed}
        return write_texts(exif, {**kept, **self.new({*kept, *names_in(exif)})}, most=most)


NO_CHANGES: Final = TextChanges()
"""All stays as it is."""


def with_texts(source: Path | Artifact, changes: TextChanges) -> tuple[Iterator[bytes], tuple[str, ...]]:
    """Return a picture file with other texts, piece by piece, and what has no room in it (see `exif.write_texts`).

    Args:
        source: A picture that was verified: PNG, JPEG or WebP, also an animation.
        changes: What becomes of its texts.

    Raises:
        VerificationError: The file cannot be taken apart.
        OSError: It is gone.
    """
    where = shown(source) if isinstance(source, Path) else str(source)
    try:
        with source.open("rb") as file, without_warnings():
            start = file.read(12)
            if start.startswith(_PNG):
                # Not read as a whole, for it may be large.
                return _png(source, changes, where), ()
            image = opened(_rewound(file))
            is_jpeg = image.format == "JPEG"
            written, left_out = changes.as_exif(image, most=MOST_IN_JPEG if is_jpeg else None)
            content = _rewound(file).read()
            parts = _jpeg(content, written, changes) if is_jpeg else _webp(content, written, changes, image.size)
            return iter([b"".join(parts)]), left_out
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise VerificationError(f"cannot be read: {str(error) or type(error).__name__}", where=where) from error


def differ_in_texts_alone(one: Path | Artifact, other: Path | Artifact) -> bool:
    """Return whether two files are the same PNG but for what they say of themselves; not where one is no PNG, or is not whole.

    Raises:
        OSError: One is gone.
    """
    try:
        first, second = (_checksum_without_texts(source) for source in (one, other))
    except VerificationError:
        return False
    return first == second != ""


def _checksum_without_texts(source: Path | Artifact) -> str:
    with source.open("rb") as file:
        if file.read(len(_PNG)) != _PNG:
            return ""
    digest = hashlib.sha256()
    for piece in _png(source, TextChanges(keeps=False), str(source)):
        digest.update(piece)
    return digest.hexdigest()


def _rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file


def _turned(exif: Image.Exif) -> Image.Exif:
    """Return what is left of EXIF that is to tell nothing: which side of the picture is up, where that is not the first."""
    found = Image.Exif()
    turn = exif.get(_ORIENTATION, 1)
    if isinstance(turn, int) and 2 <= turn <= 8:
        found[_ORIENTATION] = turn
    return found


def _png(source: Path | Artifact, changes: TextChanges, where: str) -> Iterator[bytes]:
    try:
        yield from _png_parts(source, changes, where)
    except OSError as error:
        raise VerificationError(f"cannot be read: {error.strerror or error}", where=where) from error


def _png_parts(source: Path | Artifact, changes: TextChanges, where: str) -> Iterator[bytes]:
    names = {name for name, *_ in _png_chunks(source, where) if name in changes.replaced}
    new = PngInfo()
    for name, text in changes.new(names).items():
        new.add_text(name, text.replace("\0", " "))
    gone = {*changes.new(names), *changes.removed}
    yield _PNG
    is_first = True
    with source.open("rb") as file:
        for name, kind, start, length in _png_chunks(source, where):
            if kind == b"IDAT" and is_first:
                is_first = False
                yield from (_png_chunk(kind, data) for kind, data, *_ in new.chunks)
            if name in gone or not (changes.keeps or kind in _PNG_LOOKS):
                continue
            file.seek(start)
            yield from _pieces(file, length)
        if changes.keeps:
            yield from iter(partial(file.read, _PIECE), b"")


def _png_chunks(source: Path | Artifact, where: str) -> Iterator[tuple[str, bytes, int, int]]:
    """Yield of each chunk the name of the text in it, its type, where it begins, and its length with all that belongs to it.

    Raises:
        VerificationError: They do not go on to the end of the picture.
    """
    with source.open("rb") as file:
        position, kind = file.seek(len(_PNG)), b""
        while kind != b"IEND":
            head = file.read(8)
            if len(head) < 8:
                raise VerificationError("cannot be read: it has no end", where=where)
            length, kind = struct.unpack(">I4s", head)
            name = b""
            if kind in _PNG_TEXTS:
                name = file.read(min(length, _LONGEST_KEYWORD)).partition(b"\0")[0]
            yield name.decode("latin-1"), kind, position, length + 12
            position = file.seek(position + length + 12)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pieces(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (piece := file.read(min(length, _PIECE))):
        length -= len(piece)
        yield piece


def _jpeg(content: bytes, exif: bytes, changes: TextChanges) -> Iterator[bytes]:
    """Yield a JPEG with other EXIF: its segments up to the pixels, then all the rest."""
    position, is_written = 2, not exif
    yield content[:2]
    while True:
        if content[position] != 0xFF:
            raise ValueError("no segment begins where the last one ends")
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4])
        segment = content[position:end]
        if marker != 0xE0 and not is_written:
            yield b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
            is_written = True
        if marker == 0xDA:  # the pixels
            yield content[position:]
            return
        if _jpeg_stays(marker, segment[4:], changes):
            yield segment
        position = end


def _jpeg_stays(marker: int, data: bytes, changes: TextChanges) -> bool:
    if marker == 0xE1 and data.startswith(b"Exif\0"):
        return False  # it was written anew
    if changes.keeps:
        return True
    is_profile = marker == 0xE2 and data.startswith(b"ICC_PROFILE\0")
    # APP0 is JFIF, APP14 Adobe's, which says how colours are coded; 0xFE is a comment.
    return is_profile or not (0xE1 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE


def _webp(content: bytes, exif: bytes, changes: TextChanges, size: tuple[int, int]) -> Iterator[bytes]:
    """Yield a WebP with other EXIF."""
    chunks = [
        (kind, data)
        for kind, data in _webp_chunks(content)
        if kind != b"EXIF" and (changes.keeps or kind in _WEBP_LOOKS) and kind != b"VP8X"
    ]
    flags = next((data[0] for kind, data in _webp_chunks(content) if kind == b"VP8X" and data), None)
    if flags is None and exif:
        flags = _HAS_ALPHA if any(kind == b"VP8L" and len(data) > 4 and data[4] & 0x10 for kind, data in chunks) else 0
    if flags is not None:
        flags = (flags & ~_HAS_EXIF & (~0 if changes.keeps else ~_HAS_XMP)) | (_HAS_EXIF if exif else 0)
        sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
        chunks.insert(0, (b"VP8X", bytes([flags & 0xFF, 0, 0, 0]) + sides))
    if exif:
        chunks.append((b"EXIF", exif.removeprefix(b"Exif\0\0")))
    body = b"".join(kind + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    yield b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(content):
        kind, length = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        yield kind, content[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
