"""The package's own source, parsed once for all tests of a session that read it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "comfy_runner"
"""The folder of the package."""

FILES = sorted(PACKAGE.rglob("*.py"))
"""All its modules."""


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a module; nobody changes it."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return all nodes of that tree."""
    return list(ast.walk(tree(path)))
