"""What a stand-in records and remembers, as values: requests, nodes that ran, the memory that a restart wipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.standin.graph import Graph, Made

Item = tuple[float, str, Graph, dict[str, Any], list[str]]
"""A prompt in the queue: number, prompt id, graph, extra data, outputs."""


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
class Ran:
    """A node that ran to its end; not one whose result came from the cache, nor one that failed.

    Attributes:
        prompt_id: The prompt that it ran for.
        node_id: The node.
        class_type: Its class.
        signature: What it computed: equal for the same computation, whatever its nodes and files are called.
        passes: How many samplers there are among it and its ancestors: 0 for a loader, 2 for a second pass and its decoding.
        files: What it saved, as ``subfolder/filename``.
    """

    prompt_id: str
    node_id: str
    class_type: str
    signature: str
    passes: int
    files: tuple[str, ...] = ()

    @property
    def is_load(self) -> bool:
        """Return whether it loaded a checkpoint."""
        return self.class_type.startswith("Checkpoint")

    @property
    def is_sampler(self) -> bool:
        """Return whether it was a sampler's pass."""
        return "Sampler" in self.class_type

    @property
    def is_save(self) -> bool:
        """Return whether it wrote files of the output folder."""
        return self.class_type == "SaveImage"


@dataclass(frozen=True, slots=True)
class Work:
    """How much ran: checkpoints loaded, first passes, and passes that follow another."""

    loads: int
    first: int
    second: int


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
    unload_models: bool = False
    worker_died_of: str = ""
    api_keys: dict[str, str] = field(default_factory=dict)
