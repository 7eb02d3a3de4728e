"""The texts that EXIF has of how a picture was made.

ComfyUI writes ``prompt:{…}`` into tag 0x0110 of a WebP and ``workflow:{…}`` into 0x010F, further ones in descending tags (its
``comfy_api/latest/_ui.py``); other nodes use other tags in the same way. A1111 and Forge write their parameters into UserComment.
Pillow would leave out in silence what is damaged. The format is that of TIFF 6.0 and of EXIF, CIPA DC-008.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from comfy_runner.importer.readers.embedded import DamagedFile, Embedded, decoded

PREFIX: Final = b"Exif\0\0"

_SUB_DIRECTORY, _USER_COMMENT, _XP_COMMENT = 0x8769, 0x9286, 0x9C9C
_NAMES = {0x010E: "ImageDescription", 0x0131: "Software", _XP_COMMENT: "XPComment", _USER_COMMENT: "UserComment"}
_NAMED = re.compile(rb"\s{0,9}(prompt|workflow|parameters|comfy_runner)\s{0,9}:", re.IGNORECASE)
_OF_BYTES = (1, 2, 7, 129)  # types of values that may be texts: bytes, ASCII, undefined, UTF-8
_CODES = {b"ASCII\0\0\0": "utf-8", b"JIS\0\0\0\0\0": "iso2022_jp", b"UNICODE\0": "utf-16", b"\0" * 8: "utf-8"}
_CODE_LENGTH = 8


def read_exif(data: bytes, embedded: Embedded) -> None:
    """Gather the texts of EXIF.

    Args:
        data: From ``Exif``, or from the header of TIFF in it.
        embedded: Gets the texts.

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    data = data.removeprefix(PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise DamagedFile("its EXIF has no beginning")
    is_cut = False
    for tag, start, end in _entries(data, order):
        head = _NAMED.match(data, start, min(end, start + 99))
        if end > len(data):
            is_cut = is_cut or head is not None or tag in _NAMES
        elif head:
            embedded.add(head[1].decode(), data[head.end() : end])
        elif tag in _NAMES:
            embedded.add(_NAMES[tag], _text_of(tag, data[start:end]))
    if is_cut:
        raise DamagedFile("its EXIF ends in the middle of a text")


def _entries(data: bytes, order: str) -> Iterator[tuple[int, int, int]]:
    """Yield tag, start and end of each value that may be a text, in the first directory and in that of EXIF."""
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        waiting = [first]
        for at in waiting:
            (count,) = struct.unpack_from(f"{order}H", data, at)
            for place in range(at + 2, at + 2 + 12 * count, 12):
                tag, kind, length, value = struct.unpack_from(f"{order}HHII", data, place)
                if tag == _SUB_DIRECTORY and len(waiting) == 1:
                    waiting.append(value)
                elif kind in _OF_BYTES:
                    start = place + 8 if length <= 4 else value
                    yield tag, start, start + length
    except struct.error:
        raise DamagedFile("its EXIF ends in the middle of a directory") from None


def _text_of(tag: int, data: bytes) -> str:
    if tag == _XP_COMMENT:
        return _utf_16(data)
    return user_comment(data) if tag == _USER_COMMENT else decoded(data)


def user_comment(data: bytes) -> str:
    """Return the text of a UserComment: eight bytes that name its encoding, if they do, and the text.

    Programs do not agree on the byte order of ``UNICODE``: what looks like more letters is taken.
    """
    encoding = _CODES.get(data[:_CODE_LENGTH])
    if encoding is None:
        return decoded(data)
    rest = data[_CODE_LENGTH:]
    if encoding == "utf-16":
        return _utf_16(rest)
    try:
        return rest.decode(encoding)
    except UnicodeDecodeError:
        return decoded(rest)


def _utf_16(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    # Some programs say UNICODE, and write UTF-8.
    if b"\0" not in data.strip(b"\0"):
        return decoded(data)
    is_big = data[0::2].count(0) >= data[1::2].count(0)
    return data.decode("utf-16-be" if is_big else "utf-16-le", "replace")
