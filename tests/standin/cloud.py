"""Comfy Cloud as its documentation describes it, in front of a stand-in: what is the same is handed on, the rest is answered here.

From ``openapi-cloud.yaml`` and the pages below https://docs.comfy.org/development/cloud, as of August 2026. The real one was never
asked. Where the documentation leaves something open, a test chooses: `Cloud` has its attributes.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.standin.state import State

KEY = "comfyui-cloud-0123456789"
_SIGNATURE = "X-Signature"
_ENDS = {"execution_success": "completed", "execution_error": "failed", "execution_interrupted": "cancelled"}
# What there is under /api as ComfyUI has it.
_SAME = ("/prompt", "/queue", "/object_info", "/system_stats", "/upload/image", "/features")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Cloud:
    """What the documentation leaves open, and what a storage was asked.

    Attributes:
        cancels_by_id: Whether the second version of its routes cancels a job of the first one.
        tells_timeline: Whether a job that has ended tells of its nodes as ComfyUI's history does.
        keeps_names: Whether files have the names that they were saved under, rather than hashes.
        stored: The headers of requests to the storage.
        signed: The signatures that open it.
    """

    cancels_by_id: bool = True
    keeps_names: bool = True
    tells_timeline: bool = True
    stored: list[dict[str, str]] = field(default_factory=list)
    signed: dict[str, str] = field(default_factory=dict)


async def answered(state: State, cloud: Cloud, request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answer a request as the cloud does; by `handler` where that is as ComfyUI does it."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    if request.path == "/storage":
        cloud.stored.append(headers)
        # As storages do that have two kinds of credentials before them.
        if "x-api-key" in headers or request.query.get(_SIGNATURE) not in cloud.signed:
            return web.Response(status=400, text=f"<Error>{request.query_string}</Error>")
        return web.FileResponse(cloud.signed[request.query[_SIGNATURE]])
    path = request.path.removeprefix("/api")
    if not request.path.startswith("/api/"):
        return web.Response(status=404)
    if headers.get("x-api-key") != KEY:
        return web.json_response({"message": "unauthorized"}, status=401)
    if path == "/view" and request.method == "GET":
        return _view(state, cloud, request)
    if path == "/jobs":
        most = int(request.query["limit"])
        return web.json_response({"jobs": [{"id": name, "status": "completed"} for name in reversed(state.memory.history)][:most]})
    if path.startswith("/jobs/"):
        return _job(state, path.removeprefix("/jobs/"))
    if path.startswith("/v2/jobs/") and cloud.cancels_by_id:
        prompt_id = path.split("/")[3]
        state.memory.interrupted = state.memory.interrupted or prompt_id in [item[1] for item in state.memory.running]
        return web.json_response({"id": prompt_id, "status": "canceling"})
    if path == "/experiment/models":
        return web.json_response([{"name": folder, "folders": [folder]} for folder in state.models])
    if path.startswith("/experiment/models/"):
        names = state.models.get(path.rpartition("/")[2])
        found = [{"name": name, "pathIndex": 0} for name in names or ()]
        return web.json_response(found, status=200 if names is not None else 404)
    if path == "/interrupt":
        state.memory.interrupted = True  # whoever's it is
        return web.Response()
    if path == "/queue" and request.method == "GET":
        listed = {"queue_running": state.memory.running, "queue_pending": state.memory.pending}
        return web.json_response({name: [[*item[:3], item[4], {}] for item in items] for name, items in listed.items()})
    is_same = path in _SAME or (path, request.method) == ("/history", "POST")
    if not is_same or request.method == "HEAD":
        return web.json_response({"message": "not found"}, status=404)
    return await handler(request)


def _job(state: State, job_id: str) -> web.Response:
    entry, memory = state.memory.history.get(job_id), state.memory
    if entry is None:
        waits = any(item[1] == job_id for item in memory.pending)
        runs = any(item[1] == job_id for item in memory.running)
        if not waits and not runs:
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response({"id": job_id, "status": "in_progress" if runs else "pending"})
    end, data = next((kind, data) for kind, data in reversed(entry["status"]["messages"]) if kind in _ENDS)
    outputs = entry["outputs"]
    if state.cloud is not None and not state.cloud.keeps_names:
        outputs = {node_id: _renamed(output) for node_id, output in outputs.items()}
    found: dict[str, Any] = {"id": job_id, "status": _ENDS[end], "workflow": entry["prompt"][2], "outputs": outputs}
    if state.cloud is not None and state.cloud.tells_timeline:
        found["execution_status"] = entry["status"]
    if end == "execution_error":
        found["execution_error"] = data
    return web.json_response(found)


def _renamed(output: dict[str, Any]) -> dict[str, Any]:
    return {
        kind: [{**file, "filename": hashed(file["filename"]), "subfolder": ""} for file in files] for kind, files in output.items()
    }


def _view(state: State, cloud: Cloud, request: web.Request) -> web.Response:
    name = request.query["filename"]
    found = next((path for path in (state.files / "output").rglob("*.png") if name in (path.name, hashed(path.name))), None)
    if found is None:
        return web.json_response({"message": "not found"}, status=404)
    signature = uuid.uuid4().hex + "+/="
    cloud.signed[signature] = str(found)
    target = request.url.origin().with_path("/storage").with_query({_SIGNATURE: signature})
    return web.Response(status=302, headers={"Location": str(target)})


def hashed(name: str) -> str:
    """Return what a file is called where names are hashes."""
    return f"{uuid.uuid5(uuid.NAMESPACE_URL, name).hex}.png"
