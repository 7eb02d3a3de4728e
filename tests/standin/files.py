"""Files: what SaveImage writes and what ``/view`` serves, well or badly."""

from __future__ import annotations

import asyncio
import io
import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.standin.faults import ViewFault
from tests.standin.graph import Graph, Made, make_all, picture
from tests.standin.state import State
from tests.standin.uploads import read

_SLOW_CHUNK = 2048
_SLOW_SECONDS = 0.002


class SaveError(Exception):
    """SaveImage refuses a prefix or the disk refuses the name: the prompt fails while it runs."""


def save(state: State, graph: Graph, node_id: str, made: Made, extra: dict[str, Any]) -> dict[str, Any] | None:
    """Write the pictures of a SaveImage or PreviewImage and return its output, as frames and history tell it; of others, texts.

    None of what tells of nothing.
    """
    if graph[node_id]["class_type"] == "PreviewAny":
        source = graph[node_id]["inputs"]["source"]
        return {"text": [str(graph[source[0]]["inputs"].get("value")) if isinstance(source, list) else str(source)]}
    if graph[node_id]["class_type"] == "SaveFilm":
        return _film(state, graph[node_id]["inputs"], json.dumps(graph))
    try:
        folder, stem, kind = _place(state, graph, node_id, made)
        chunks = _chunks(graph, extra)
        images = []
        silent = graph[node_id]["class_type"] == "SaveSilently"
        for number in range(made.count):
            fixed = graph[node_id]["class_type"] == "SaveFixed"
            name = f"{stem}-{number}.png" if fixed else _free_name(folder, stem)
            path = (folder / name).with_suffix(".safetensors" if silent else ".png")
            image = picture(made, number) if state.pictures is None else state.pictures(graph, node_id)
            image.save(path, "PNG", pnginfo=chunks, compress_level=1)
            subfolder = folder.relative_to(state.files / kind).as_posix()
            subfolder = "" if subfolder == "." else subfolder
            subfolder = subfolder.replace("/", "\\") if state.windows else subfolder
            images.append({"filename": state.output_names.get(node_id, name), "subfolder": subfolder, "type": kind})
    except (OSError, ValueError) as error:
        raise SaveError(str(error)) from error
    return None if silent else {"images": images}


def _film(state: State, inputs: dict[str, Any], content: str) -> dict[str, Any]:
    """Write a file of any kind, which differs for every graph, and tell of it as the graph says."""
    if "kind" in inputs:
        path = state.files / inputs["kind"] / inputs["told"].removesuffix(" [temp]")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0film of " + content.encode())
    return {inputs["key"]: [inputs["told"]]}


def tear(state: State) -> None:
    """Write a part of the file that the running prompt would save next, as a server does that dies meanwhile."""
    for _number, prompt_id, graph, extra, outputs in state.memory.running:
        saved = {ran.node_id for ran in state.ran if ran.prompt_id == prompt_id}
        unsaved = [node_id for node_id in outputs if node_id not in saved and graph[node_id]["class_type"] == "SaveImage"]
        if unsaved:
            made = make_all(read(state, graph))[unsaved[0]]
            folder, stem, _kind = _place(state, graph, unsaved[0], made)
            data = io.BytesIO()
            picture(made, 0).save(data, "PNG", pnginfo=_chunks(graph, extra), compress_level=1)
            (folder / _free_name(folder, stem)).write_bytes(data.getvalue()[: len(data.getvalue()) // 2])


def _place(state: State, graph: Graph, node_id: str, made: Made) -> tuple[Path, str, str]:
    """Return the folder, the start of the name and the kind of what a node saves."""
    node = graph[node_id]
    kind = "temp" if node["class_type"] == "PreviewImage" else "output"
    prefix = str(node["inputs"].get("filename_prefix", f"ComfyUI_temp_{node_id}"))
    if node["class_type"] == "SaveFixed":
        prefix = str(node["inputs"]["filename"])
    prefix = prefix.replace("%width%", str(made.width)).replace("%height%", str(made.height))
    subfolder, stem = posixpath.split(posixpath.normpath(prefix) if prefix else "")
    root = state.files / kind
    folder = root / subfolder
    if not os.path.abspath(folder).startswith(str(root)):  # noqa: PTH100 - as the server compares them
        raise SaveError("Saving image outside the output folder is not allowed.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder, stem, kind


def _free_name(folder: Path, stem: str) -> str:
    taken = [int(match[1]) for path in folder.iterdir() if (match := re.match(re.escape(stem) + r"_(\d+)_?", path.name))]
    return f"{stem}_{max(taken, default=0) + 1:05}_.png"


def _chunks(graph: Graph, extra: dict[str, Any]) -> PngInfo:
    chunks = PngInfo()
    chunks.add_text("prompt", json.dumps(graph))
    for key, value in (extra.get("extra_pnginfo") or {}).items():
        chunks.add_text(key, json.dumps(value))
    return chunks


async def view(state: State, request: web.Request) -> web.StreamResponse:
    """Serve ``/view``."""
    query = request.query
    name = query.get("filename", "")
    kind = query.get("type", "output")
    if "filename" not in query:
        return web.Response(status=404)
    if not name or name.startswith("/") or ".." in name or kind not in ("output", "temp", "input"):
        return web.Response(status=400)
    root = state.files / kind
    subfolder = query.get("subfolder", "")
    folder = root / (subfolder.replace("\\", "/") if state.windows else subfolder)
    if not os.path.abspath(folder).startswith(str(root)):  # noqa: PTH100 - as the server compares them
        return web.Response(status=403)
    path = folder / posixpath.basename(name)
    if "\0" in str(path) or len(path.name) > 255 or not path.is_file():
        return web.Response(status=404)
    if state.view_fault is not None and state.view_fault_times and request.method == "GET":
        state.view_fault_times -= 1
        return await _badly(state.view_fault, path.read_bytes(), request)
    # Not FileResponse: a connection that is aborted during asyncio's sendfile is never closed (CPython 3.11).
    headers = {"Content-Type": "image/png", "Content-Disposition": f'filename="{path.name}"'}
    return web.Response(body=path.read_bytes(), headers=headers)


async def _badly(fault: ViewFault, data: bytes, request: web.Request) -> web.StreamResponse:
    match fault:
        case ViewFault.HTML:
            return web.Response(text="<html><body>please log in</body></html>", content_type="text/html")
        case ViewFault.GARBAGE:
            return web.Response(body=bytes(range(256)), content_type="image/png")
        case ViewFault.CUT:
            return web.Response(body=data[: len(data) // 2], content_type="image/png")
        case ViewFault.OTHER_SIZE:
            return web.Response(body=_png(Image.open(io.BytesIO(data)).resize((24, 16))), content_type="image/png")
        case ViewFault.FLAT:
            return web.Response(body=_png(Image.new("RGB", Image.open(io.BytesIO(data)).size)), content_type="image/png")
        case _:
            return await _stream(fault, data, request)


async def _stream(fault: ViewFault, data: bytes, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    response.content_length = len(data)
    await response.prepare(request)
    if fault is ViewFault.TRUNCATED:
        await response.write(data[: len(data) // 2])
        if request.transport is not None:
            request.transport.close()
        return response
    for start in range(0, len(data), _SLOW_CHUNK):
        await response.write(data[start : start + _SLOW_CHUNK])
        await asyncio.sleep(_SLOW_SECONDS)
    return response


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
