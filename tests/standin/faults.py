"""What can be wrong with a server, as values; `State` says which are on, the other modules act on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

HELD = 60.0
"""Seconds after which a test gives up waiting for a gate to be reached."""

SocketMode = Literal["ok", "refused", "deaf", "silent", "closing", "garbage"]
"""How ``/ws`` behaves: well; 403; open and sent nothing; open and not even answering pings; closed at once; sent nonsense."""


TroubleKind = Literal["out of memory", "flat", "broken gpu"]
"""No memory; a picture of one flat colour, as NaNs in a half-precision VAE give; a kernel that has failed, and all after it."""

CacheMode = Literal["classic", "none", "ram"]
"""What of older prompts the cache keeps: what the last one used; nothing; everything."""


class NodeFault(Enum):
    """How a node fails."""

    OUT_OF_MEMORY = "out of memory"
    ERROR = "error"
    BLOCKED = "blocked"
    """An ExecutionBlocker reaches an output: an error frame that a success follows, nothing of it in the history."""


@dataclass(slots=True)
class Trouble:
    """What befalls nodes for some time.

    Attributes:
        kind: Which.
        node: The id of the nodes that it befalls; empty for any.
        class_type: Their class; empty for any.
        times: How often; negative for ever.
        until_free: Whether ``POST /free`` ends it.
    """

    kind: TroubleKind
    node: str = ""
    class_type: str = ""
    times: int = -1
    until_free: bool = True

    def takes(self, node_id: str, class_type: str) -> bool:
        """Return whether it befalls a node now, and count it."""
        if self.times == 0 or self.node not in ("", node_id) or self.class_type not in ("", class_type):
            return False
        self.times -= 1
        return True


class ViewFault(Enum):
    """How a download goes wrong."""

    SLOW = "slow"
    TRUNCATED = "truncated"
    OTHER_SIZE = "other size"
    HTML = "html"
    GARBAGE = "garbage"
    CUT = "cut"
    """The first half of the file, as if that were all."""

    FLAT = "flat"


@dataclass(slots=True)
class ReplyFault:
    """A wrong answer to the next requests of one route.

    Attributes:
        path: The route, without ``/api``; one that ends in ``/*`` is all that begins so.
        method: GET or POST.
        status: What is answered; None closes the connection without an answer.
        times: For how many requests; negative for ever.
        handled: Whether the request takes effect all the same.
        body: The text that is answered.
        retry_after: The header of this name; empty for none.
        after: How many requests are answered well before.
    """

    path: str
    method: str
    status: int | None
    times: int = 1
    handled: bool = False
    body: str = "the stand-in was told to answer so"
    retry_after: str = ""
    after: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Return whether this fault is meant for a request, and count it."""
        start = self.path.removesuffix("*")
        is_meant = method == self.method and (path == self.path or (start != self.path and path.startswith(start)))
        if self.times == 0 or not is_meant:
            return False
        if self.after > 0:
            self.after -= 1
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

    @property
    def is_reached(self) -> bool:
        """Whether something has come to the gate."""
        return self._reached.is_set()

    def open(self) -> None:
        """Let it through, and all that follow."""
        self._opened.set()

    def reach(self) -> bool:
        """Note that something stands here; return whether it has to stay."""
        self._reached.set()
        return not self._opened.is_set()


def first_reached(gates: Sequence[Gate]) -> int:
    """Wait until something stands at one of several gates; return which of them it is."""
    last = time.monotonic() + HELD
    while time.monotonic() < last:
        for number, gate in enumerate(gates):
            if gate.is_reached:
                return number
        time.sleep(0.005)
    raise AssertionError("nothing came to any of the gates")
