"""Texts of PNG files, wherever and however they stand in them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy_runner.errors import UsageError
from comfy_runner.importer.read import read_file
from comfy_runner.importer.readers.embedded import DamagedFile, Embedded
from comfy_runner.importer.readers.png import read_png

_GRAPH = {"1": {"class_type": "A", "inputs": {"text": "Fjord, 日本 🌲"}}}


def _picture(*chunks: tuple[bytes, bytes], before: bool = False) -> bytes:
    """Return a PNG with more chunks behind its pixels, or before them."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "PNG")
    data = buffer.getvalue()
    at = data.index(b"IDAT" if before else b"IEND") - 4
    return data[:at] + b"".join(_chunk(*chunk) for chunk in chunks) + data[at:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _read(data: bytes) -> Embedded:
    embedded = Embedded()
    read_png(io.BytesIO(data), embedded)
    return embedded


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iTXt compressed", "comf"])
def test_each_kind_of_text_is_read(kind: str, escaped: bool, before: bool) -> None:
    text = json.dumps(_GRAPH, ensure_ascii=escaped).encode()
    name, data = {
        "tEXt": (b"tEXt", b"prompt\0" + text),
        "zTXt": (b"zTXt", b"prompt\0\0" + zlib.compress(text)),
        "iTXt": (b"iTXt", b"prompt\0\0\0en\0Prompt\0" + text),
        "iTXt compressed": (b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(text)),
        "comf": (b"comf", b"prompt\0" + text),
    }[kind]

    embedded = _read(_picture((name, data), before=before))

    assert json.loads(embedded.texts["prompt"]) == _GRAPH
    assert embedded.size == (64, 48)
    assert embedded.damage == ""


def test_latin_1_is_read_where_it_is_not_utf_8() -> None:
    assert _read(_picture((b"tEXt", b"parameters\0caf\xe9"))).texts == {"parameters": "café"}


def test_what_does_not_matter_is_not_kept() -> None:
    assert _read(_picture((b"tEXt", b"Software\0GIMP"), (b"tEXt", b"date\0today"))).texts == {"software": "GIMP"}


def test_pillow_and_we_read_the_same(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("parameters", "Fjord 🌲", zip=True)
    info.add_itxt("workflow", json.dumps({"nodes": [], "links": []}))
    info.add_text("prompt", json.dumps(_GRAPH))
    path = tmp_path / "x.png"
    Image.new("RGB", (64, 48)).save(path, pnginfo=info)

    with Image.open(path) as image:
        assert read_file(path).parameters == image.info["parameters"] == "Fjord 🌲"
    assert (read_file(path).graph, read_file(path).ui) == (_GRAPH, {"nodes": [], "links": []})


def test_texts_behind_the_end_are_read() -> None:
    text = _chunk(b"tEXt", b"workflow\0{}")

    assert _read(_picture() + text + b"\0").texts == {"workflow": "{}"}
    assert _read(_picture() + text + b"and something else").texts == {"workflow": "{}"}
    assert _read(_picture() + text[:-1]).damage == ""


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    data = _picture((b"tEXt", b"prompt\0" + json.dumps(_GRAPH).encode()))
    path = tmp_path / "x.png"
    path.write_bytes(data.replace(b"Fjord", b"Fiord"))

    (note,) = read_file(path).notes

    assert note.what == "may be damaged: the checksum of one of its texts is wrong; its metadata could be read"


def test_a_truncated_picture_gives_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(_picture((b"tEXt", b"prompt\0" + json.dumps(_GRAPH).encode()), before=True)[:-30])

    found = read_file(path)

    assert found.graph == _GRAPH
    assert "is damaged: it ends in the middle of" in found.notes[0].what


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_picture((b"tEXt", b"prompt\0{}"))[:-40], "it ends in the middle of"),
        (_picture((b"zTXt", b"prompt\0\0nothing")), "one of its compressed texts cannot be read"),
        (_picture((b"zTXt", b"prompt\0\0" + zlib.compress(bytes(70 << 20)))), "it has more than 64 MiB of text"),
        (b"\x89PNG\r\n\x1a\n", "it ends in the middle of its chunks"),
    ],
)
def test_damage_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedFile, match=reason):
        _read(data)


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([], "contains no workflow: neither ComfyUI's (prompt, workflow) nor A1111's (parameters)"),
        (
            [(b"tEXt", b'prompt\0{"1": {')],
            "contains no workflow that can be read: its text prompt is not JSON "
            '(expecting property name enclosed in double quotes, line 1 column 8; got "{\\"1\\": {")',
        ),
        (
            [(b"tEXt", b"prompt\0a cat")],
            'contains no workflow that can be read: its text prompt is not JSON (expecting value, line 1 column 1; got "a cat")',
        ),
        (
            [(b"tEXt", b'parameters\0{"model": "x"}')],
            "contains no workflow that can be read: its text parameters contains JSON of another program "
            '(got "{\\"model\\": \\"x\\"}")',
        ),
        ([(b"tEXt", b"invokeai_metadata\0{}")], "was made by InvokeAI, whose metadata is not read"),
        ([(b"tEXt", b'parameters\0{"sui_image_params": {"prompt": "a cat"}}')], "was made by SwarmUI, whose metadata is not read"),
        (
            [(b"tEXt", b"Software\0NovelAI"), (b"tEXt", b'Comment\0{"prompt": "x"}')],
            "was made by NovelAI, whose metadata is not read",
        ),
    ],
)
def test_a_picture_without_a_workflow_says_why(tmp_path: Path, chunks: list[tuple[bytes, bytes]], reason: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(_picture(*chunks))

    with pytest.raises(UsageError) as caught:
        read_file(path)

    assert (caught.value.problems[0].what, caught.value.problems[0].where.endswith("x.png")) == (reason, True)
    assert caught.value.problems[0].hint


def test_a_broken_prompt_leaves_the_workflow(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(_picture((b"tEXt", b"prompt\0{"), (b"tEXt", b'workflow\0{"nodes": [], "links": []}')))

    found = read_file(path)

    assert (found.graph, found.ui) == (None, {"nodes": [], "links": []})
    assert found.notes[0].what.startswith("its text prompt is not JSON")
