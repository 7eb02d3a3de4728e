"""How fast a server has been so far, in weighted steps per second, and how long what it has will take."""

from __future__ import annotations

from dataclasses import dataclass, field

_KEPT = 0.8  # of what was seen before, with each further submission
_OVERDUE = 0.25  # of the time that it has taken: what is overdue is expected to take that much longer
_OTHER = 3.0  # times as fast or as slow as before, twice in a row: what was before tells nothing any more


@dataclass(slots=True)
class Speed:
    """What was measured, older submissions counting less.

    Attributes:
        expected: Weighted steps per second, from earlier runs; None where nothing is known.
    """

    expected: float | None = None
    _work: float = 0.0
    _seconds: float = 0.0
    _odd: tuple[float, float] | None = None

    @property
    def known(self) -> float | None:
        """Return the speed in weighted steps per second; None where it is not known."""
        return self._work / self._seconds if self._work > 0 and self._seconds > 0 else self.expected

    def saw(self, work: float, seconds: float) -> None:
        """Note that so much work (weighted steps) took so long, with all waiting for others."""
        if work <= 0 or seconds <= 0:
            return
        change = work / seconds / (self.known or work / seconds)
        odd = (work, seconds) if not 1 / _OTHER < change < _OTHER else None
        if odd and self._odd and (change > 1) == (self._odd[0] / self._odd[1] > (self.known or 0.0)):
            self._work, self._seconds = (before + new for before, new in zip(self._odd, odd, strict=True))
        else:
            self._work = self._work * _KEPT + work
            self._seconds = self._seconds * _KEPT + seconds
        self._odd = odd

    def after(self, work: float, seconds: float) -> float:
        """Return what the speed would be if so much work took so long."""
        return (self._work * _KEPT + work) / (self._seconds * _KEPT + seconds)


@dataclass(slots=True)
class InFlight:
    """Submissions that a server has.

    Attributes:
        work: What each costs there, weighted steps, by its key; oldest first.
        since: When the server began with the oldest one.
    """

    work: dict[str, float] = field(default_factory=dict)
    since: float = 0.0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.work)

    def begin(self, key: str, work: float, now: float) -> None:
        """Note that a submission was posted."""
        if not self.work:
            self.since = now
        self.work[key] = work

    def end(self, key: str, now: float) -> tuple[float, float]:
        """Note that a submission has ended; return its work and the seconds since the one before it, or since it was posted."""
        work, seconds = self.work.pop(key), now - self.since
        self.since = now
        return work, seconds

    def slowed(self, rate: float, speed: Speed, now: float) -> float:
        """Return the speed if what is there were done now; `rate`, in weighted steps per second, where that would be no slower."""
        if not self.work:
            return rate
        oldest, elapsed = next(iter(self.work.values())), now - self.since
        # What is tried again costs nothing, as far as is known: how long it takes tells nothing.
        return rate if oldest <= 0 or oldest >= elapsed * rate else min(rate, speed.after(oldest, elapsed))

    def seconds_left(self, speed: float, now: float) -> float:
        """Return how long what is there will take, at a speed in weighted steps per second."""
        if not self.work:
            return 0.0
        oldest, elapsed = next(iter(self.work.values())), max(0.0, now - self.since)
        return max(oldest / speed - elapsed, elapsed * _OVERDUE) + (sum(self.work.values()) - oldest) / speed
