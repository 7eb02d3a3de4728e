"""Values that come from Python code, made as plain as if they had been read from YAML."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from comfy_runner.errors import Problem, RecipeError
from comfy_runner.yaml_loader import MAX_DEPTH, MAX_NODES, FieldPath, dotted, got, unsendable

_LARGEST = 2**64 - 1


def plain(values: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """Return a deep copy of dicts with text keys, lists, and scalars that JSON knows.

    Args:
        values: Mappings, lists, tuples and scalars.
        name: What the values are called in messages.

    Raises:
        RecipeError: naming everything that has no plain form: other types, numbers that are not finite or need more than
            64 bits, NUL and lone surrogates in text, more than `MAX_NODES` values or `MAX_DEPTH` levels.
    """
    problems: list[Problem] = []
    count = itertools.count(1)

    def wrong(what: str, path: FieldPath) -> None:
        if what:
            problems.append(Problem(what, f"{name}: {dotted(path)}" if path else name))

    def copy(value: Any, path: FieldPath) -> Any:
        if next(count) > MAX_NODES or len(path) >= MAX_DEPTH:
            raise RecipeError(f"must have at most {MAX_NODES} values, nested at most {MAX_DEPTH} deep", where=name)
        if isinstance(value, Mapping):
            for key in value:
                wrong(_key_fault(key), path)
            return {str(key): copy(inner, (*path, str(key))) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [copy(inner, (*path, index)) for index, inner in enumerate(value)]
        wrong(_fault(value), path)
        return value

    found = copy(values, ())
    if problems:
        raise RecipeError.of(problems)
    if not isinstance(found, dict):
        raise RecipeError(f"must be a mapping (got {got(values)})", where=name)
    return found


def _key_fault(key: Any) -> str:
    if not isinstance(key, str):
        return f"a key must be text (got {got(key)})"
    return "a key must not contain NUL or lone surrogates" if unsendable(key) else ""


def _fault(value: Any) -> str:
    if isinstance(value, str):
        return unsendable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number (got {value})"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "must be a number of at most 64 bits"
    if value is None or isinstance(value, bool | int | float):
        return ""
    return f"must be text, a number, true, false, a list or a mapping (got {got(value)})"
