"""The checks that installed packages add to ours: entry points of the group ``comfy_runner.checks``.

A package says ``[project.entry-points."comfy_runner.checks"]`` and ``faces = "my_package:faces"``: a `Check`, which is a function
of an `Output` that yields `Finding` values. A picture of which one did not pass is ruled out, as by a veto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from comfy_runner.check.interface import Check
from comfy_runner.plugins import plugins

GROUP: Final = "comfy_runner.checks"

BUILT_IN: Final = frozenset(
    ("empty", "whole", "size", "flat", "noise", "blocks", "seams", "halos", "drift", "local_drift", "colour_shift")
)
"""The names of our own checks."""


def installed_checks() -> Mapping[str, Check]:
    """Return all announced checks by name.

    Raises:
        UsageError: One cannot be imported, is not callable, or is called as one of ours.
    """
    return cast("Mapping[str, Check]", plugins(GROUP, "check", taken=BUILT_IN))
