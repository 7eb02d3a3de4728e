"""Users' files that mean harm: each is read or refused in our own words, in little time and memory, whatever it says of itself."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from comfy_runner.errors import ComfyRunnerError, UsageError
from comfy_runner.importer.found import Found
from comfy_runner.importer.read import is_importable, read_file
from tests.hostile.tally import survives
from tests.hostile.test_pictures import BOMBS, chunk, png, zeros
from tests.hostile.values import TEXTS, deep, mangled, seeded, spoiled
from tests.importer.readers.support import GRAPH, PROMPT, UI, WORKFLOW, box, comments, element

_MIB = 1 << 20
_SECONDS = 20.0  # on a machine that is busy with other things


def _exif(*entries: tuple[int, int, int, int], text: bytes = b"") -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + text


def _jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data for data in segments) + b"\xff\xd9"


def _nested(kind: bytes, levels: int) -> bytes:
    heads = (struct.pack(">I4s", 8 * (levels - level), kind) for level in range(levels))
    return box(b"ftyp", b"isom") + box(b"moov", b"".join(heads))


def _page(packet: bytes) -> bytes:
    return b"OggS" + bytes(22) + bytes([255]) + b"\xff" * 255 + packet.ljust(255 * 255, b"x")


_BOMBS: dict[str, Callable[[], bytes]] = {
    "a prompt of zeros": lambda: png(64, 48, chunk(b"zTXt", b"prompt\0\0" + zeros(120))),
    "many prompts of zeros": lambda: png(64, 48, chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(900_000))) * 300),
    "an international prompt of zeros": lambda: png(64, 48, chunk(b"iTXt", b"prompt\0\1\0\0\0" + zeros(120))),
    "a prompt of lists": lambda: png(64, 48, chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"[" * 12 * _MIB))),
    "a prompt of many values": lambda: png(64, 48, chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"[" + b"[]," * 3 * _MIB + b"1]"))),
    "a prompt of one number": lambda: png(64, 48, chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"1" * 12 * _MIB))),
    "a workflow of white space": lambda: png(64, 48, chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b" " * 12 * _MIB + b"{"))),
    "parameters of nothing": lambda: png(64, 48, chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"\nSteps: 1" * _MIB))),
    "parameters of line ends": lambda: png(64, 48, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" + b"\n" * 3 * _MIB + b"x"))),
    "parameters of tabs": lambda: png(64, 48, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" + b"\n\t\t" * _MIB + b"x"))),
    "many chunks": lambda: png(1, 1, chunk(b"tEXt", b"x\0y") * 300_000),
    "exif that names one text often": lambda: _jpeg(_exif(*[(0x010F, 2, 40_000, 24_010)] * 2000, text=b"prompt:" + b"x" * 40_000)),
    "exif in itself": lambda: _jpeg(_exif((0x8769, 4, 1, 8), (0x8769, 4, 1, 8))),
    "exif of negative offsets": lambda: _jpeg(_exif((0x9286, 7, 2**32 - 1, 2**32 - 1))),
    "many pieces of exif": lambda: _jpeg(_exif((0x9286, 7, 2**24, 26), text=b"UNICODE\0"), *[b"Exif\0\0" + b"x" * 65_000] * 500),
    "boxes in boxes": lambda: _nested(b"moov", 100_000),
    "metadata in metadata": lambda: _nested(b"meta", 100_000),
    "user data in user data": lambda: _nested(b"udta", 100_000),
    "many boxes": lambda: box(b"ftyp", b"isom") + box(b"free") * 300_000,
    "a box without end": lambda: box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"moov", 2**64 - 1),
    "a key of 4 GiB": lambda: box(b"ftyp") + box(b"moov", box(b"meta", box(b"keys", bytes(8), b"\xff\xff\xff\xffmdta"))),
    "elements in elements": lambda: element("1a45dfa3") + bytes.fromhex("18538067ff" + "67c8ff" * 300_000),
    "many elements": lambda: element("1a45dfa3") + bytes.fromhex("18538067ff") + b"\xec\x80" * 300_000,
    "an element of 2^56 bytes": lambda: element("1a45dfa3") + bytes.fromhex("18538067ff4487") + b"\1" + b"\xff" * 6 + b"\xfe",
    "a flac of empty blocks": lambda: b"fLaC" + bytes(4) * 300_000,
    "comments without end": lambda: b"fLaC\x84\0\0\x0c" + struct.pack("<III", 0, 2**32 - 1, 2**32 - 1),
    "an ogg without end": lambda: _page(b"OpusTags") * 1100,
    "many oggs in one": lambda: b"".join(_page(b"")[:14] + struct.pack("<I", n) + _page(b"")[18:] for n in range(1000)),
    "a tag of frames": lambda: b"ID3\3\0\0\0\x7f\x7f\x7f" + b"TXXX\0\0\0\0\0\0" * 210_000,
    "a tag with a name without end": lambda: b"ID3\3\0\0\0\x7f\x7f\x7fTXXX\0\x1f\0\0\0\0\1" + b"xx" * 1_048_576,
    "a header of 100 MB": lambda: struct.pack("<Q", 99_999_999) + b"{" + bytes(1000),
    "a deep header": lambda: struct.pack("<Q", 600_001) + deep(100_000, obj=True).encode(),
    "a mesh of 4 GiB": lambda: b"glTF" + struct.pack("<III", 2, 2**32 - 1, 2**32 - 1) + b"JSON{}",
    "a drawing of entities": lambda: b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "&b;&b;">]><svg>&a;</svg>',
    "a drawing of metadata": lambda: b"<svg>" + b"<metadata" * 500_000,
    "a drawing of white space": lambda: b"<svg>" + (b"<metadata>" + b" " * 1000) * 5_000,
    "deep lists": lambda: deep(100_000).encode(),
    "deep objects": lambda: deep(100_000, obj=True).encode(),
    "deep prompts": lambda: b'{"prompt":' * 90 + b"{}" + b"}" * 90,
    "prompts in texts": lambda: _in_texts(12),
    "a number of 5 MB": lambda: b'{"1": {"class_type": "A", "inputs": {"seed": ' + b"9" * 5_000_000 + b"}}}",
    "half a text in UTF-16": lambda: b"\xff\xfe{\0}",
    "lone surrogates": lambda: b'{"\\ud800": {"class_type": "\\udfff", "inputs": {"\\ud800": "\\ud800"}}}',
    "equal keys": lambda: b"{" + b'"1": {"class_type": "A", "inputs": {}},' * 100_000 + b'"1": {"class_type": "A", "inputs": {}}}',
    "names that a terminal obeys": lambda: b'{"\\u001b[2J": 1, "1": {"class_type": "A", "inputs": {}}}',
}  # fmt: skip


def _in_texts(levels: int) -> bytes:
    text = PROMPT
    for _ in range(levels):
        text = json.dumps({"prompt": text})
    return text.encode()


def _read(path: Path) -> Found | ComfyRunnerError:
    is_importable(path)
    found = survives("imported files", lambda: read_file(path))
    assert isinstance(found, Found | UsageError)
    if isinstance(found, Found):
        json.dumps([found.graph, found.ui, found.about, found.parameters], ensure_ascii=False, allow_nan=False).encode("utf-8")
    return found


@pytest.mark.parametrize("name", _BOMBS)
def test_a_bomb_is_read_or_refused_in_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(_BOMBS[name]())
    start = time.monotonic()

    _read(path)

    assert time.monotonic() - start < _SECONDS


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_no_picture_holds_no_workflow(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(BOMBS[name]())

    assert isinstance(_read(path), UsageError)


def test_a_film_of_many_gigabytes_is_not_read(tmp_path: Path) -> None:
    moov = box(b"moov", box(b"udta", box(b"\xa9cmt", bytes(4), json.dumps({"prompt": GRAPH}).encode())))
    tags = element("1254c367", element("7373", element("67c8", element("45a3", b"PROMPT"), element("4487", PROMPT.encode()))))
    length = 40 << 30
    for before, after in [
        (box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 16 + length), moov),
        (element("1a45dfa3") + bytes.fromhex("1853806701ffffffffffffff1f43b675") + (length | 1 << 56).to_bytes(8, "big"), tags),
    ]:
        path = tmp_path / "film"
        with path.open("wb") as file:
            file.write(before)
            file.seek(length, os.SEEK_CUR)
            file.write(after)
        tracemalloc.start()
        try:
            found = _read(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert isinstance(found, Found)
        assert found.graph == GRAPH
        assert peak < _MIB
        path.unlink()


@pytest.mark.parametrize(
    "start", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"\0\0\0\x0cftypavif"]
)
def test_a_file_of_many_gigabytes_of_nothing_is_refused(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(40 << 30)

    assert isinstance(_read(path), UsageError)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_nobody_is_waited_for_at_a_pipe(tmp_path: Path) -> None:
    for name in ("x.json", "x.png"):
        os.mkfifo(tmp_path / name)

        assert isinstance(_read(tmp_path / name), UsageError)


@pytest.mark.parametrize("text", TEXTS)
def test_nasty_texts_are_read_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.png"
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(data)
    _read(path)
    for name in (b"prompt", b"workflow", b"parameters", b"comfy_runner", b"Comment", b"Software"):
        path.write_bytes(png(64, 48, chunk(b"tEXt", name + b"\0" + data)))
        _read(path)


def _sounds() -> bytes:
    packet = b"OpusTags" + comments(f"prompt={PROMPT}")
    return b"OggS" + bytes(22) + bytes([2, 255, len(packet) - 255]) + packet if len(packet) > 255 else _page(packet)


def _picture(kind: str) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0110], exif[0x010F] = f"prompt:{PROMPT}", f"workflow:{WORKFLOW}"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "Steps: 20, Sampler: Euler".encode("utf-16-be")
    Image.new("RGB", (64, 48)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


_WHOLE: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(
        64, 48, chunk(b"tEXt", b"prompt\0" + PROMPT.encode()), chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"{}"))
    ),
    "jpeg": lambda: _picture("JPEG"),
    "webp": lambda: _picture("WEBP"),
    "boxes": lambda: (
        box(b"ftyp") + box(b"moov", box(b"trak", box(b"tkhd", bytes(84))), box(b"udta", box(b"\xa9cmt", bytes(4), b"{}")))
    ),
    "matroska": lambda: (
        element("1a45dfa3")
        + element("18538067", element("1254c367", element("67c8", element("45a3", b"PROMPT"), element("4487", PROMPT.encode()))))
    ),
    "flac": lambda: b"fLaC\x84" + len(comments(f"prompt={PROMPT}")).to_bytes(3, "big") + comments(f"prompt={PROMPT}"),
    "ogg": _sounds,
    "mp3": lambda: b"ID3\4\0\0\0\0\1\x7fTXXX\0\0\0\x20\0\0\3prompt\0" + PROMPT.encode(),
    "latent": lambda: struct.pack("<Q", 40) + json.dumps({"__metadata__": {"prompt": "{}"}}).encode() + bytes(9),
    "json": lambda: json.dumps({"prompt": GRAPH, "workflow": UI}).encode(),
    "text": lambda: b"a lake\nNegative prompt: x\nSteps: 20, Sampler: Euler a, Seed: 1",
}


@pytest.mark.parametrize("kind", _WHOLE)
def test_a_mangled_file_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    path, whole = tmp_path / "x", _WHOLE[kind]()
    for seed in range(80):
        with seeded((kind, seed)) as dice:
            path.write_bytes(mangled(dice, whole) if seed else whole)
            _read(path)
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        _read(path)


def test_spoiled_documents_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    keys = ["prompt", "workflow", "output", "nodes", "links", "class_type", "inputs", "comfy_runner", "extra_data", "extra_pnginfo"]
    sound = {"prompt": [1, "id", GRAPH, {"extra_pnginfo": {"workflow": UI, "comfy_runner": {}}}], "1": {"prompt": [1, "x", GRAPH]}}
    for seed in range(400):
        with seeded(seed) as dice:
            path.write_text(json.dumps(spoiled(dice, sound, keys)), encoding="utf-8")
            _read(path)
