"""Kills its own process at a named point of comfy_runner; a Python with this folder in PYTHONPATH imports it before all else.

``KILL_AT=put.before:3`` kills when that point is passed for the third time, and ``KILL_TOLD=FILE`` has the point written to a
file first. The program itself knows nothing of it: a point is a function that is wrapped when its module is imported.
Without ``KILL_AT`` nothing is changed. Not here: which points are chosen, and kills from outside.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_HERE = str(Path(__file__).parent)


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
        told: The file that gets to know of it; empty for none.
    """

    def __init__(self, at: str, told: str) -> None:
        self._point, _, number = at.partition(":")
        self._left = int(number or 1)
        self._told = told
        self._lock = threading.Lock()
        if self._point not in POINTS:
            # Python only mentions other exceptions and goes on.
            raise SystemExit(f"KILL_AT: no such point (got {at})")

    def passed(self, point: str) -> None:
        """Note that a point is passed; does not return where it is the chosen one."""
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                if self._told:
                    Path(self._told).write_text(point, encoding="utf-8")
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


class Finder:
    """Finds the modules that have seams as Python would, and wraps those when the module has been executed."""

    def __init__(self, trap: Trap) -> None:
        self._trap = trap

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return how a module is imported, for those that have seams."""
        seams = [seam for seam in SEAMS if seam.module == name]
        others = [finder for finder in sys.meta_path if finder is not self] if seams else []
        spec = next((found for finder in others if (found := finder.find_spec(name, path, target)) is not None), None)
        loader: Any = spec.loader if spec is not None else None
        if loader is None:
            return None
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for seam in seams:
                owner = getattr(module, seam.owner)
                setattr(owner, seam.name, self._trap.wrap(seam, getattr(owner, seam.name)))

        loader.exec_module = exec_module
        return spec


def _go_on() -> None:
    """Import the module that this one stands before."""
    spec = PathFinder.find_spec("sitecustomize", [folder for folder in sys.path if folder != _HERE])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    if "KILL_AT" in os.environ:
        sys.meta_path.insert(0, Finder(Trap(os.environ["KILL_AT"], os.environ.get("KILL_TOLD", ""))))
    _go_on()
