"""Sounds made by hand: comments of FLAC and Ogg, tags of MP3. Real ones are in tests/real."""

from __future__ import annotations

import struct

import pytest

from comfy_runner.importer.readers.embedded import DamagedFile
from tests.importer.readers.support import PROMPT, WORKFLOW, comments, embedded_in

_COMMENTS = comments("encoder=Lavf", f"PROMPT={PROMPT}", f"workflow={WORKFLOW}")
_BOTH = {"prompt": PROMPT, "workflow": WORKFLOW}


def _flac(*blocks: tuple[int, bytes]) -> bytes:
    heads = [bytes([kind | (0x80 if number == len(blocks) else 0)]) for number, (kind, _) in enumerate(blocks, 1)]
    return b"fLaC" + b"".join(head + len(data).to_bytes(3, "big") + data for head, (_, data) in zip(heads, blocks, strict=True))


def test_comments_of_flac_are_found() -> None:
    assert embedded_in(_flac((0, bytes(34)), (4, _COMMENTS), (1, bytes(100))) + b"\xff\xf8").texts == _BOTH


def _page(stream: int, packet: bytes, *, is_whole: bool = True) -> bytes:
    sizes = [255] * (len(packet) // 255) + ([len(packet) % 255] if is_whole else [])
    return b"OggS" + bytes(10) + struct.pack("<III", stream, 0, 0) + bytes([len(sizes), *sizes]) + packet


@pytest.mark.parametrize(("first", "start"), [(b"OpusHead", b"OpusTags"), (b"\x01vorbis", b"\x03vorbis")])
def test_comments_of_ogg_are_found_over_several_pages(first: bytes, start: bytes) -> None:
    packet = start + comments("x=" + "y" * 1000, f"prompt={PROMPT}", f"workflow={WORKFLOW}")
    data = (
        _page(7, first + bytes(11)) + _page(9, b"another stream") + _page(7, packet[:510], is_whole=False) + _page(7, packet[510:])
    )

    assert embedded_in(data).texts == _BOTH


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _id3(version: int, *frames: tuple[bytes, bytes], flags: int = 0) -> bytes:
    packed = b""
    for name, data in frames:
        if version == 2:
            packed += name + len(data).to_bytes(3, "big") + data
        else:
            packed += name + (_synchsafe(len(data)) if version == 4 else len(data).to_bytes(4, "big")) + b"\0\0" + data
    if flags & 0x80:
        packed = packed.replace(b"\xff", b"\xff\0")
    if flags & 0x40:
        packed = (
            (_synchsafe(6) if version == 4 else (6).to_bytes(4, "big") + b"\0\0\0\0")[: 10 if version == 3 else 4]
            + (b"\1\0" if version == 4 else b"\0\0")
            + packed
        )
    packed += bytes(50)
    return b"ID3" + bytes([version, 0, flags]) + _synchsafe(len(packed)) + packed


@pytest.mark.parametrize("flags", [0, 0x40])
@pytest.mark.parametrize("version", [3, 4])
def test_texts_of_mp3_are_found(version: int, flags: int) -> None:
    frames = [
        (b"TSSE", b"\3Lavf\0"),
        (b"TXXX", b"\3prompt\0" + PROMPT.encode() + b"\0"),
        (b"TXXX", b"\1" + "workflow\0".encode("utf-16") + WORKFLOW.encode("utf-16") + b"\0\0"),
    ]

    assert embedded_in(_id3(version, *frames, flags=flags) + b"\xff\xfb").texts == _BOTH


def test_older_and_unsynchronised_tags_are_read() -> None:
    utf_16 = b"\1" + "prompt\0".encode("utf-16") + PROMPT.encode("utf-16")

    assert embedded_in(_id3(2, (b"TXX", b"\0prompt\0" + PROMPT.encode()))).texts == {"prompt": PROMPT}
    assert embedded_in(_id3(3, (b"TXXX", utf_16), flags=0x80)).texts == {"prompt": PROMPT}


def test_a_comment_of_mp3_is_found() -> None:
    assert embedded_in(_id3(4, (b"COMM", b"\3eng\0hello"))).texts == {"comment": "hello"}


def test_a_flac_behind_a_tag_is_read() -> None:
    assert embedded_in(_id3(3) + _flac((4, _COMMENTS))).texts == _BOTH


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"fLaC", "it ends in the middle of its header"),
        (_flac((4, _COMMENTS))[:-1], "it ends in the middle of its header"),
        (_flac((4, _COMMENTS[:-1])), "it ends in the middle of its comments"),
        (_flac((4, b"\xff\xff\xff\xff")), "it ends in the middle of its comments"),
        (_page(1, b"OpusHead"), "it ends in the middle of a page"),
        (_page(1, b"OpusHead") + b"Nothing" * 10, "it is not Ogg from that point on"),
        (_id3(4)[:-1], "it ends in the middle of its tag"),
        (_id3(3, (b"TXXX", b"\3x"))[:10] + b"TXXX\x7f\xff\xff\xff" + bytes(60), "it ends in the middle of its tag"),
    ],
)
def test_damage_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedFile, match=reason):
        embedded_in(data)
