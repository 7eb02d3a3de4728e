"""Which reader reads a file: its first bytes tell, for names lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Final

from comfy_runner.importer.readers.containers import read_glb, read_safetensors, read_svg
from comfy_runner.importer.readers.embedded import Embedded
from comfy_runner.importer.readers.films import read_boxes, read_matroska
from comfy_runner.importer.readers.pictures import read_jpeg, read_other_picture, read_webp
from comfy_runner.importer.readers.png import SIGNATURE, read_png
from comfy_runner.importer.readers.sounds import FLAC, read_flac, read_mp3, read_ogg

FileReader = Callable[[BinaryIO, Embedded], None]
"""Gathers the texts of an open file, or raises `DamagedFile`."""

START: Final = 64
"""How many of the first bytes tell the kind of a file."""

SUFFIXES: Final = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".gif", ".svg"),
        *(".mp4", ".m4v", ".mov", ".webm", ".mkv"),
        *(".flac", ".opus", ".ogg", ".oga", ".mp3", ".m4a"),
        *(".latent", ".glb"),
    )
)
"""What the names of such files end in, in lower case."""

_STARTS: Final = {
    SIGNATURE: read_png,
    b"\xff\xd8\xff": read_jpeg,
    b"GIF8": read_other_picture,
    b"\x1a\x45\xdf\xa3": read_matroska,
    FLAC: read_flac,
    b"OggS": read_ogg,
    b"ID3": read_mp3,
    b"\xff\xfb": read_mp3,
    b"\xff\xf3": read_mp3,
    b"glTF": read_glb,
}
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_LONGEST_HEADER = 100_000_000  # of safetensors, as its own reader has it


def reader_of(start: bytes) -> FileReader | None:
    """Return what reads a file that starts so; None for what may be text."""
    for beginning, reader in _STARTS.items():
        if start.startswith(beginning):
            return reader
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return read_webp
    if start[4:8] in _BOXES:
        return read_other_picture if start[4:12] in (b"ftypavif", b"ftypavis") else read_boxes
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _LONGEST_HEADER:
        return read_safetensors
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"<svg", b"<?xml")):
        return read_svg
    return None
