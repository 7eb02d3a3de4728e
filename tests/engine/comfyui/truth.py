"""What the tests that compare the stand-in with a real ComfyUI share: questions, asked of one address."""

from __future__ import annotations

import copy
import json
import uuid
from collections import Counter
from typing import Any

import requests
import websocket

from tests.standin import HELD

Graph = dict[str, Any]
Pair = tuple[str, str]
"""Two addresses: of the stand-in and of the real server."""


def changed(graph: Graph, node: str, **inputs: Any) -> Graph:
    graph = copy.deepcopy(graph)
    graph[node]["inputs"].update(inputs)
    return graph


def without(graph: Graph, node: str, name: str) -> Graph:
    graph = copy.deepcopy(graph)
    del graph[node]["inputs"][name]
    return graph


def wait_until_idle(url: str) -> None:
    while requests.get(f"{url}/prompt", timeout=HELD).json()["exec_info"]["queue_remaining"]:
        pass


def connect(url: str, client_id: str) -> websocket.WebSocket:
    return websocket.create_connection(
        f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}", timeout=HELD, suppress_origin=True
    )


def heard(socket: websocket.WebSocket) -> list[str]:
    """Return what a socket is told until it has been silent for a moment."""
    found = []
    socket.settimeout(0.2)
    try:
        while True:
            found.append(json.loads(socket.recv())["type"])
    except websocket.WebSocketTimeoutException:
        return found


def frames_of(url: str, graph: Graph) -> list[tuple[str, Any]]:
    """Run a graph and return its frames: the type, and what they say of nodes."""
    client_id, prompt_id = uuid.uuid4().hex, str(uuid.uuid4())
    connection = connect(url, client_id)
    try:
        requests.post(f"{url}/prompt", json={"prompt": graph, "client_id": client_id, "prompt_id": prompt_id}, timeout=HELD)
        found: list[tuple[str, Any]] = []
        while not found or found[-1] != ("executing", None):
            message = json.loads(connection.recv())
            kind, data = message["type"], message["data"]
            if kind == "progress_state":
                said: Any = {node: (value["state"], value["value"], value["max"]) for node, value in data["nodes"].items()}
            elif kind == "progress":
                said = (data["node"], data["value"], data["max"])
            elif kind == "execution_cached":
                said = sorted(data["nodes"])
            elif kind == "status":
                said = data["status"]["exec_info"]["queue_remaining"]
            else:
                said = data.get("node")
            found.append((kind, said))
        return found
    finally:
        connection.close()


def ran(url: str, graph: Graph) -> Counter[str]:
    """Run a graph and return how many nodes of each class really ran."""
    nodes = [said for kind, said in frames_of(url, graph) if kind == "executing" and said is not None]
    return Counter(graph[node]["class_type"] for node in nodes)


def history_of(url: str, graph: Graph) -> tuple[str, dict[str, Any]]:
    """Run a graph without a socket and return its prompt id and its history entry."""
    prompt_id = str(uuid.uuid4())
    requests.post(f"{url}/prompt", json={"prompt": graph, "client_id": "me", "prompt_id": prompt_id}, timeout=HELD)
    while not (answer := requests.get(f"{url}/history/{prompt_id}", timeout=HELD).json()):
        pass
    entry: dict[str, Any] = answer[prompt_id]
    return prompt_id, entry
