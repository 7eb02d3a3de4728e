"""Which reader reads which file."""

from __future__ import annotations

import pytest

from comfy_runner.importer.readers import kinds
from comfy_runner.importer.readers.kinds import reader_of


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\x89PNG\r\n\x1a\n", "read_png"),
        (b"\xff\xd8\xff\xe0", "read_jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "read_webp"),
        (b"GIF89a", "read_other_picture"),
        (b"\0\0\0\x20ftypavif", "read_other_picture"),
        (b"\0\0\0\x20ftypisom", "read_boxes"),
        (b"\0\0\0\x14ftypqt  ", "read_boxes"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "read_boxes"),
        (b"\x1a\x45\xdf\xa3", "read_matroska"),
        (b"fLaC", "read_flac"),
        (b"OggS", "read_ogg"),
        (b"ID3\x04", "read_mp3"),
        (b"\x40\0\0\0\0\0\0\0{", "read_safetensors"),
        (b"glTF\2\0\0\0", "read_glb"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?>", "read_svg"),
        (b"<svg width='9'>", "read_svg"),
    ],
)
def test_the_first_bytes_tell(start: bytes, name: str) -> None:
    assert reader_of(start) is getattr(kinds, name)


@pytest.mark.parametrize(
    "start",
    [b"", b"{", b'{"1": {', b"[1, 2]", b"\xef\xbb\xbf{}", b"\xff\xfe{\0", b"prompt: a lake", b"RIFF\0\0\0\0WAVE", b"\0" * 64],
)
def test_other_files_may_be_text(start: bytes) -> None:
    assert reader_of(start) is None
