"""Where the recipes, the templates and the manual that come with comfy_runner lie on disk."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).parent

STARTER = _PACKAGE / "recipe" / "starter.yaml"
"""The recipe that a new user starts from: complete, commented, and loaded without notes."""


@cache
def shipped(kind: Literal["recipes", "templates", "docs"]) -> Path:
    """Return the folder of the shipped recipes or templates, or of the manual's pages.

    In an installed package they lie inside it; in a checkout (an editable install) at the top level of the repository.
    """
    inside = _PACKAGE / "_shipped" / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind
