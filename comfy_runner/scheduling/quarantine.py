"""When a server that was out of order is tried again: later each time, until it has done a job. Values and moments only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses, in seconds.

    Attributes:
        first: Before the first try.
        longest: At most; each pause is twice the one before it until then.
    """

    first: float = 2.0
    longest: float = 60.0

    def pause(self, failures: int) -> float:
        """Return the pause after so many failures in a row, at least one."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 30))


class Quarantine:
    """One server that is out of order, or was lately.

    Args:
        backoff: The pauses.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._failures = 0
        self.until = 0.0
        """When it is to be tried again, on the caller's clock."""

    @property
    def on_probation(self) -> bool:
        """Return whether it has done nothing since it was out of order."""
        return self._failures > 0

    def failed(self, now: float) -> float:
        """Note that it is out of order, or still is; return how many seconds it is left alone."""
        self._failures += 1
        pause = self._backoff.pause(self._failures)
        self.until = now + pause
        return pause

    def proved(self) -> None:
        """Note that it has done a job."""
        self._failures = 0
