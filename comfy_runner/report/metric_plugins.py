"""Metrics of the user's own: installed packages announce them as entry points of the group ``comfy_runner.metrics``.

A package says ``[project.entry-points."comfy_runner.metrics"]`` and ``lpips = "my_package:lpips"``; docs/metrics.md has an example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from comfy_runner.plugins import plugins
from comfy_runner.report.measures import NUMBERS

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

GROUP: Final = "comfy_runner.metrics"


def installed_metrics() -> dict[str, Metric]:
    """Return all announced metrics by name.

    Raises:
        UsageError: One cannot be imported, is not callable, or is called as one of ours.
    """
    return plugins(GROUP, "metric", taken=NUMBERS)
