"""Waiting for a server that does not answer, in a thread that can do nothing else; until it does, or until nobody wants to wait.

Not here: lanes, which have other things to do meanwhile (`flights`).
"""

from __future__ import annotations

import itertools
import threading
import time

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import ServerError

_PAUSES = (0.1, 0.2, 0.5, 1.0)


class Outage:
    """What several threads share that ask one server.

    Args:
        http: The server.
        timeouts: How long it may be out of order.

    Attributes:
        timeouts: Likewise; may be set anew.
    """

    def __init__(self, http: ComfyHttp, timeouts: Timeouts) -> None:
        self._http, self.timeouts = http, timeouts
        self._hurry = threading.Event()

    @property
    def hurried(self) -> bool:
        """Return whether nobody wants to wait any longer."""
        return self._hurry.is_set()

    def hurry(self) -> None:
        """Wait no longer, now and in future."""
        self._hurry.set()

    def is_over(self) -> bool:
        """Wait until the server answers; return whether it does."""
        end = time.monotonic() + self.timeouts.outage
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                self._http.system_stats()
            except ServerError:
                if time.monotonic() + pause > end or self._hurry.wait(pause):
                    break
            else:
                return True
        return False
