"""The one object behind a `StandIn`: its settings, its faults, what it remembers, and what it was asked.

Fields may be set at any time, also while it serves. Methods return when the server has done what they say.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image

from tests.standin.cloud import Cloud
from tests.standin.faults import HELD, CacheMode, Gate, NodeFault, ReplyFault, SocketMode, Trouble, TroubleKind, ViewFault
from tests.standin.generations import V0_3_75, Generation
from tests.standin.graph import Graph, foreign_graph
from tests.standin.records import Asked, Memory, Ran, Work

MODELS: Mapping[str, Sequence[str]] = {
    "checkpoints": ["SDXL/base.safetensors", "tiny-random-sd15.safetensors"],
    "vae": ["pixel_space"],
    "loras": ["detail.safetensors"],
}
_IDLE_SECONDS = 0.01


@dataclass(slots=True)
class State:
    """What a stand-in is, does wrong, remembers and has been asked.

    Attributes:
        generation: Which ComfyUI it imitates.
        step_seconds: Seconds that a sampler's step takes.
        models: Model names by folder, with ``/``.
        windows: Model names and subfolders have backslashes.
        paid: What classes cost that it calls paid ones, US dollars.
        device: What it calls what it computes on.
        max_upload: Largest body of a request, in bytes; to be set before it serves.
        cache: What it was started with, as its argv shows; None for the default of its generation.
        forgetful: Its cache has lost everything when the next prompt comes, which it says nothing of.
        look: What else pictures depend on, as on a version, or on the model file behind a name; what is cached stays.
        order: Draws in which order the outputs of a prompt come; None for that of the graph.

        history_delay: Seconds between ``execution_success`` and the history entry.
        frozen: The worker takes nothing from the queue.
        socket_mode: How ``/ws`` behaves.
        login_page: Every request is sent on to ``/login``.
        reply_faults: Wrong answers; the first that fits is taken.
        view_fault: How downloads go wrong.
        view_fault_times: How many of them; negative for all.
        node_faults: How nodes fail, by id.
        troubles: What befalls nodes for some time; the first that fits is taken.
        failing_sampler: The ordinal of the sampler pass in a prompt that runs out of memory, from 1; 0 for none.
        output_names: File names that are reported in place of the true ones, by node id.
        preview_bytes: Size of the binary preview frame of each step; 0 for none.
        odd_frames: Send unknown events and nonsense between the others.
        says_whose: Pictures on the websocket say whose they are.
        pictures: Gives the picture of a saving node, by its graph and id, in place of noise; None for noise.
        picture_padding: Bytes behind the end of each picture on the websocket.
        lost_pictures: How many pictures on the websocket get lost, of those that come next.
        cloud: What it leaves open, where it is Comfy Cloud; None for a ComfyUI.

        asked: All requests, oldest first.
        told: All frames that were sent or dropped: type and data.
        ran: All nodes that ran to their end, oldest first; a restart does not wipe it.
        frees: How often ``POST /free`` was carried out.
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
    paid: Mapping[str, float] = field(default_factory=dict)
    device: str = "stand-in"
    max_upload: int = 100 * 1024 * 1024
    cache: CacheMode | None = None
    forgetful: bool = False
    look: str = ""
    order: random.Random | None = None

    history_delay: float = 0.0
    frozen: bool = False
    socket_mode: SocketMode = "ok"
    login_page: bool = False
    reply_faults: list[ReplyFault] = field(default_factory=list)
    view_fault: ViewFault | None = None
    view_fault_times: int = -1
    node_faults: dict[str, NodeFault] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    failing_sampler: int = 0
    output_names: dict[str, str] = field(default_factory=dict)
    preview_bytes: int = 0
    odd_frames: bool = False
    says_whose: bool = True
    pictures: Callable[[Graph, str], Image.Image] | None = None
    picture_padding: int = 0
    lost_pictures: int = 0
    cloud: Cloud | None = None

    asked: list[Asked] = field(default_factory=list)
    told: list[tuple[str, Any]] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)
    frees: int = 0
    client_ids: list[str] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    sockets: dict[str, web.WebSocketResponse] = field(default_factory=dict)
    transports: list[asyncio.Transport] = field(default_factory=list)
    files: Path = Path()

    _gates: dict[str, Gate] = field(default_factory=dict)
    _outbox: asyncio.Queue[tuple[str | bytes, str | None]] = field(default_factory=asyncio.Queue)
    _nudged: asyncio.Event = field(default_factory=asyncio.Event)
    _orders: Callable[..., None] | None = None
    _foreign: itertools.count[int] = field(default_factory=itertools.count)
    _news: threading.Condition = field(default_factory=threading.Condition)

    # Faults

    def hold(self, place: str) -> Gate:
        """Hold what comes to a place until the gate is opened.

        Args:
            place: For prompts a node id, a class, or ``history`` (after ``execution_success``); for requests a method and a
                route, such as ``GET /queue``.
        """
        return self._gates.setdefault(place, Gate())

    def fail_next(
        self,
        path: str,
        status: int | None,
        *,
        method: str = "POST",
        times: int = 1,
        handled: bool = False,
        body: str = "no",
        retry_after: str = "",
        after: int = 0,
    ) -> None:
        """Answer the next requests of a route with a status; None closes the connection instead. See `ReplyFault`."""
        self.reply_faults.append(ReplyFault(path, method, status, times, handled, body, retry_after, after))

    def lose_replies(self, *, times: int = 1) -> None:
        """Queue the next prompts but close the connection without an answer."""
        self.fail_next("/prompt", None, times=times, handled=True)

    def add_foreign(self, count: int = 1, *, steps: int = 1) -> list[str]:
        """Queue prompts of another client; their one sampler is the node ``foreign_sampler``."""
        items = []
        for number in itertools.islice(self._foreign, count):
            extra = {"client_id": "somebody-else"}
            items.append((float(self.memory.counter), str(uuid.uuid4()), foreign_graph(number, steps), extra, ["foreign_save"]))
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

    def restart(self, *, torn: bool = False, down: float = 0.0, loses_inputs: bool = False) -> None:
        """Die and start anew at the same address: queue, history, cache, counter and temp files are gone, saved files stay.

        Args:
            torn: Die while the running prompt writes its next file: a part of it stays.
            down: Seconds in which connections are refused in between.
            loses_inputs: Whether uploaded files are gone too, as with a server that is started in a new container.
        """
        self._order("restart", torn=torn, down=down, loses_inputs=loses_inputs)

    def deliver(self) -> None:
        """Return when every frame so far is sent; fails where a client does not read."""
        self._order("deliver")

    def delete_inputs(self) -> None:
        """Delete all uploaded files."""
        shutil.rmtree(self.files / "input")
        (self.files / "input").mkdir()

    # What was asked, and what ran

    def work(self) -> Work:
        """Return how much ran so far, counted node by node."""
        ran = list(self.ran)
        first = [node for node in ran if node.is_sampler and node.passes == 1]
        second = [node for node in ran if node.is_sampler and node.passes > 1]
        return Work(sum(node.is_load for node in ran), len(first), len(second))

    def requests(self, method: str, path: str) -> list[Asked]:
        """Return the requests of one route, oldest first."""
        return [asked for asked in list(self.asked) if (asked.method, asked.path) == (method, path)]

    def until_asked(self, method: str, path: str, times: int) -> None:
        """Return when so many requests of one route have come in."""
        found = self.until(lambda: len(self.requests(method, path)) >= times)
        assert found, f"{method} {path} was not asked"

    def until(self, condition: Callable[[], bool]) -> bool:
        """Return when something is so, which is looked at after each request and each node; False where it never was."""
        with self._news:
            return self._news.wait_for(condition, HELD)

    def look_again(self) -> None:
        """Have those who wait look whether what they wait for is so."""
        with self._news:
            self._news.notify_all()

    # For the stand-in's other modules

    def note(self, happened: Asked | Ran) -> None:
        """Record a request, or a node that ran."""
        with self._news:
            if isinstance(happened, Asked):
                self.asked.append(happened)
            else:
                self.ran.append(happened)
            self._news.notify_all()

    def nudge(self) -> None:
        """Have the worker look at once whether there is something to do; on the server's thread."""
        self._nudged.set()

    async def idle(self) -> None:
        """Wait for a nudge, or for some milliseconds: what tests set on threads of their own nudges nobody."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._nudged.wait()
        self._nudged.clear()

    def trouble(self, kind: TroubleKind, node_id: str, class_type: str) -> bool:
        """Return whether a trouble befalls a node now, and count it."""
        return any(trouble.kind == kind and trouble.takes(node_id, class_type) for trouble in self.troubles)

    def freed(self) -> None:
        """Record that ``POST /free`` was carried out, and end what that ends."""
        self.frees += 1
        self.troubles = [trouble for trouble in self.troubles if not trouble.until_free]

    @property
    def cache_mode(self) -> CacheMode:
        """How its cache works."""
        # The default of newer ones goes by free memory: on most machines it keeps what the classic one does.
        return self.cache or "classic"

    def obey(self, orders: Callable[..., None]) -> None:
        """Take what carries out orders that need the server's thread."""
        self._orders = orders

    def _order(self, what: str, **how: Any) -> None:
        assert self._orders is not None, "the stand-in does not serve"
        self._orders(what, **how)

    def gate(self, *places: str) -> Gate | None:
        """Return the gate at one of these places."""
        return next((self._gates[place] for place in places if place in self._gates), None)

    @property
    def outbox(self) -> asyncio.Queue[tuple[str | bytes, str | None]]:
        """Frames on their way, with the client id that they are for; None for everybody."""
        return self._outbox
