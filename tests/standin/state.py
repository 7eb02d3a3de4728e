"""The one object behind a `StandIn`: its settings, its faults, what it remembers, and what it was asked.

Fields may be set at any time, also while it serves. Methods return when the server has done what they say.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.standin.faults import HELD, Gate, NodeFault, ReplyFault, SocketMode, ViewFault
from tests.standin.generations import V0_3_75, Generation
from tests.standin.graph import Graph, Made

Item = tuple[float, str, Graph, dict[str, Any], list[str]]

MODELS: Mapping[str, Sequence[str]] = {
    "checkpoints": ["SDXL/base.safetensors", "tiny-random-sd15.safetensors"],
    "vae": ["pixel_space"],
    "loras": ["detail.safetensors"],
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came in.

    Attributes:
        method: GET, POST, …
        path: The route, without ``/api``.
        query: The query parameters.
        body: The body as JSON; None where it is none.
        headers: The headers, names in lower case.
        at: Seconds on the event loop's clock.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    headers: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class CachedNode:
    """A node's result in the server's cache; `ui` is what its output frame and history entry say."""

    made: Made
    ui: dict[str, Any] | None


@dataclass(slots=True)
class Memory:
    """What a restart wipes."""

    counter: int = 0
    pending: list[Item] = field(default_factory=list)
    running: list[Item] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)
    cache: dict[str, CachedNode] = field(default_factory=dict)
    client_id: str | None = None
    node: str | None = None
    interrupted: bool = False
    free_cache: bool = False
    worker_died_of: str = ""


@dataclass(slots=True)
class State:
    """What a stand-in is, does wrong, remembers and has been asked.

    Attributes:
        generation: Which ComfyUI it imitates.
        step_seconds: Seconds that a sampler's step takes.
        models: Model names by folder, with ``/``.
        windows: Model names and subfolders have backslashes.

        history_delay: Seconds between ``execution_success`` and the history entry.
        frozen: The worker takes nothing from the queue.
        socket_mode: How ``/ws`` behaves.
        login_page: Every request is sent on to ``/login``.
        reply_faults: Wrong answers; the first that fits is taken.
        view_fault: How downloads go wrong.
        view_fault_times: How many of them; negative for all.
        node_faults: How nodes fail, by id.
        failing_sampler: The ordinal of the sampler pass in a prompt that runs out of memory, from 1; 0 for none.
        output_names: File names that are reported in place of the true ones, by node id.
        preview_bytes: Size of the binary preview frame of each step; 0 for none.
        odd_frames: Send unknown events and nonsense between the others.

        asked: All requests, oldest first.
        told: All frames that were sent or dropped: type and data.
        client_ids: Of all sockets that were opened, oldest first.
        memory: What a restart wipes.
        sockets: The sockets that are sent to, by client id.
        transports: The connections of all sockets that are open.
        files: Where ``output``, ``temp`` and ``input`` are.
    """

    generation: Generation = V0_3_75
    step_seconds: float = 0.001
    models: Mapping[str, Sequence[str]] = field(default_factory=lambda: dict(MODELS))
    windows: bool = False

    history_delay: float = 0.0
    frozen: bool = False
    socket_mode: SocketMode = "ok"
    login_page: bool = False
    reply_faults: list[ReplyFault] = field(default_factory=list)
    view_fault: ViewFault | None = None
    view_fault_times: int = -1
    node_faults: dict[str, NodeFault] = field(default_factory=dict)
    failing_sampler: int = 0
    output_names: dict[str, str] = field(default_factory=dict)
    preview_bytes: int = 0
    odd_frames: bool = False

    asked: list[Asked] = field(default_factory=list)
    told: list[tuple[str, Any]] = field(default_factory=list)
    client_ids: list[str] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    sockets: dict[str, web.WebSocketResponse] = field(default_factory=dict)
    transports: list[asyncio.Transport] = field(default_factory=list)
    files: Path = Path()

    _gates: dict[str, Gate] = field(default_factory=dict)
    _outbox: asyncio.Queue[tuple[str | bytes, str | None]] = field(default_factory=asyncio.Queue)
    _orders: Callable[[str], None] | None = None
    _foreign: itertools.count[int] = field(default_factory=itertools.count)
    _was_asked: threading.Condition = field(default_factory=threading.Condition)

    # Faults

    def hold(self, place: str) -> Gate:
        """Hold what comes to a place until the gate is opened.

        Args:
            place: For prompts a node id, a class, or ``history`` (after ``execution_success``); for requests a method and a
                route, such as ``GET /queue``.
        """
        return self._gates.setdefault(place, Gate())

    def fail_next(
        self, path: str, status: int | None, *, method: str = "POST", times: int = 1, handled: bool = False, body: str = "no"
    ) -> None:
        """Answer the next requests of a route with a status; None closes the connection instead. See `ReplyFault`."""
        self.reply_faults.append(ReplyFault(path, method, status, times, handled, body))

    def lose_replies(self, *, times: int = 1) -> None:
        """Queue the next prompts but close the connection without an answer."""
        self.fail_next("/prompt", None, times=times, handled=True)

    def add_foreign(self, count: int = 1, *, steps: int = 1) -> list[str]:
        """Queue prompts of another client; their one sampler is the node ``foreign_sampler``."""
        items = []
        for number in itertools.islice(self._foreign, count):
            extra = {"client_id": "somebody-else"}
            items.append((float(self.memory.counter), str(uuid.uuid4()), _foreign_graph(number, steps), extra, ["foreign_save"]))
            self.memory.counter += 1
        for item in items:
            heapq.heappush(self.memory.pending, item)
        return [item[1] for item in items]

    def drop_sockets(self) -> None:
        """Cut every websocket as a lost network does."""
        self._order("drop sockets")

    def go_away(self) -> None:
        """Answer nobody any more; what runs goes on running."""
        self._order("go away")

    def come_back(self) -> None:
        """Answer again, at the same address."""
        self._order("come back")

    def restart(self) -> None:
        """Die and start anew: queue, history, cache and counter are gone, files stay."""
        self._order("restart")

    def deliver(self) -> None:
        """Return when every frame so far is sent; fails where a client does not read."""
        self._order("deliver")

    def delete_outputs(self) -> None:
        """Delete all saved files; the cache goes on naming them."""
        for path in (self.files / "output").rglob("*.png"):
            path.unlink()

    # What was asked

    def requests(self, method: str, path: str) -> list[Asked]:
        """Return the requests of one route, oldest first."""
        return [asked for asked in list(self.asked) if (asked.method, asked.path) == (method, path)]

    def until_asked(self, method: str, path: str, times: int) -> None:
        """Return when so many requests of one route have come in."""
        with self._was_asked:
            assert self._was_asked.wait_for(lambda: len(self.requests(method, path)) >= times, HELD), (
                f"{method} {path} was not asked"
            )

    # For the stand-in's other modules

    def note(self, asked: Asked) -> None:
        """Record a request."""
        with self._was_asked:
            self.asked.append(asked)
            self._was_asked.notify_all()

    def obey(self, orders: Callable[[str], None]) -> None:
        """Take what carries out orders that need the server's thread."""
        self._orders = orders

    def _order(self, what: str) -> None:
        assert self._orders is not None, "the stand-in does not serve"
        self._orders(what)

    def gate(self, *places: str) -> Gate | None:
        """Return the gate at one of these places."""
        return next((self._gates[place] for place in places if place in self._gates), None)

    @property
    def outbox(self) -> asyncio.Queue[tuple[str | bytes, str | None]]:
        """Frames on their way, with the client id that they are for; None for everybody."""
        return self._outbox


def _foreign_graph(number: int, steps: int) -> Graph:
    sampler = {"steps": steps, "seed": number, "latent_image": ["foreign_latent", 0]}
    return {
        "foreign_latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "foreign_sampler": {"class_type": "KSampler", "inputs": sampler},
        "foreign_decode": {"class_type": "VAEDecode", "inputs": {"samples": ["foreign_sampler", 0]}},
        "foreign_save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["foreign_decode", 0], "filename_prefix": f"foreign-{number}"},
        },
    }
