"""Servers that cost almost nothing: they answer as ComfyUI does, sleep for as long as a graph's work takes, and give one picture.

Many of them run in one process. What they keep from one prompt to the next is what ComfyUI's classic cache keeps. Where something
else says which ports they have, as the actors of Ray do, it starts a command that costs a small shell (`LightServers.command`).
"""

from __future__ import annotations

import asyncio
import collections
import io
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from aiohttp import WSMsgType, web
from PIL import Image

from comfy_runner.graph.sizes import node_sizes, node_work
from comfy_runner.graph.workflow import parse_workflow
from tests.standin.graph import signatures
from tests.standin.nodes import object_info
from tests.standin.state import MODELS

_LOAD = 40.0  # what a checkpoint costs, in the planner's own measure
_STEPS = 20  # that a sampler tells of
_HOST = "127.0.0.1"


@dataclass
class Served:
    """What one server has done.

    Attributes:
        worked: For how long, in seconds.
        asked: How often it was asked, by method and route.
        received: The bytes of what was posted to it.
        sent: The bytes of its answers, and of what it told over the websocket, without headers.
        frames: How often it told something over the websocket.
    """

    worked: float = 0.0
    asked: collections.Counter[str] = field(default_factory=collections.Counter)
    received: int = 0
    sent: int = 0
    frames: int = 0


@dataclass(frozen=True)
class LightServers:
    """Servers that run.

    Attributes:
        urls: Where they answer that run from the beginning.
        command: Has one more answer on ``{port}``, as long as it runs.
        served: What each server has done, once all are left.
    """

    urls: list[str]
    command: str
    served: list[Served]


@contextmanager
def light_servers(count: int, *, processes: int, seconds: float) -> Iterator[LightServers]:
    """Serve.

    Args:
        count: How many servers there are from the beginning.
        processes: In how many processes, at most.
        seconds: That a step of a sampler at 1024x576 pixels takes.
    """
    context = get_context("spawn")
    urls: list[str] = []
    served: list[Served] = []
    children = []
    for number in range(max(1, min(processes, count))):
        ours, theirs = context.Pipe()
        share = len(range(number, count, processes))
        process = context.Process(target=_child, args=(theirs, share, seconds), daemon=True)
        process.start()
        children.append((process, ours))
    try:
        for _process, ours in children:
            found, port = ours.recv()
            urls += found
        ask = f"exec 3<>/dev/tcp/{_HOST}/{port} && echo {{port}} >&3 && cat <&3"
        yield LightServers(urls, f"exec bash -c '{ask}'", served)
        for _process, ours in children:
            ours.send(None)
            served += ours.recv()
    finally:
        for process, _ours in children:
            process.terminate()
            process.join()


def _child(parent: Connection, count: int, seconds: float) -> None:
    asyncio.run(_serve(parent, count, seconds))


async def _serve(parent: Connection, count: int, seconds: float) -> None:
    servers = [_Light(seconds) for _ in range(count)]

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        servers.append(server := _Light(seconds))
        await server.start(int(await reader.readline()))
        await reader.read()  # until whoever has asked is gone
        await server.stop()
        writer.close()

    asked = await asyncio.start_server(serve_one, _HOST, 0)
    parent.send(([await server.start() for server in servers], asked.sockets[0].getsockname()[1]))
    await asyncio.to_thread(parent.recv)
    parent.send([server.served for server in servers])
    await asyncio.sleep(60)


class _Light:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.served = Served()
        self._numbers = itertools.count()
        self._pending: collections.deque[list[Any]] = collections.deque()
        self._running: list[list[Any]] = []
        self._history: dict[str, Any] = {}
        self._cached: dict[str, None] = {}
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._posted = asyncio.Event()

    async def start(self, port: int = 0) -> str:
        app = web.Application(client_max_size=2**26, middlewares=[self._counted])
        for path, answer in (("/system_stats", _STATS), ("/object_info", object_info(MODELS))):
            text = json.dumps(answer)
            app.router.add_get(path, _constant(text))
        app.router.add_get("/ws", self._ws)
        app.router.add_post("/prompt", self._prompt)
        app.router.add_get("/queue", self._queue)
        app.router.add_get("/history/{prompt_id}", self._entry)
        app.router.add_get("/view", self._view)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, port)
        await site.start()
        self._worker = asyncio.create_task(self._work())
        return f"http://{_HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self._worker.cancel()
        await self._runner.cleanup()

    @web.middleware
    async def _counted(self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        self.served.asked[f"{request.method} /{request.path.split('/')[1]}"] += 1
        self.served.received += request.content_length or 0
        response = await handler(request)
        self.served.sent += response.content_length or 0
        return response

    async def _tell(self, client_id: Any, kind: str, prompt_id: str, **data: Any) -> None:
        socket = self._sockets.get(str(client_id))
        if socket is not None and not socket.closed:
            text = json.dumps({"type": kind, "data": {**data, "prompt_id": prompt_id}})
            self.served.frames += 1
            self.served.sent += len(text)
            await socket.send_str(text)

    async def _work(self) -> None:
        while True:
            while not self._pending:
                self._posted.clear()
                await self._posted.wait()
            item = self._pending.popleft()
            self._running.append(item)
            _number, prompt_id, graph, extra, _outputs = item
            began = time.time()
            keys = signatures(graph)
            cached = [node for node in graph if keys[node] in self._cached]
            workflow = parse_workflow(graph)
            costs = node_work(workflow)
            loads = [node for node in graph if graph[node]["class_type"].startswith("Checkpoint")]
            todo = sum(costs.get(node, 0.0) + (_LOAD if node in loads else 0.0) for node in graph if node not in cached)
            tell = partial(self._tell, extra.get("client_id"))
            await tell("execution_start", prompt_id)
            await tell("execution_cached", prompt_id, nodes=cached)
            samplers = [node for node in graph if graph[node]["class_type"] == "KSampler" and node not in cached]
            for node in samplers:
                await tell("executing", prompt_id, node=node)
                for step in range(1, _STEPS + 1):
                    await asyncio.sleep(todo * self._seconds / len(samplers) / _STEPS)
                    state = {"value": step, "max": _STEPS, "state": "running", "node_id": node, "prompt_id": prompt_id}
                    await tell("progress_state", prompt_id, nodes={node: state})
                    await tell("progress", prompt_id, value=step, max=_STEPS, node=node)
            if not samplers:
                await asyncio.sleep(todo * self._seconds)
            self._cached = dict.fromkeys(keys.values())
            self.served.worked += time.time() - began
            self._history[prompt_id] = _ending(item, cached, began, node_sizes(workflow))
            self._running.remove(item)
            await tell("executing", prompt_id, node=None)

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[request.query.get("clientId", "")] = socket
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        return socket

    async def _prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        number, graph = next(self._numbers), body["prompt"]
        outputs = [node for node in graph if graph[node]["class_type"] == "SaveImage"]
        self._pending.append([number, body["prompt_id"], graph, {"client_id": body.get("client_id")}, outputs])
        self._posted.set()
        return web.json_response({"prompt_id": body["prompt_id"], "number": number, "node_errors": {}})

    async def _queue(self, _request: web.Request) -> web.Response:
        return web.json_response({"queue_running": self._running, "queue_pending": list(self._pending)})

    async def _entry(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        entry = self._history.get(prompt_id)
        return web.json_response({} if entry is None else {prompt_id: entry})

    async def _view(self, request: web.Request) -> web.Response:
        width, height = (int(part) for part in request.query["filename"].split(".")[0].split("-")[-2:])
        return web.Response(body=_picture(width, height), content_type="image/png")


_STATS = {
    "system": {"os": "posix", "python_version": "3.12", "argv": ["main.py"], "comfyui_version": "0.3.75"},
    "devices": [{"name": "light", "type": "cpu", "index": 0, "vram_total": 8 * 2**30, "vram_free": 8 * 2**30}],
}
_PICTURES: dict[tuple[int, int], bytes] = {}


def _constant(text: str) -> Any:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    return answer


def _picture(width: int, height: int) -> bytes:
    if (width, height) not in _PICTURES:
        noise = random.Random(0).randbytes(8 * 8 * 3)  # noqa: S311 - a picture
        buffer = io.BytesIO()
        Image.frombytes("RGB", (8, 8), noise).resize((width, height)).save(buffer, "PNG")
        _PICTURES[width, height] = buffer.getvalue()
    return _PICTURES[width, height]


def _ending(item: list[Any], cached: list[str], began: float, sizes: Mapping[str, Any]) -> dict[str, Any]:
    _number, prompt_id, graph, _extra, outputs = item
    saved = {}
    for node in outputs:
        size = sizes[graph[node]["inputs"]["images"][0]]
        subfolder, _, name = graph[node]["inputs"]["filename_prefix"].rpartition("/")
        name = f"{name}-{size.width}-{size.height}.png"
        saved[node] = {"images": [{"filename": name, "subfolder": subfolder, "type": "output"}]}
    messages = [
        ["execution_start", {"prompt_id": prompt_id, "timestamp": int(began * 1000)}],
        ["execution_cached", {"prompt_id": prompt_id, "nodes": cached, "timestamp": int(began * 1000)}],
        ["execution_success", {"prompt_id": prompt_id, "timestamp": int(time.time() * 1000)}],
    ]
    status = {"status_str": "success", "completed": True, "messages": messages}
    return {"prompt": item, "outputs": saved, "status": status}
