"""Films as ffmpeg writes them, made by hand: boxes of MP4 and QuickTime, elements of Matroska. Real ones are in tests/real."""

from __future__ import annotations

import json
import struct

import pytest

from comfy_runner.importer.readers.embedded import DamagedFile
from tests.importer.readers.support import GRAPH, PROMPT, UI, WORKFLOW, box, element, embedded_in

_FTYP = box(b"ftyp", b"isom", bytes(4))
_HDLR = box(b"hdlr", bytes(8), b"mdta", bytes(13))
_NO_VERSION = bytes(4)


def _data(text: str) -> bytes:
    return box(b"data", struct.pack(">II", 1, 0), text.encode())


def _keys(*names: str) -> bytes:
    return box(b"keys", struct.pack(">II", 0, len(names)), *(box(b"mdta", name.encode()) for name in names))


def _items(*texts: str) -> bytes:
    return box(b"ilst", *(box(struct.pack(">I", number), _data(text)) for number, text in enumerate(texts, 1)))


def _track(width: int, height: int, *, version: int = 0) -> bytes:
    before = bytes([version]) + bytes(87 if version else 75)
    return box(b"trak", box(b"tkhd", before, struct.pack(">II", width << 16, height << 16)))


_OWN = (_HDLR, _keys("encoder", "prompt", "workflow"), _items("Lavf", PROMPT, WORKFLOW))
_BOTH = json.dumps({"prompt": PROMPT, "workflow": UI, "CreationTime": "now"})


@pytest.mark.parametrize(
    "content",
    [
        [box(b"udta", box(b"meta", _NO_VERSION, *_OWN))],
        [box(b"meta", _NO_VERSION, *_OWN)],
        [box(b"meta", *_OWN)],
        [_track(0, 0), _track(64, 48), box(b"udta", box(b"name", b"x"), box(b"meta", _NO_VERSION, *_OWN))],
    ],
)
def test_keys_of_their_own_are_found(content: list[bytes]) -> None:
    embedded = embedded_in(_FTYP + box(b"mdat", bytes(1000)) + box(b"moov", box(b"mvhd", bytes(100)), *content))

    assert embedded.texts == {"prompt": PROMPT, "workflow": WORKFLOW}


@pytest.mark.parametrize("version", [0, 1])
def test_the_size_is_that_of_the_first_track_with_pictures(version: int) -> None:
    moov = box(b"moov", _track(0, 0, version=version), _track(64, 48, version=version), _track(1, 1))

    assert embedded_in(_FTYP + moov).size == (64, 48)


@pytest.mark.parametrize(
    "content",
    [
        box(b"meta", _NO_VERSION, box(b"hdlr", bytes(8), b"mdir", bytes(13)), box(b"ilst", box(b"\xa9cmt", _data(_BOTH)))),
        box(b"meta", _NO_VERSION, _HDLR, box(b"ilst", box(b"\xa9too", _data("Lavf")), box(b"\xa9cmt", _data(_BOTH)))),
        box(
            b"meta",
            _NO_VERSION,
            _HDLR,
            box(b"ilst", box(b"----", box(b"mean", bytes(4), b"x"), box(b"name", bytes(4), b"comment"), _data(_BOTH))),
        ),
        box(b"\xa9cmt", struct.pack(">HH", len(_BOTH), 0x55C4), _BOTH.encode()),
    ],
)
def test_a_comment_is_found(content: bytes) -> None:
    assert embedded_in(_FTYP + box(b"moov", box(b"udta", content))).texts == {"comment": _BOTH}


def test_boxes_of_more_than_32_bits_and_to_the_end_of_the_file_are_known() -> None:
    moov = box(b"moov", box(b"udta", box(b"meta", _NO_VERSION, *_OWN)))
    large = struct.pack(">I4sQ", 1, b"mdat", 1016) + bytes(1000)

    assert embedded_in(_FTYP + large + b"\0\0\0\0" + moov[4:]).texts["prompt"] == PROMPT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_FTYP + box(b"mdat", bytes(1000))[:-1], "it ends in the middle of a box of 1008 bytes"),
        (_FTYP + struct.pack(">I4s", 7, b"moov"), "a box in it is too short"),
        (_FTYP + struct.pack(">I4sQ", 1, b"mdat", 15), "a box in it is too short"),
        (_FTYP + box(b"moov", box(b"udta", struct.pack(">I4s", 99, b"meta"))), "it ends in the middle of a box of 99 bytes"),
    ],
)
def test_damaged_boxes_are_told(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedFile, match=reason):
        embedded_in(data)


def _tag(name: str, text: str) -> bytes:
    return element("67c8", element("45a3", name.encode()), element("4487", text.encode()))


_HEAD = element("1a45dfa3", element("4282", b"webm"))
_PIXELS = element("1654ae6b", element("ae", element("e0", element("b0", b"\x40"), element("ba", b"\x30"))))
_TAGS = element(
    "1254c367", element("7373", element("63c0"), _tag("ENCODER", "Lavf"), _tag("PROMPT", PROMPT), _tag("WORKFLOW", WORKFLOW))
)
_CLUSTER = element("1f43b675", element("e7", b"\0"), element("a3", bytes(1000)))


@pytest.mark.parametrize("parts", [(_PIXELS, _TAGS, _CLUSTER), (_PIXELS, _CLUSTER, _CLUSTER, _TAGS)])
def test_tags_of_matroska_are_found(parts: tuple[bytes, ...]) -> None:
    embedded = embedded_in(_HEAD + element("18538067", *parts))

    assert (embedded.texts, embedded.size) == ({"prompt": PROMPT, "workflow": WORKFLOW}, (64, 48))


def test_lengths_that_are_not_known_do_no_harm() -> None:
    unknown = "01ffffffffffffff"
    live = bytes.fromhex("18538067" + unknown) + _PIXELS + bytes.fromhex("1f43b675ff") + element("e7", b"\0") + _CLUSTER + _TAGS

    assert embedded_in(_HEAD + live).texts == {"prompt": PROMPT, "workflow": WORKFLOW}


def test_both_in_one_comment_are_read() -> None:
    embedded = embedded_in(_HEAD + element("18538067", element("1254c367", element("7373", _tag("COMMENT", _BOTH)))))

    assert json.loads(embedded.texts["comment"]) == {"prompt": json.dumps(GRAPH), "workflow": UI, "CreationTime": "now"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_HEAD + element("18538067", _TAGS)[:-1], "it ends in the middle of an element"),
        (_HEAD + element("18538067", b"\0"), "it is not Matroska from that point on"),
        (_HEAD + element("18538067", bytes.fromhex("ecff")), "an element in it has no length"),
        (_HEAD + b"\x1f", "it ends in the middle of an element"),
    ],
)
def test_damaged_elements_are_told(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedFile, match=reason):
        embedded_in(data)
