"""Drawings, latents and meshes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.importer.read import read_file
from comfy_runner.importer.readers.embedded import DamagedFile
from tests.importer.readers.support import GRAPH, PROMPT, UI, WORKFLOW, embedded_in

_BOTH = {"prompt": PROMPT, "workflow": WORKFLOW}


def _latent(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(16)


def _mesh(header: bytes, *, kind: bytes = b"JSON") -> bytes:
    return b"glTF" + struct.pack("<III", 2, 20 + len(header), len(header)) + kind + header


def test_a_latent_and_a_mesh_say_it_in_their_headers() -> None:
    tensor = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}

    assert embedded_in(_latent(json.dumps({"__metadata__": _BOTH, "latent": tensor}).encode())).texts == _BOTH
    assert embedded_in(_mesh(json.dumps({"asset": {"version": "2.0", "extras": _BOTH}}).encode())).texts == _BOTH


@pytest.mark.parametrize("start", ["", '<?xml version="1.0"?>\n<!-- x -->\n'])
def test_a_drawing_says_it_in_its_metadata(tmp_path: Path, start: str) -> None:
    told = json.dumps({"prompt": GRAPH, "workflow": UI}, indent=2)
    path = tmp_path / "x.svg"
    path.write_text(f'{start}<svg width="9">\n<metadata>\n <![CDATA[\n{told}\n]]>\n</metadata>\n<g/></svg>', encoding="utf-8")

    found = read_file(path)

    assert (found.graph, found.ui) == (GRAPH, UI)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_latent(b"{}")[:9], "it ends in the middle of its header"),
        (_latent(b"{nothing"), "its header is not JSON"),
        (_latent(b'{"\xff'), "its header is not JSON"),
        (_mesh(b"{}", kind=b"BIN\0"), "it does not begin with JSON"),
        (b"glTF", "it ends in the middle of its header"),
        (_mesh(b"{}")[:-1], "it ends in the middle of its header"),
        (b"<?xml version='1.0'?><html/>", "it is XML, but not a drawing"),
        (b"<svg>\xff", "it is not UTF-8 text"),
    ],
)
def test_damage_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedFile, match=reason):
        embedded_in(data)


def test_a_web_page_in_place_of_a_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_text("<!DOCTYPE html><html>log in</html>", encoding="utf-8")

    with pytest.raises(UsageError, match="is a web page, not a picture"):
        read_file(path)
