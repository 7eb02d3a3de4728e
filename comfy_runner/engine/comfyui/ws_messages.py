"""Websocket frames of ComfyUI as values. Unknown frames are None: custom nodes send what they like.

What a frame tells of a prompt's progress is a report already, with what the server calls the prompt in place of our key.
Frames are hints about a prompt; what became of it is only known over HTTP (`history`). An exception are pictures that come over
the websocket alone (`StreamedPictures`): they are in no history and no file, so that what was missed is lost.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfy_runner.engine.reports import CachedNodes, NodeProgress


@dataclass(frozen=True, slots=True)
class Ended:
    """The prompt has ended, well or not, and its history entry is written."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, which is a result.

    Attributes:
        prompt_id: Whose it is; empty where the server does not say, for whatever is executed at this moment.
        node: Likewise.
        data: The file.
    """

    prompt_id: str
    node: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Preview:
    """A JPEG, which is a preview of what is sampled.

    Attributes:
        prompt_id: As of `Picture`.
        node: Likewise.
        data: The file.
    """

    prompt_id: str
    node: str
    data: bytes


Frame = CachedNodes | NodeProgress | Ended | Picture | Preview

HELLO = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
"""What a client says first: pictures are to say whose they are. Older servers take no notice."""

_PICTURE, _PICTURE_WITH_METADATA, _JPEG, _PNG = 1, 4, 1, 2
_JPEG_STARTS = b"\xff\xd8\xff"
_PNG_STARTS = b"\x89PNG\r\n\x1a\n"
_LONGEST_PREVIEW = 4 * 1024 * 1024
_MOST_TOGETHER = 1024 * 1024 * 1024  # of one prompt


def parse_frame(text: str | bytes) -> Frame | None:
    """Return what a text frame says, or None where it says nothing that is of use here."""
    try:
        message = json.loads(text)
        return _parse(message["type"], message["data"])
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def parse_binary(data: bytes) -> Picture | Preview | None:
    """Return the picture or preview in a binary frame, or None where there is none that is of use here."""
    try:
        kind, second = struct.unpack_from(">II", data)
        if kind == _PICTURE:
            return _image("", "", data[8:]) if second in (_JPEG, _PNG) else None
        if kind == _PICTURE_WITH_METADATA:
            said = json.loads(data[8 : 8 + second])
            prompt_id, node = said["prompt_id"], said["node_id"]
            if isinstance(prompt_id, str) and isinstance(node, str):
                return _image(prompt_id, node, data[8 + second :])
    except (struct.error, ValueError, LookupError, TypeError, RecursionError):
        pass
    return None


def _image(prompt_id: str, node: str, image: bytes) -> Picture | Preview | None:
    if image.startswith(_PNG_STARTS):
        return Picture(prompt_id, node, image)
    is_preview = image.startswith(_JPEG_STARTS) and len(image) <= _LONGEST_PREVIEW
    return Preview(prompt_id, node, image) if is_preview else None


def _parse(kind: str, data: Any) -> Frame | None:
    # On reconnecting, a server sends an "executing" without a prompt id: it says nothing about any one job.
    prompt_id = data["prompt_id"]
    if not isinstance(prompt_id, str):
        return None
    if kind == "execution_cached":
        return CachedNodes(prompt_id, tuple(str(node) for node in data["nodes"]))
    if kind == "executing":
        return Ended(prompt_id) if data["node"] is None else NodeProgress(prompt_id, _shown(data), 0, 0)
    if kind == "progress":
        steps = max(0, int(data["max"]))
        return NodeProgress(prompt_id, _shown(data), min(max(0, int(data["value"])), steps), steps)
    return None


def _shown(data: Mapping[str, Any]) -> str:
    """Return the node of the graph that a node stands for which a server has made while it ran, as in loops."""
    shown = data.get("display_node")
    return shown if isinstance(shown, str) and shown else str(data["node"])


@dataclass(slots=True)
class StreamedPictures:
    """The pictures that one prompt sends.

    Attributes:
        longest: How many bytes a picture of each node may have, by node id; nothing else is taken.
    """

    longest: Mapping[str, int]
    _came: dict[str, list[bytes]] = field(default_factory=dict)
    _expected: dict[str, int] = field(default_factory=dict)
    _broken: bool = False

    def expect(self, node: str, count: int) -> None:
        """Note how many pictures a node has, which it tells as its number of steps."""
        if node in self.longest:
            self._expected[node] = count

    def take(self, node: str, picture: bytes) -> None:
        """Take a picture. One that is too large is left out, so that its node has not given all."""
        together = sum(len(found) for several in self._came.values() for found in several)
        if len(picture) <= self.longest.get(node, -1) and together + len(picture) <= _MOST_TOGETHER:
            self._came.setdefault(node, []).append(picture)

    def interrupt(self) -> None:
        """Note that there was no connection for a while: only what is counted is known to be complete."""
        self._broken = True

    @property
    def all_came(self) -> bool:
        """Return whether nothing is missing."""
        return all(self._is_complete(node) for node in self.longest)

    def pictures(self) -> dict[str, tuple[bytes, ...]]:
        """Return the pictures by node id, in order; only of nodes of which all came."""
        return {node: tuple(found) for node, found in self._came.items() if self._is_complete(node)}

    def _is_complete(self, node: str) -> bool:
        count = len(self._came.get(node, ()))
        return count > 0 and (count == self._expected[node] if node in self._expected else not self._broken)
