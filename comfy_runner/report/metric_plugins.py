"""Metrics of the user's own: installed packages announce them as entry points of the group ``comfy_runner.metrics``.

A package says ``[project.entry-points."comfy_runner.metrics"]`` and ``lpips = "my_package:lpips"``; docs/metrics.md has an example.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from comfy_runner.errors import UsageError
from comfy_runner.report.measures import NUMBERS

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

GROUP: Final = "comfy_runner.metrics"


def installed_metrics() -> dict[str, Metric]:
    """Return all announced metrics by name.

    Raises:
        UsageError: One cannot be imported, is not callable, or is called as one of ours.
    """
    found: dict[str, Metric] = {}
    for entry in entry_points(group=GROUP):
        where = f"metric {entry.name} ({entry.value})"
        hint = f"uninstall or repair the package that announces it in {GROUP}"
        if entry.name in NUMBERS:
            raise UsageError("is called as one of the built-in metrics", where=where, hint=hint)
        try:
            metric = entry.load()
        except Exception as error:  # whatever a foreign package raises
            raise UsageError(f"cannot be imported ({type(error).__name__}: {error})", where=where, hint=hint) from error
        if not callable(metric):
            raise UsageError("is not a function", where=where, hint=hint)
        found[entry.name] = metric
    return found
