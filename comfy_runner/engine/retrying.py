"""Questions to an engine that are asked again as long as what keeps them from an answer may pass: the waiting of a `FileSource`."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import ServerError, Unreachable

T = TypeVar("T")

_MOST_BREAKS = 3  # answers of no use that come one after the other, however long each of them took
_PAUSES = (0.1, 0.2, 0.5, 1.0)  # seconds between two questions whether the engine answers; the last one is repeated


class RetryingSource:
    """What threads that can do nothing else meanwhile ask an engine through.

    Args:
        timeouts: How long the engine may be out of order.
        probe: Asks the engine anything; raises a `ServerError` where it does not answer.

    Attributes:
        timeouts: As given; may be set anew.
    """

    def __init__(self, timeouts: Timeouts, probe: Callable[[], object]) -> None:
        self.timeouts, self._probe = timeouts, probe
        self._unwanted = threading.Event()

    def retrying(self, ask: Callable[[], T]) -> T:
        """Return what a question gives that is asked again after errors that may pass."""
        began, failures = time.monotonic(), 0
        while True:
            try:
                return ask()
            except ServerError as error:
                failures += 1
                if not self._may_ask_again(error, failures, time.monotonic() - began):
                    raise

    def _may_ask_again(self, error: ServerError, failures: int, failing_for: float) -> bool:
        if isinstance(error, Unreachable) and not self.wait_until_reachable():
            return False
        # A long file has taken long already when it breaks off.
        failing_for = 0.0 if failures < _MOST_BREAKS else failing_for
        pause = self.timeouts.pause_before_retry(error, failures=failures, failing_for=failing_for)
        return pause is not None and not self._unwanted.wait(pause)

    def stop_waiting(self) -> None:
        """Wait for the engine no longer, now and in future."""
        self._unwanted.set()

    def wait_until_reachable(self) -> bool:
        """Wait until the engine answers, for `Timeouts.outage` seconds at most; return whether it does."""
        end = time.monotonic() + self.timeouts.outage
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            if self._unwanted.is_set():
                break
            try:
                self._probe()
            except ServerError:
                if time.monotonic() + pause > end or self._unwanted.wait(pause):
                    break
            else:
                return True
        return False
