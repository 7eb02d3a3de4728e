"""The websocket: one queue and one sender for everybody, sockets by client id, nothing replayed.

Imitated on purpose: whoever does not read stalls all others, and an older socket's end makes a newer one of the same
client id deaf.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import uuid
from typing import Any

from aiohttp import WSMsgType, web

from tests.standin.state import State

_UNKNOWN = ("crystools.monitor", {"gpus": [{"gpu_utilization": 3}]})
_NONSENSE: tuple[str | bytes, ...] = (
    "not json",
    "[]",
    '{"type": "progress"}',
    '{"type": "progress", "data": {"prompt_id": 3, "node": null, "value": Infinity, "max": NaN}}',
    '{"type": "executing", "data": {"node": "1"}}',
    '{"type": "status", "data": {"status": null}}',
    b"",
    b"\x00\x00\x00\x63odd",
)


def publish(state: State, event: str, data: dict[str, Any], client_id: str | None = None) -> None:
    """Send a message to one client, or to everybody; to a client that is not there it is lost."""
    state.told.append((event, data))
    state.outbox.put_nowait((json.dumps({"type": event, "data": data}), client_id))
    if state.odd_frames:
        state.outbox.put_nowait((json.dumps({"type": _UNKNOWN[0], "data": _UNKNOWN[1]}), None))
        for frame in _NONSENSE:
            state.outbox.put_nowait((frame, None))


def publish_preview(state: State, client_id: str | None) -> None:
    """Send a binary frame of type 1 (PREVIEW_IMAGE) with a JPEG of the set size in bytes."""
    if state.preview_bytes:
        state.outbox.put_nowait((struct.pack(">II", 1, 1) + os.urandom(state.preview_bytes), client_id))


def publish_latent(state: State, jpeg: bytes, prompt_id: str, node_id: str, client_id: str | None) -> None:
    """Send a JPEG in a binary frame of type 4: what a prompt is given that has asked for previews."""
    said = json.dumps({"prompt_id": prompt_id, "node_id": node_id, "image_type": "image/jpeg"}).encode()
    state.outbox.put_nowait((struct.pack(">II", 4, len(said)) + said + jpeg, client_id))


def publish_picture(state: State, png: bytes, prompt_id: str, node_id: str, client_id: str | None) -> None:
    """Send a PNG in a binary frame, of type 4 (PREVIEW_IMAGE_WITH_METADATA) or 1."""
    if state.lost_pictures:
        state.lost_pictures -= 1
        return
    said = json.dumps({"prompt_id": prompt_id, "node_id": node_id, "image_type": "image/png"}).encode()
    head = struct.pack(">II", 4, len(said)) + said if state.says_whose else struct.pack(">II", 1, 2)
    state.outbox.put_nowait((head + png + bytes(state.picture_padding), client_id))


def publish_status(state: State) -> None:
    """Tell everybody how many prompts there are."""
    publish(state, "status", {"status": queue_info(state)})


def queue_info(state: State) -> dict[str, Any]:
    """Return the answer of ``GET /prompt``."""
    return {"exec_info": {"queue_remaining": len(state.memory.pending) + len(state.memory.running)}}


async def send_all(state: State) -> None:
    """Send what is published, one frame after the other, for ever."""
    while True:
        frame, client_id = await state.outbox.get()
        targets = list(state.sockets.values()) if client_id is None else [state.sockets.get(client_id)]
        for socket in targets:
            if socket is not None:
                await _send(socket, frame)
        state.outbox.task_done()


async def _send(socket: web.WebSocketResponse, frame: str | bytes) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError):
        if isinstance(frame, str):
            await socket.send_str(frame)
        else:
            await socket.send_bytes(frame)


async def websocket(state: State, request: web.Request) -> web.StreamResponse:
    """Serve ``/ws``."""
    if state.socket_mode == "refused":
        return web.Response(status=403)
    client_id = request.query.get("clientId") or uuid.uuid4().hex
    state.client_ids.append(client_id)
    socket = web.WebSocketResponse(autoping=state.socket_mode != "silent")
    await socket.prepare(request)
    if request.transport is not None:
        state.transports.append(request.transport)
    if state.socket_mode == "closing":
        await socket.close()
        return socket
    if state.socket_mode in ("deaf", "silent"):
        await _listen(socket)
        return socket
    state.sockets[client_id] = socket
    try:
        await _greet(state, socket, client_id)
        await _listen(socket)
    finally:
        # Not "if it is ours": that is the fault that makes the newer one deaf.
        state.sockets.pop(client_id, None)
    return socket


async def _greet(state: State, socket: web.WebSocketResponse, client_id: str) -> None:
    status = {"type": "status", "data": {"status": queue_info(state), "sid": client_id}}
    await _send(socket, json.dumps(status))
    if state.memory.client_id == client_id and state.memory.node is not None:
        await _send(socket, json.dumps({"type": "executing", "data": {"node": state.memory.node}}))
    if state.socket_mode == "garbage":
        for frame in _NONSENSE:
            await _send(socket, frame)
        await socket.send_frame(b"\xff\xfe no UTF-8", WSMsgType.TEXT)


async def _listen(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type == WSMsgType.ERROR:
            return
