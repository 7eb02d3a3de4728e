"""What the tests of readers share: a graph and a workflow that are not easy to write, and files made by hand."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

from comfy_runner.importer.readers.embedded import Embedded
from comfy_runner.importer.readers.kinds import reader_of

GRAPH: dict[str, Any] = {"1": {"class_type": "A", "inputs": {"text": 'Fjord, 日本 🌲 = ; "# \\ \n'}}}
UI: dict[str, Any] = {"nodes": [], "links": [], "version": 0.4}
PROMPT, WORKFLOW = json.dumps(GRAPH), json.dumps(UI)
PARAMETERS = "a lake, {dawn|dusk} 日本\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"


def embedded_in(data: bytes) -> Embedded:
    """Return what the reader for such a file finds in it."""
    reader, embedded = reader_of(data[:64]), Embedded()
    assert reader
    reader(io.BytesIO(data), embedded)
    return embedded


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box of MP4."""
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def element(number: str, *parts: bytes) -> bytes:
    """Return an element of Matroska, whose id is given in hex."""
    content = b"".join(parts)
    return bytes.fromhex(number) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def comments(*texts: str) -> bytes:
    """Return Vorbis comments."""
    parts = [text.encode() for text in ("a program", *texts)]
    packed = [struct.pack("<I", len(part)) + part for part in parts]
    return packed[0] + struct.pack("<I", len(texts)) + b"".join(packed[1:])
