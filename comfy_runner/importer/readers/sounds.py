"""The texts of sounds: FLAC, Ogg (Opus, Vorbis) and MP3. ComfyUI writes ``prompt`` and ``workflow`` as tags of their own."""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

from comfy_runner.importer.readers.embedded import MOST_PARTS, MOST_TEXT, DamagedFile, Embedded, is_wanted, length_of, taken

FLAC: Final = b"fLaC"
_COMMENT_BLOCK = 4
_PACKETS: Final = {b"OpusTags": 8, b"\x03vorbis": 7, b"\x81theora": 7, b"\x84": 4, b"\x04": 4}  # how a packet of comments starts
_MOST_PACKETS = 16
_MOST_STREAMS = 16

_HEAD = 10
_UNSYNCHRONISED, _EXTENDED = 0x80, 0x40
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


def read_flac(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of a FLAC, https://www.rfc-editor.org/rfc/rfc9639.

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    _read_flac(file, 0, embedded)


def _read_flac(file: BinaryIO, start: int, embedded: Embedded) -> None:
    file.seek(start + len(FLAC))
    end = length_of(file)
    for _ in range(MOST_PARTS):
        head = int.from_bytes(taken(file, 4, what="its header"), "big")
        is_last, kind, length = head >> 31, head >> 24 & 0x7F, head & 0xFFFFFF
        if file.tell() + length > end:
            raise DamagedFile("it ends in the middle of its header")
        if kind == _COMMENT_BLOCK:
            _read_comments(taken(file, length, what="its comments"), embedded)
        else:
            file.seek(length, 1)
        if is_last:
            return


def _read_comments(data: bytes, embedded: Embedded) -> None:
    """Gather Vorbis comments: the name of a program, then ``NAME=text`` so many times, each with its length before it."""
    try:
        (length,) = struct.unpack_from("<I", data)
        at = 4 + length
        (count,) = struct.unpack_from("<I", data, at)
        at += 4
        for _ in range(min(count, MOST_PARTS)):
            (length,) = struct.unpack_from("<I", data, at)
            at += 4 + length
            if at > len(data):
                raise DamagedFile("it ends in the middle of its comments")
            name, _, text = data[at - length : at].partition(b"=")
            embedded.add(name.decode("latin-1"), text)
    except struct.error:
        raise DamagedFile("it ends in the middle of its comments") from None


def read_ogg(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of an Ogg, which are in one of the first packets, over as many pages as it takes.

    The formats: https://www.rfc-editor.org/rfc/rfc3533 and https://www.rfc-editor.org/rfc/rfc7845.

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    file.seek(0)
    streams: dict[bytes, bytearray] = {}
    packets = read = 0
    while packets < _MOST_PACKETS:
        head = taken(file, 27, what="a page")
        if not head.startswith(b"OggS"):
            raise DamagedFile("it is not Ogg from that point on")
        sizes = taken(file, head[26], what="a page")
        read += 27 + len(sizes) + sum(sizes)
        packet = streams.setdefault(head[14:18], bytearray())
        if read > MOST_TEXT or len(streams) > _MOST_STREAMS:
            raise DamagedFile(f"its comments are not in its first {MOST_TEXT >> 20} MiB")
        for size in sizes:
            packet += taken(file, size, what="a page")
            if size == 255:
                continue
            packets += 1
            for start, length in _PACKETS.items():
                if packet.startswith(start):
                    _read_comments(bytes(packet[length:]), embedded)
                    return
            packet.clear()


def read_mp3(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of an ID3 tag, of any of its versions 2: texts of the user's (TXXX) and comments (COMM).

    The format: https://id3.org/id3v2.4.0-structure. A FLAC may stand behind such a tag.

    Raises:
        DamagedFile: It is damaged; what was found before stays.
    """
    file.seek(0)
    head = taken(file, _HEAD, what="its tag")
    if not head.startswith(b"ID3"):
        return
    version, flags, length = head[3], head[5], _synchsafe(head[6:10])
    data = taken(file, length, what="its tag")
    if flags & _UNSYNCHRONISED and version < 4:
        data = data.replace(b"\xff\0", b"\xff")
    at = 0
    if flags & _EXTENDED and version > 2:
        at = _synchsafe(data[:4]) if version > 3 else int.from_bytes(data[:4], "big") + 4
    name_length, frame_head = (3, 6) if version == 2 else (4, 10)
    while at + frame_head <= len(data) and data[at] != 0:
        name, sizes = data[at : at + name_length], data[at + name_length : at + 2 * name_length]
        size = _synchsafe(sizes) if version > 3 else int.from_bytes(sizes, "big")
        frame = data[at + frame_head : at + frame_head + size]
        if len(frame) < size:
            raise DamagedFile("it ends in the middle of its tag")
        if version > 3:
            frame = _plain_frame(frame, data[at + 9])
        if name in (b"TXXX", b"TXX", b"COMM", b"COM"):
            _read_frame(frame, embedded, is_comment=name.startswith(b"C"))
        at += frame_head + size
    file.seek(_HEAD + length)
    if file.read(len(FLAC)) == FLAC:
        _read_flac(file, _HEAD + length, embedded)


def _plain_frame(frame: bytes, flags: int) -> bytes:
    """Return a frame of version 2.4 without what its flags say that was done to it."""
    if flags & 0x01:  # the length before
        frame = frame[4:]
    return frame.replace(b"\xff\0", b"\xff") if flags & 0x02 else frame


def _synchsafe(data: bytes) -> int:
    """Return a number of seven bits a byte."""
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value


def _read_frame(frame: bytes, embedded: Embedded, *, is_comment: bool) -> None:
    """Gather a frame: a byte for the encoding, of a comment three for its language, a name, a zero, the text."""
    if not frame or frame[0] >= len(_ENCODINGS):
        return
    encoding, rest = _ENCODINGS[frame[0]], frame[4:] if is_comment else frame[1:]
    name, text = _halves(rest, width=2 if "16" in encoding else 1)
    title = name.decode(encoding, "replace")
    if is_wanted(title) or is_comment:
        embedded.add(
            title if is_wanted(title) else "comment", text if encoding in ("utf-8", "latin-1") else text.decode(encoding, "replace")
        )


def _halves(data: bytes, *, width: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the first zero, which is as wide as a letter."""
    if width == 1:
        name, _, text = data.partition(b"\0")
        return name, text
    for at in range(0, min(len(data), 1024), 2):
        if data[at : at + 2] == b"\0\0":
            return data[:at], data[at + 2 :]
    return b"", data
