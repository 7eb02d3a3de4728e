"""Websocket frames of ComfyUI as values. Unknown frames are None: custom nodes send what they like.

Frames are hints about a job; what became of it is only known over HTTP (see `verdict`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cached:
    """The server will not run these nodes again: their results are in its cache."""

    prompt_id: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Executing:
    """A node starts."""

    prompt_id: str
    node: str


@dataclass(frozen=True, slots=True)
class Stepped:
    """A node has done some of its steps."""

    prompt_id: str
    node: str
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The prompt has ended, well or not, and its history entry is written."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """Some prompt, of anybody, has been queued, started, or has ended.

    Attributes:
        remaining: Prompts that are pending or running.
    """

    remaining: int


Frame = Cached | Executing | Stepped | Ended | QueueChanged


def parse_frame(text: str | bytes) -> Frame | None:
    """Return what a text frame says, or None where it says nothing that is of use here."""
    try:
        message = json.loads(text)
        return _parse(message["type"], message["data"])
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def _parse(kind: str, data: Any) -> Frame | None:
    if kind == "status":
        return QueueChanged(int(data["status"]["exec_info"]["queue_remaining"]))
    # On reconnecting, a server sends an "executing" without a prompt id: it says nothing about any one job.
    prompt_id = data["prompt_id"]
    if not isinstance(prompt_id, str):
        return None
    if kind == "execution_cached":
        return Cached(prompt_id, tuple(str(node) for node in data["nodes"]))
    if kind == "executing":
        return Ended(prompt_id) if data["node"] is None else Executing(prompt_id, str(data["node"]))
    if kind == "progress":
        steps = max(0, int(data["max"]))
        return Stepped(prompt_id, str(data["node"]), min(max(0, int(data["value"])), steps), steps)
    return None
