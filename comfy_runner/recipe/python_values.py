"""Values that come from Python code, made as plain as if they had been read from YAML."""

from __future__ import annotations

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
    copier = _Copier(name)
    copy = copier.copy(values, ())
    if copier.problems:
        raise RecipeError.of(copier.problems)
    if not isinstance(copy, dict):
        raise RecipeError(f"must be a mapping (got {got(values)})", where=name)
    return copy


class _Copier:
    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self._name = name
        self._count = 0

    def copy(self, value: Any, path: FieldPath) -> Any:
        self._count += 1
        if self._count > MAX_NODES or len(path) >= MAX_DEPTH:
            raise RecipeError(f"must have at most {MAX_NODES} values, nested at most {MAX_DEPTH} deep", where=self._name)
        if isinstance(value, Mapping):
            return {self._key(key, path): self.copy(inner, (*path, str(key))) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.copy(inner, (*path, index)) for index, inner in enumerate(value)]
        wrong = _fault(value)
        if wrong:
            self._wrong(wrong, path)
        return value

    def _key(self, key: Any, path: FieldPath) -> str:
        if not isinstance(key, str):
            self._wrong(f"a key must be text (got {got(key)})", path)
        elif unsendable(key):
            self._wrong("a key must not contain NUL or lone surrogates", path)
        return str(key)

    def _wrong(self, what: str, path: FieldPath) -> None:
        self.problems.append(Problem(what, f"{self._name}: {dotted(path)}" if path else self._name))


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
