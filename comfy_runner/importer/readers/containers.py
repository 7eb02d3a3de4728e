"""The texts of what else ComfyUI saves: SVG, latents and models (safetensors), and meshes (GLB)."""

from __future__ import annotations

import re
import struct
from typing import Any, BinaryIO

from comfy_runner.importer.readers.embedded import MOST_TEXT, DamagedFile, Embedded, length_of, taken
from comfy_runner.importer.readers.json_values import NoJson, parse_json

_CDATA = re.compile(r"<metadata\b[^<>]{0,1000}>\s{0,1000}<!\[CDATA\[")
_DRAWING = re.compile(r"<svg\b", re.IGNORECASE)


def read_svg(file: BinaryIO, embedded: Embedded) -> None:
    """Gather what ComfyUI's SaveSVGNode writes: JSON of all texts, as character data in ``<metadata>``.

    Raises:
        DamagedFile: It is no SVG, or damaged.
    """
    try:
        text = file.read(MOST_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DamagedFile("it is not UTF-8 text") from None
    if not _DRAWING.search(text):
        raise DamagedFile("it is XML, but not a drawing")
    start = _CDATA.search(text)
    if start:
        end = text.find("]]>", start.end())
        embedded.add("comment", text[start.end() : end] if end >= 0 else text[start.end() :])


def read_safetensors(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of a latent or a model: ``__metadata__`` in the JSON at its beginning.

    Raises:
        DamagedFile: It is damaged.
    """
    (length,) = struct.unpack("<Q", taken(file, 8, what="its header"))
    _add_all(_json(taken(file, length, what="its header")).get("__metadata__"), embedded)


def read_glb(file: BinaryIO, embedded: Embedded) -> None:
    """Gather the texts of a mesh: ``asset.extras`` in the JSON at its beginning.

    Raises:
        DamagedFile: It is damaged.
    """
    head = taken(file, 20, what="its header")
    if head[16:20] != b"JSON":
        raise DamagedFile("it does not begin with JSON, as a GLB does")
    (length,) = struct.unpack_from("<I", head, 12)
    if length > length_of(file):
        raise DamagedFile("it ends in the middle of its header")
    asset = _json(taken(file, length, what="its header")).get("asset")
    _add_all(asset.get("extras") if isinstance(asset, dict) else None, embedded)


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = parse_json(data.decode("utf-8"))
    except (UnicodeDecodeError, NoJson) as error:
        reason = str(error) if isinstance(error, NoJson) else "not UTF-8"
        raise DamagedFile(f"its header is not JSON ({reason})") from None
    return value if isinstance(value, dict) else {}


def _add_all(texts: Any, embedded: Embedded) -> None:
    for name, text in texts.items() if isinstance(texts, dict) else ():
        if isinstance(text, str):
            embedded.add(name, text)
