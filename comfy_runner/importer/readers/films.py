"""The texts of films: the boxes of MP4, MOV and M4A, and the elements of Matroska and WebM. Pictures and sounds are skipped.

ComfyUI's SaveVideo writes ``prompt`` and ``workflow`` as keys of their own (``moov/udta/meta/keys`` and ``ilst``, as QuickTime
does), SaveWEBM as tags, whose names ffmpeg writes in capitals. VideoHelperSuite writes one comment, which is JSON of both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

from comfy_runner.importer.readers.embedded import MOST_PARTS, DamagedFile, Embedded, is_wanted, length_of, taken

_COMMENTS: Final = {b"\xa9cmt": "comment", b"desc": "description", b"\xa9des": "description", b"ldes": "description"}
_MOST_NAME = 1024

# Elements of Matroska, https://www.matroska.org/technical/elements.html.
_SEGMENT, _CLUSTER, _TAGS, _TAG, _SIMPLE_TAG = 0x18538067, 0x1F43B675, 0x1254C367, 0x7373, 0x67C8
_NAME, _TEXT, _TRACKS, _TRACK, _VIDEO, _WIDTH, _HEIGHT = 0x45A3, 0x4487, 0x1654AE6B, 0xAE, 0xE0, 0xB0, 0xBA
_ENTERED = frozenset((_SEGMENT, _TAGS, _TAG, _SIMPLE_TAG, _TRACKS, _TRACK, _VIDEO))


def read_boxes(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of an MP4, MOV or M4A (ISO 14496-12, and QuickTime's metadata).

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    _Boxes(file, embedded).read()


class _Boxes:
    """The boxes of a film; how many there may be is counted for all of them together."""

    def __init__(self, file: BinaryIO, embedded: Embedded) -> None:
        self._file = file
        self._embedded = embedded
        self._left = MOST_PARTS

    def read(self) -> None:
        for start, end in self._inside(0, length_of(self._file), b"moov"):
            for kind, first, last in self._boxes(start, end):
                if kind == b"trak":
                    for place in self._inside(first, last, b"tkhd"):
                        self._measure(*place)
                elif kind == b"meta":
                    self._read_meta(first, last)
                elif kind == b"udta":
                    self._read_user_data(first, last)

    def _boxes(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield kind, start and end of the content of each box in a part of the file."""
        while start + 8 <= end:
            self._left -= 1
            if self._left < 0:
                raise DamagedFile(f"it has more than {MOST_PARTS} boxes")
            self._file.seek(start)
            length, kind = struct.unpack(">I4s", taken(self._file, 8, what="its boxes"))
            content = start + 8
            if length == 1:
                (length,) = struct.unpack(">Q", taken(self._file, 8, what="its boxes"))
                content += 8
            stop = end if length == 0 else start + length
            if stop < content or stop > end:
                raise DamagedFile(f"it ends in the middle of a box of {length} bytes" if stop > end else "a box in it is too short")
            yield kind, content, stop
            start = stop

    def _inside(self, start: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
        return ((first, last) for kind, first, last in self._boxes(start, end) if kind == wanted)

    def _bytes(self, start: int, end: int, *, most: int | None = None) -> bytes:
        self._file.seek(start)
        return taken(self._file, end - start, what="a text", most=self._embedded.room if most is None else most)

    def _measure(self, start: int, end: int) -> None:
        data = self._bytes(start, min(end, start + 96))
        at = 88 if data[:1] == b"\1" else 76
        if len(data) >= at + 8:
            width, height = struct.unpack_from(">II", data, at)
            self._embedded.measure(width >> 16, height >> 16)

    def _read_user_data(self, start: int, end: int) -> None:
        for kind, first, last in self._boxes(start, end):
            if kind == b"meta":
                self._read_meta(first, last)
            elif kind in _COMMENTS:
                # QuickTime's own: two bytes of length, two of language.
                self._embedded.add(_COMMENTS[kind], self._bytes(first, last)[4:])

    def _read_meta(self, start: int, end: int) -> None:
        # In MP4 it has a version before its boxes, in QuickTime it has none.
        is_plain = self._bytes(start, min(end, start + 8))[4:8] in (b"hdlr", b"keys", b"ilst")
        names: list[str] = []
        for kind, first, last in self._boxes(start if is_plain else start + 4, end):
            if kind == b"keys":
                names = [self._name(*place) for _, *place in self._boxes(first + 8, last)]
            elif kind == b"ilst":
                for item, *place in self._boxes(first, last):
                    self._read_item(item, *place, names=names)

    def _name(self, start: int, end: int) -> str:
        return self._bytes(start, min(end, start + _MOST_NAME)).decode("utf-8", "replace")

    def _read_item(self, item: bytes, start: int, end: int, *, names: list[str]) -> None:
        number = int.from_bytes(item, "big")
        name = _COMMENTS.get(item) or (names[number - 1] if 0 < number <= len(names) else "")
        for kind, first, last in self._boxes(start, end):
            if kind == b"name":
                name = self._name(first + 4, last)
            elif kind == b"data" and is_wanted(name):
                self._embedded.add(name, self._bytes(first + 8, last))


def read_matroska(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of a Matroska film or sound, or a WebM.

    Elements are walked through as they come, without regard to which is inside which: a text belongs to the name beside it.

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    file.seek(0)
    end = length_of(file)
    name, width = "", 0
    for _ in range(MOST_PARTS):
        if file.tell() >= end:
            return
        element, length = _number(file, keeps_mark=True), _number(file, keeps_mark=False)
        if element == _SIMPLE_TAG:
            name = ""
        if element in _ENTERED or (element == _CLUSTER and length is None):
            continue
        start = file.tell()
        if length is None or start + length > end:
            raise DamagedFile("it ends in the middle of an element" if length else "an element in it has no length")
        if element == _NAME:
            name = taken(file, min(length, _MOST_NAME), what="a name").decode("utf-8", "replace")
        elif element == _TEXT and is_wanted(name):
            embedded.add(name, taken(file, length, what="a text", most=embedded.room))
        elif element in (_WIDTH, _HEIGHT):
            pixels = int.from_bytes(taken(file, min(length, 4), what="its size"), "big")
            if element == _HEIGHT:
                embedded.measure(width, pixels)
            width = pixels
        file.seek(start + length)
    raise DamagedFile(f"it has more than {MOST_PARTS} elements")


def _number(file: BinaryIO, *, keeps_mark: bool) -> int | None:
    """Return a number of EBML: the zeros before its first one say how many bytes it has. None for a length that is not known."""
    first = taken(file, 1, what="an element")[0]
    count = 8 - first.bit_length()
    if count > 7:
        raise DamagedFile("it is not Matroska from that point on")
    rest = taken(file, count, what="an element")
    value = int.from_bytes(bytes([first if keeps_mark else first & (0x7F >> count)]) + rest, "big")
    return value if keeps_mark or value != (1 << 7 * (count + 1)) - 1 else None
