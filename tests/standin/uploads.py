"""Input files: what ``/upload/image`` and ``/upload/mask`` take, and what LoadImage reads of it."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image

from tests.standin.graph import Graph
from tests.standin.state import State

FILE_NODES = ("LoadImage", "LoadImageMask")
"""The classes that read an input file, which they name as ``image``."""

_FOLDERS = ("input", "temp", "output")


def input_files(state: State, *, below: bool = False) -> list[str]:
    """Return the names of the files in the input folder, as LoadImage lists them; `below`, also of those in its folders."""
    root = state.files / "input"
    found = root.rglob("*") if below else root.iterdir()
    return sorted(path.relative_to(root).as_posix() for path in found if path.is_file())


def uploaded(state: State, post: Mapping[str, Any], *, masks: bool = False) -> web.Response:
    """Take a file, as server.py's ``image_upload`` does."""
    image = post.get("image")
    kind = post.get("type") or "input"
    if kind not in _FOLDERS:
        raise ValueError(f"no folder {kind}")  # the server's own bare 500, as the next one
    if isinstance(image, str) and image:
        raise AttributeError("a text has no file")
    if not isinstance(image, web.FileField) or not image.filename:
        return web.Response(status=400)
    root, subfolder = state.files / kind, str(post.get("subfolder", ""))
    folder = root / os.path.normpath(subfolder)
    path = Path(os.path.abspath(folder / image.filename))  # noqa: PTH100 - as the server does it
    if not path.is_relative_to(root):
        return web.Response(status=400)
    folder.mkdir(parents=True, exist_ok=True)
    data, name = image.file.read(), image.filename
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - of a name that may have folders
    number = 0
    compares = state.generation.compares_uploads
    while path.exists() and post.get("overwrite") not in ("true", "1") and not (compares and path.read_bytes() == data):
        number += 1
        name = f"{stem} ({number}){suffix}"
        path = folder / name
    if masks:
        _mask(state, json.loads(post["original_ref"]), image, path)
    else:
        path.write_bytes(data)
    return web.json_response({"name": name, "subfolder": subfolder, "type": kind})


def _mask(state: State, ref: Mapping[str, str], mask: web.FileField, path: Path) -> None:
    source = state.files / ref.get("type", "output") / ref.get("subfolder", "") / ref["filename"]
    if source.is_file():
        mask.file.seek(0)
        with Image.open(source) as original, Image.open(mask.file) as alpha:
            picture = original.convert("RGBA")
            picture.putalpha(alpha.convert("RGBA").getchannel("A"))
            picture.save(path)


def read(state: State, graph: Graph) -> Graph:
    """Return a graph in which each node that reads a file tells its content, as IS_CHANGED does, and its size in pixels."""
    found = copy.deepcopy(graph)
    for node in found.values():
        if node["class_type"] in FILE_NODES:
            path = state.files / "input" / str(node["inputs"]["image"])
            if path.is_file():
                with Image.open(path) as image:
                    width, height = image.size
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                node["inputs"] |= {"content": content, "width": width, "height": height}
    return found
