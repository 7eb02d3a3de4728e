"""Extensions from other installed packages: metrics, stores and checks, announced as entry points.

A package declares, for example, ``[project.entry-points."comfy_runner.metrics"]`` and ``lpips = "my_package:lpips"``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from comfy_runner.errors import UsageError

METRICS: Final = "comfy_runner.metrics"
"""The group of entry points of metrics."""


def announced(group: str) -> frozenset[str]:
    """Return the names that are announced in a group; nothing is imported.

    Args:
        group: The group of entry points, such as `METRICS`.
    """
    return frozenset(entry.name for entry in _entries(group, tuple(sys.path)))


def plugins(group: str, what: str, *, taken: Collection[str] = (), only: str | None = None) -> dict[str, Callable[..., Any]]:
    """Return the objects that are announced in a group, by name.

    Args:
        group: The group of entry points, such as ``comfy_runner.metrics``.
        what: The word for one of them in messages, such as ``metric``.
        taken: Built-in names, which none may have.
        only: The name of the only one to import; None for all.

    Raises:
        UsageError: One cannot be imported, is not callable, or has a built-in name.
    """
    found: dict[str, Callable[..., Any]] = {}
    for entry in _entries(group, tuple(sys.path)):
        if only is not None and entry.name != only:
            continue
        where = f"{what} {entry.name} ({entry.value})"
        hint = f"uninstall or repair the package that announces it in {group}"
        if entry.name in taken:
            raise UsageError(f"has the name of one of the built-in {what}s", where=where, hint=hint)
        try:
            loaded = entry.load()
        except Exception as error:  # whatever a foreign package raises
            raise UsageError(f"cannot be imported ({type(error).__name__}: {error})", where=where, hint=hint) from error
        if not callable(loaded):
            raise UsageError("is not a function", where=where, hint=hint)
        found[entry.name] = loaded
    return found


@lru_cache(maxsize=32)
def _entries(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return a group's entry points on a path of imports: looking through all installed packages takes some milliseconds."""
    return tuple(entry_points(group=group))
