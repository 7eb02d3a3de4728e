"""Repeats requests to an engine after transient errors, and waits for an engine that does not answer; used by `FileSource`."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import ServerError, Unreachable

T = TypeVar("T")

_MOST_BREAKS = 3  # from this many failures in a row on, the time since the first one counts
_PAUSES = (0.1, 0.2, 0.5, 1.0)  # seconds between two attempts to reach the engine; the last pause is repeated


class RetryingSource:
    """Sends requests to an engine from threads that may block until there is an answer.

    Args:
        timeouts: How long the engine may fail to answer.
        probe: Sends any request; raises a `ServerError` if the engine does not answer.

    Attributes:
        timeouts: The time limits, which can be replaced at any time.
    """

    def __init__(self, timeouts: Timeouts, probe: Callable[[], object]) -> None:
        self.timeouts, self._probe = timeouts, probe
        self._unwanted = threading.Event()

    def retrying(self, ask: Callable[[], T]) -> T:
        """Return the result of a request, which is repeated after transient errors; see `FileSource.retrying`."""
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
        # The download of a large file has already taken long when the connection breaks, which is not an outage.
        failing_for = 0.0 if failures < _MOST_BREAKS else failing_for
        pause = self.timeouts.pause_before_retry(error, failures=failures, failing_for=failing_for)
        return pause is not None and not self._unwanted.wait(pause)

    def stop_waiting(self) -> None:
        """Stop waiting for the engine, now and in future calls."""
        self._unwanted.set()

    def wait_until_reachable(self) -> bool:
        """Wait at most `Timeouts.outage` seconds until the engine answers; return whether it does."""
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
