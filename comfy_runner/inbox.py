"""Messages from many threads to one, which may wait for the next one for a limited time."""

from __future__ import annotations

import queue
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Inbox(queue.SimpleQueue[T]):
    """A `queue.SimpleQueue` from which one thread takes, and whose waits end.

    In CPython 3.11 and 3.12, ``SimpleQueue.get(timeout=…)`` takes the queue's lock at once where that is free, and only then
    computes how long to wait for the next item. If the time is over by then, since it was short or the process did not have the
    processor, what is left is negative, and a negative time is forever. The lock is free whenever an item was put while nobody
    waited.

    Asking without waiting takes that lock, so that the wait which follows is the first and only one. ``put`` stays what it is: it
    never waits, and may be called in a signal handler, which that of ``queue.Queue`` may not.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Return the next item, and remove it.

        Args:
            block: Whether to wait where there is none.
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            queue.Empty: There is none, and none came in that time.
        """
        with suppress(queue.Empty):
            return self.get_nowait()
        return super().get(block, timeout)
