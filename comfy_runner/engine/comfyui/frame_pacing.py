"""When what a websocket tells is handed on, and when it is looked at again: a fleet's steps are more than anybody can see.

Ends and pictures go at once, and what came before them goes before them. Of progress the newest goes, once in an interval. To wake
a thread costs more than to read ten frames, so that nobody is woken for what would not be handed on: between two steps of a
sampler that has many before it, the socket is left alone. Knows no clock and no socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from comfy_runner.engine.comfyui.ws_messages import Ended, Frame, Picture, Preview
from comfy_runner.engine.reports import NodeProgress

_LONGEST, _SHORTEST = 1.0, 0.02  # seconds; what comes in so much time has room in the system's buffers


@dataclass(slots=True)
class FramePacer:
    """What of one connection's frames waits to be handed on.

    Attributes:
        interval: Seconds between two times that progress is handed on; 0 to hand on all of it at once.
    """

    interval: float = 0.0
    _held: list[Frame] = field(default_factory=list)
    _handed_at: float = float("-inf")
    _step: NodeProgress | None = None  # the last one that came
    _step_at: float = 0.0
    _first: tuple[int, float] = (0, 0.0)  # the first one of its sampler, and when that came
    _seconds: float = 0.0  # that a step takes; 0 where that is not known
    _gets_pictures: bool = False

    def take(self, frame: Frame, now: float) -> list[Frame]:
        """Return what is to be handed on because of a frame that has come.

        Args:
            frame: The frame.
            now: When it came, in seconds on a clock of the caller's.
        """
        if isinstance(frame, Ended | Picture):
            self._step = None
            return [*self._released(now), frame]
        if isinstance(frame, Preview):
            # One that does not say whose it is, is that of the node that started last.
            return [*self._released(now), frame]
        if isinstance(frame, NodeProgress):
            self._measure(frame, now)
            last = self._held[-1] if self._held else None
            if isinstance(last, NodeProgress) and _is_same(last, frame):
                self._held.pop()
        self._held.append(frame)
        return [] if self.interval else self._released(now)

    def see_picture(self) -> None:
        """Note that pictures come, also such as nobody wants: they are too large to be left lying."""
        self._gets_pictures = True

    def due(self, now: float) -> list[Frame]:
        """Return what has waited for long enough; to be asked when all that has come was taken."""
        return self._released(now) if self._held and now >= self._handed_at + self.interval else []

    def wait(self, now: float) -> float | None:
        """Return the seconds after which something is due; None where nothing waits."""
        return max(0.0, self._handed_at + self.interval - now) if self._held else None

    def rest(self, now: float) -> float:
        """Return the seconds for which nothing that comes would be handed on: at most half of what its sampler still takes.

        So an end is late only where steps are suddenly twice as fast, or it is none that was expected, and by a second at most.
        """
        if self._step is None or not self._seconds or self._gets_pictures:
            return 0.0
        half = (self._step.steps - self._step.step) * self._seconds / 2
        seconds = min(self._step_at + half, self._handed_at + self.interval) - now
        return min(_LONGEST, seconds) if seconds >= _SHORTEST else 0.0

    def _measure(self, frame: NodeProgress, now: float) -> None:
        last, self._step, self._step_at = self._step, frame, now
        if last is None or not last.steps or not _is_same(last, frame):
            self._first = frame.step, now
        # Since the first one, for several that are read at once seem to take no time.
        steps = frame.step - self._first[0]
        self._seconds = (now - self._first[1]) / steps if steps > 0 else 0.0

    def _released(self, now: float) -> list[Frame]:
        released, self._held = self._held, []
        self._handed_at = now if released else self._handed_at
        return released


def _is_same(last: NodeProgress, frame: NodeProgress) -> bool:
    """Return whether a frame says all that an earlier one has said, and more."""
    return (last.key, last.node) == (frame.key, frame.node) and last.steps in (0, frame.steps)
