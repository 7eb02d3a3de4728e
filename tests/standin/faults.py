"""What can be wrong with a server, as values; `State` says which are on, the other modules act on them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum
from typing import Literal

HELD = 60.0
"""Seconds after which a test gives up waiting for a gate to be reached."""

SocketMode = Literal["ok", "refused", "deaf", "silent", "closing", "garbage"]
"""How ``/ws`` behaves: well; 403; open and sent nothing; open and not even answering pings; closed at once; sent nonsense."""


class NodeFault(Enum):
    """How a node fails."""

    OUT_OF_MEMORY = "out of memory"
    ERROR = "error"
    BLOCKED = "blocked"
    """An ExecutionBlocker reaches an output: an error frame that a success follows, nothing of it in the history."""


class ViewFault(Enum):
    """How a download goes wrong."""

    SLOW = "slow"
    TRUNCATED = "truncated"
    OTHER_SIZE = "other size"
    HTML = "html"
    FLAT = "flat"


@dataclass(slots=True)
class ReplyFault:
    """A wrong answer to the next requests of one route.

    Attributes:
        path: The route, without ``/api``.
        method: GET or POST.
        status: What is answered; None closes the connection without an answer.
        times: For how many requests; negative for ever.
        handled: Whether the request takes effect all the same.
        body: The text that is answered.
    """

    path: str
    method: str
    status: int | None
    times: int = 1
    handled: bool = False
    body: str = "the stand-in was told to answer so"

    def takes(self, method: str, path: str) -> bool:
        """Return whether this fault is meant for a request, and count it."""
        if self.times == 0 or (method, path) != (self.method, self.path):
            return False
        self.times -= 1
        return True


class Gate:
    """Holds a running prompt, or requests, at one place until the test opens it; an interrupt gets through."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    def wait(self) -> None:
        """Return when something stands at the gate."""
        assert self._reached.wait(HELD), "nothing came to the gate"

    def open(self) -> None:
        """Let it through, and all that follow."""
        self._opened.set()

    def reach(self) -> bool:
        """Note that something stands here; return whether it has to stay."""
        self._reached.set()
        return not self._opened.is_set()
