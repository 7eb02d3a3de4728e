"""The HTTP routes, each also under ``/api``; every request is recorded, and some are answered wrongly."""

from __future__ import annotations

import asyncio
import heapq
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.standin.cloud import answered
from tests.standin.faults import ReplyFault
from tests.standin.files import view
from tests.standin.newer import REPLACEMENTS, replace_nodes
from tests.standin.nodes import object_info
from tests.standin.partners import KEY, constant
from tests.standin.records import Asked
from tests.standin.sockets import publish_status, queue_info, websocket
from tests.standin.state import State
from tests.standin.uploads import input_files, uploaded
from tests.standin.validation import validate

_TICK = 0.003
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(state: State) -> web.Application:
    """Return the web application of a state."""
    routes = _Routes(state)

    @web.middleware
    async def record(request: web.Request, handler: _Handler) -> web.StreamResponse:
        return await routes.record(request, handler)

    generation = state.generation
    table: list[tuple[str, str, _Handler]] = [
        ("GET", "/ws", routes.ws),
        ("GET", "/prompt", routes.get_prompt),
        ("POST", "/prompt", routes.post_prompt),
        ("GET", "/queue", routes.get_queue),
        ("POST", "/queue", routes.post_queue),
        ("POST", "/interrupt", routes.interrupt),
        ("GET", "/history", routes.history),
        ("POST", "/history", routes.post_history),
        ("GET", "/history/{prompt_id}", routes.history_entry),
        ("GET", "/view", routes.view),
        ("POST", "/upload/image", routes.upload_image),
        ("POST", "/upload/mask", routes.upload_mask),
        ("GET", "/object_info", routes.object_info),
        ("GET", "/object_info/{name}", routes.object_info_class),
        ("GET", "/system_stats", routes.system_stats),
        ("POST", "/free", routes.free),
        ("GET", "/login", routes.login),
    ]
    if generation.models_routes:
        table += [("GET", "/models", routes.folders), ("GET", "/models/{folder}", routes.models)]
    if generation.progress_state:
        table.append(("GET", "/features", routes.features))
    if generation.newer_nodes:
        table.append(("GET", "/node_replacements", routes.node_replacements))
    app = web.Application(client_max_size=state.max_upload, middlewares=[record])
    for method, path, handler in table:
        for place in (path, f"/api{path}") if generation.api_prefix else (path,):
            # HEAD is answered wherever GET is.
            app.router.add_get(place, handler) if method == "GET" else app.router.add_post(place, handler)
    if generation.jobs_routes:
        app.router.add_get("/api/jobs", routes.jobs)
    if generation.cancels_jobs:
        app.router.add_post("/api/jobs/{prompt_id}/cancel", routes.cancel_job)
    return app


class _Routes:
    def __init__(self, state: State) -> None:
        self.state = state

    async def record(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        path = request.path.removeprefix("/api")
        # An upload can be read only once, and nobody asks for its bytes here.
        raw = await request.read() if request.method == "POST" and not path.startswith("/upload") else b""
        headers = {name.lower(): value for name, value in request.headers.items()}
        at = asyncio.get_running_loop().time()
        self.state.note(Asked(request.method, path, dict(request.query), _json(raw), headers, at))
        while (gate := self.state.gate(f"{request.method} {path}")) is not None and gate.reach():
            await asyncio.sleep(_TICK)
        if self.state.login_page and path != "/login":
            return web.Response(status=302, headers={"Location": "/login"})
        fault = next((fault for fault in self.state.reply_faults if fault.takes(request.method, path)), None)
        if fault is None:
            return await self.answer(request, handler)
        if fault.handled:
            await self.answer(request, handler)
        return _wrong(fault, request)

    async def answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        cloud = self.state.cloud
        return await handler(request) if cloud is None else await answered(self.state, cloud, request, handler)

    async def ws(self, request: web.Request) -> web.StreamResponse:
        return await websocket(self.state, request)

    async def view(self, request: web.Request) -> web.StreamResponse:
        return await view(self.state, request)

    async def login(self, _request: web.Request) -> web.Response:
        return web.Response(text="<html><form>password</form></html>", content_type="text/html")

    # Prompts

    async def get_prompt(self, _request: web.Request) -> web.Response:
        return web.json_response(queue_info(self.state))

    async def post_prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        memory, generation = self.state.memory, self.state.generation
        if "number" in body:
            number = float(body["number"])
        else:
            front = isinstance(body, dict) and body.get("front")
            number = -memory.counter if front else memory.counter
            memory.counter += 1
        if "prompt" not in body:
            return _refusal("no_prompt", "No prompt provided", "No prompt provided")
        takes_id = generation.client_prompt_id and self.state.cloud is None
        prompt_id = str(body.get("prompt_id", uuid.uuid4())) if takes_id else str(uuid.uuid4())
        if generation.uuid_only and not _is_canonical(prompt_id):
            return _refusal("invalid_prompt_id", "prompt_id must be a UUID", prompt_id)
        graph, info = body["prompt"], self.info()
        if generation.newer_nodes:
            replace_nodes(graph, info)
        found = validate(graph, info, generation, input_files(self.state, below=True))
        extra = dict(body.get("extra_data", {}))
        if "client_id" in body:
            extra["client_id"] = body["client_id"]
        if found.error is not None:
            return web.json_response({"error": found.error, "node_errors": found.node_errors}, status=400)
        # As since 0.3.75: while a prompt waits and runs, nobody is told its key.
        memory.api_keys[prompt_id] = extra.pop(KEY, "")
        # Two items of the same number and id are compared by their graphs, which cannot be: a 500, but it is queued.
        if self.state.order is not None:
            self.state.order.shuffle(found.outputs)
        heapq.heappush(memory.pending, (number, prompt_id, graph, extra, found.outputs))
        self.state.nudge()
        publish_status(self.state)
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": found.node_errors})

    async def get_queue(self, _request: web.Request) -> web.Response:
        memory = self.state.memory
        return web.json_response({"queue_running": memory.running, "queue_pending": memory.pending})

    async def post_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        pending = self.state.memory.pending
        if body.get("clear"):
            pending.clear()
        for prompt_id in body.get("delete", ()):
            item = next((item for item in pending if item[1] == prompt_id), None)
            if item is not None:
                pending.remove(item)
                heapq.heapify(pending)
        publish_status(self.state)
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.Response:
        body = _json(await request.read())
        prompt_id = body.get("prompt_id") if isinstance(body, dict) else None
        if prompt_id and self.state.generation.targeted_interrupt:
            running = [item[1] for item in self.state.memory.running]
            self.state.memory.interrupted = self.state.memory.interrupted or prompt_id in running
        else:
            self.state.memory.interrupted = True
        return web.Response()

    async def cancel_job(self, request: web.Request) -> web.Response:
        prompt_id, memory = request.match_info["prompt_id"], self.state.memory
        waiting = [item for item in memory.pending if item[1] == prompt_id]
        for item in waiting:
            memory.pending.remove(item)
            heapq.heapify(memory.pending)
        runs = prompt_id in [item[1] for item in memory.running]
        memory.interrupted = memory.interrupted or runs
        publish_status(self.state)
        return web.json_response({"cancelled": bool(waiting) or runs})

    async def free(self, request: web.Request) -> web.Response:
        body = await request.json()
        memory = self.state.memory
        memory.free_cache = memory.free_cache or bool(body.get("free_memory"))
        memory.unload_models = memory.unload_models or bool(body.get("unload_models"))
        self.state.nudge()
        return web.Response()

    # History

    async def history(self, request: web.Request) -> web.Response:
        entries = list(self.state.memory.history.items())
        if "max_items" in request.query:
            most = int(request.query["max_items"])
            start = int(request.query["offset"]) if "offset" in request.query else max(0, len(entries) - most)
            entries = entries[start : start + most] if most > 0 else []
        return web.json_response(dict(entries))

    async def post_history(self, request: web.Request) -> web.Response:
        body = await request.json()
        history = self.state.memory.history
        if body.get("clear"):
            history.clear()
        for prompt_id in body.get("delete", ()):
            history.pop(prompt_id, None)
        return web.Response()

    async def history_entry(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        entry = self.state.memory.history.get(prompt_id)
        return web.json_response({} if entry is None else {prompt_id: entry})

    async def jobs(self, _request: web.Request) -> web.Response:
        memory = self.state.memory
        found = [{"id": item[1], "status": "in_progress"} for item in memory.running]
        found += [{"id": item[1], "status": "pending"} for item in memory.pending]
        found += [{"id": prompt_id, "status": "completed"} for prompt_id in memory.history]
        return web.json_response({"jobs": found})

    # What there is

    def info(self) -> dict[str, Any]:
        separator = "\\" if self.state.windows else "/"
        models = self.state.models.items()
        by_folder = {folder: [name.replace("/", separator) for name in names] for folder, names in models}
        found = object_info(by_folder, input_files(self.state), newer=self.state.generation.newer_nodes)
        for name, dollars in self.state.paid.items():
            found[name] |= {"api_node": True, "price_badge": constant(dollars)}
        return found

    async def object_info(self, _request: web.Request) -> web.Response:
        return web.json_response(self.info())

    async def object_info_class(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = self.info()
        return web.json_response({name: found[name]} if name in found else {})

    async def node_replacements(self, _request: web.Request) -> web.Response:
        return web.json_response(REPLACEMENTS)

    async def folders(self, _request: web.Request) -> web.Response:
        return web.json_response(list(self.state.models))

    async def models(self, request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in self.state.models:
            return web.Response(status=404)
        separator = "\\" if self.state.windows else "/"
        return web.json_response([name.replace("/", separator) for name in self.state.models[folder]])

    async def features(self, _request: web.Request) -> web.Response:
        return web.json_response({"supports_preview_metadata": True, "max_upload_size": self.state.max_upload})

    async def system_stats(self, _request: web.Request) -> web.Response:
        system: dict[str, Any] = {"os": "nt" if self.state.windows else "posix", "python_version": "3.12"}
        system["argv"] = ["main.py"] if self.state.cache is None else ["main.py", f"--cache-{self.state.cache}"]
        if self.state.generation.version:
            system["comfyui_version"] = self.state.generation.version
        device = {"name": self.state.device, "type": "cpu", "index": 0, "vram_total": 8 * 2**30, "vram_free": 8 * 2**30}
        return web.json_response({"system": system, "devices": [device]})

    async def upload_image(self, request: web.Request) -> web.StreamResponse:
        return uploaded(self.state, await request.post())

    async def upload_mask(self, request: web.Request) -> web.StreamResponse:
        return uploaded(self.state, await request.post(), masks=True)


def _wrong(fault: ReplyFault, request: web.Request) -> web.Response:
    if fault.status is None:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    headers = {"Location": "/login"} if fault.status in (301, 302, 303, 307) else {}
    if fault.retry_after:
        headers["Retry-After"] = fault.retry_after
    kind = "text/html" if fault.body.startswith("<") else "text/plain"
    return web.Response(status=fault.status, text=fault.body, headers=headers, content_type=kind)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _is_canonical(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _refusal(kind: str, message: str, details: str) -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)
