"""Whether a server still does its work, told from what was seen of it and when. Values and moments only; asking is `lane`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_runner.engine.timeouts import Timeouts


class Health:
    """What has been seen of one server lately.

    Args:
        timeouts: How long it may be out of order.

    Attributes:
        timeouts: Likewise; may be set anew.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self._failing_since: float | None = None
        self._idle_since: float | None = None

    @property
    def failing(self) -> bool:
        """Return whether the last question was not answered."""
        return self._failing_since is not None

    def answered(self) -> None:
        """Note that a question was answered."""
        self._failing_since = None

    def failed(self, now: float) -> bool:
        """Note that a question was not answered; return whether that has gone on for too long."""
        self._failing_since = now if self._failing_since is None else self._failing_since
        # A standstill is something that is seen, and nothing is seen now.
        self._idle_since = None
        return now - self._failing_since > self.timeouts.outage

    def stands_still(self, queue: Mapping[str, Any], now: float) -> bool:
        """Note the queue; return whether for too long prompts have been pending and none has run."""
        if queue.get("queue_running") or not queue.get("queue_pending"):
            self._idle_since = None
            return False
        self._idle_since = now if self._idle_since is None else self._idle_since
        return now - self._idle_since > self.timeouts.idle

    def forget(self) -> None:
        """Start anew."""
        self._failing_since = self._idle_since = None
