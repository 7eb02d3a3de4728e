"""Kills its own process at a named point of comfy_runner: a function of the program, which knows nothing of it, is wrapped.

Which points are chosen, and kills from outside, are the tests' business.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Seam:
    """A function of the program at which a process can be killed.

    Attributes:
        point: The point's name; ``before`` and ``after`` are two points.
        module: Where it is.
        owner: Its class.
        name: Its name.
        places: When: ``before`` it is called, ``after`` it has returned, or ``within`` the chunks that it gives.
    """

    point: str
    module: str
    owner: str
    name: str
    places: tuple[str, ...]

    def points(self) -> tuple[str, ...]:
        """Return the names of its points."""
        return tuple(f"{self.point}.{place}" for place in self.places) if len(self.places) > 1 else (self.point,)


_AROUND = ("before", "after")
SEAMS = (
    Seam("plan", "comfy_runner.planning.draft", "Draft", "__init__", ("after",)),
    Seam("ledger.commit", "comfy_runner.store.ledger", "Ledger", "_commit", _AROUND),
    Seam("post", "comfy_runner.engine.comfyui.client", "ComfyHttp", "submit", _AROUND),
    Seam("download", "comfy_runner.engine.comfyui.client", "ComfyHttp", "view", ("within",)),
    Seam("put", "comfy_runner.store.local", "LocalStore", "_place", _AROUND),
    Seam("sidecar", "comfy_runner.store.job_files", "JobFiles", "put", _AROUND),
)
POINTS = tuple(point for seam in SEAMS for point in seam.points())
"""The names of all points."""


class Trap:
    """Counts how often each point is passed, in all threads, and kills at the chosen one.

    Args:
        at: A point and a number, such as ``post.before:2``.
        told: The file that gets to know of it.
    """

    def __init__(self, at: str, told: Path) -> None:
        self._point, _, number = at.partition(":")
        self._left = int(number or 1)
        self._told = told
        self._lock = threading.Lock()
        if self._point not in POINTS:
            raise ValueError(f"no such point (got {at})")

    def passed(self, point: str) -> None:
        """Note that a point is passed; does not return where it is the chosen one."""
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._told.write_text(point, encoding="utf-8")
                os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, seam: Seam, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does what the seam's does and passes its points."""
        before, after = f"{seam.point}.before", f"{seam.point}.after" if len(seam.places) > 1 else seam.point

        @functools.wraps(function)
        def around(*args: Any, **named: Any) -> Any:
            self.passed(before)
            result = function(*args, **named)
            self.passed(after)
            return result

        @functools.wraps(function)
        @contextlib.contextmanager
        def within(*args: Any, **named: Any) -> Iterator[Iterator[bytes]]:
            with function(*args, **named) as chunks:
                yield self._halves(seam.point, chunks)

        return within if "within" in seam.places else around

    def _halves(self, point: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        # Small files come in one chunk, whose middle is what matters.
        for chunk in chunks:
            half = len(chunk) // 2
            yield chunk[:half]
            self.passed(point)
            yield chunk[half:]


def arm(at: str, told: Path) -> None:
    """Have this process killed.

    Args:
        at: At which point, and at which passing of it, such as ``put.before:3``.
        told: The file that the point is written to before.

    Raises:
        ValueError: There is no such point.
    """
    trap = Trap(at, told)
    for seam in SEAMS:
        owner = getattr(importlib.import_module(seam.module), seam.owner)
        setattr(owner, seam.name, trap.wrap(seam, getattr(owner, seam.name)))
