"""Values put over a recipe's own, as an override does, but cheaply: only the mappings on the way are copied.

Not here: overrides from files and the command line, which also remember where they come from (`layers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from comfy_runner.recipe.layers import alternatives
from comfy_runner.yaml_loader import FieldPath


def patched(values: Mapping[str, Any], changes: Iterable[tuple[FieldPath, Any]]) -> dict[str, Any]:
    """Return values with some changed; those given stay as they are, and share what did not change.

    Mappings merge, all else replaces, and alternatives (``upscale.size`` and ``upscale.factor``) replace each other. An item of
    a list is replaced as a whole.

    Args:
        values: Plain Python.
        changes: Paths, of which none lies within another, and their values.
    """
    result = dict(values)
    copies: dict[FieldPath, Any] = {(): result}
    for path, value in changes:
        _put(copies, path, value)
    return result


def _put(copies: dict[FieldPath, Any], path: FieldPath, value: Any) -> None:
    at, key = path[:-1], path[-1]
    here = copies.get(at)
    if here is None:
        here = _opened(copies, at)
    if isinstance(value, Mapping) and not isinstance(key, int):
        _opened(copies, path)
        for name, inner in value.items():
            _put(copies, (*path, name), inner)
        return
    _drop_alternatives(here, at, key)
    here[key] = value


def _opened(copies: dict[FieldPath, Any], path: FieldPath) -> Any:
    """Return the container at a path, as a copy that may be changed; what is no container becomes an empty mapping."""
    known = copies.get(path)
    if known is not None:
        return known
    at, key = path[:-1], path[-1]
    outer = _opened(copies, at)
    _drop_alternatives(outer, at, key)
    old = outer.get(key) if isinstance(outer, dict) else outer[key]
    copy: Any
    if isinstance(old, Mapping):
        copy = dict(old)
    elif isinstance(old, list | tuple):
        copy = list(old)
    else:
        copy = {"name": old} if at == ("loras",) and isinstance(old, str) else {}
    outer[key] = copies[path] = copy
    return copy


def _drop_alternatives(here: Any, at: FieldPath, key: str | int) -> None:
    if isinstance(here, dict):
        for other in alternatives(at, key):
            here.pop(other, None)
