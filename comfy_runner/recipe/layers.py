"""Recipes on top of each other: `extends` and overrides merge, and every value remembers who gave it.

Mappings merge deeply; lists and scalars replace. Fields that exclude each other (``upscale.size`` and ``upscale.factor``,
the three ways to give ``size``) replace each other too. An axis of a sweep is replaced as a whole.

Not here: reading the files (`load`) and whether the values are right (`schema`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfy_runner.yaml_loader import FieldPath, dotted, got

SWEEP = "sweep"
"""The field whose keys are dotted fields themselves."""

_FIELD = re.compile(r"[\w.\[\]-]{1,80}")

# Which fields of a mapping exclude each other: giving one of a group takes the other groups away.
_ALTERNATIVES: Mapping[FieldPath, Sequence[Sequence[str]]] = {
    ("size",): (("width", "height"), ("aspect", "megapixels"), ("preset",)),
    ("upscale",): (("factor",), ("size",)),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of values.

    Attributes:
        values: Plain Python.
        place: Returns the place of a field for messages, such as ``recipes/x.yaml:8: upscale.denoise``.
        folder: What relative paths in it are relative to; None for values that come from no file.
    """

    values: Mapping[str, Any]
    place: Callable[[FieldPath], str]
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """Values of several layers, the later over the earlier.

    Attributes:
        values: The result, plain Python.
        origins: For each path that a layer gave, the last layer that did.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: Mapping[FieldPath, Layer] = field(default_factory=dict)

    def origin(self, path: FieldPath) -> Layer:
        """Return the layer that gave a field, or its nearest parent; for the recipe as a whole, the first file or mapping."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        raise LookupError("nothing was merged")

    def gave(self, path: FieldPath) -> bool:
        """Return whether a layer gave this very field."""
        return path in self.origins

    def place(self, path: FieldPath) -> str:
        """Return the place of a field for messages."""
        return self.origin(path).place(path)


def merge(layers: Sequence[Layer], *, main: Layer) -> Merged:
    """Return the layers on top of each other, the last on top.

    Args:
        layers: At least one.
        main: The one that stands for the recipe as a whole: the file that was asked for.
    """
    values: dict[str, Any] = {}
    origins: dict[FieldPath, Layer] = {}
    for layer in layers:
        _put(values, layer.values, (), layer, origins)
    origins[()] = main
    return Merged(values, origins)


def _put(under: dict[str, Any], over: Mapping[str, Any], path: FieldPath, layer: Layer, origins: dict[FieldPath, Layer]) -> None:
    """Change `under` in place; it is never a value of a layer, always a copy made here."""
    for gone in _replaced(under, over, path):
        del under[gone]
        _forget((*path, gone), origins)
    for key, value in over.items():
        here = (*path, key)
        if isinstance(value, Mapping) and path != (SWEEP,):
            if not isinstance(under.get(key), dict):
                _forget(here, origins)
                under[key] = {}
            origins[here] = layer
            _put(under[key], value, here, layer, origins)
        else:
            _forget(here, origins)
            origins[here] = layer
            under[key] = value


def _replaced(under: Mapping[str, Any], over: Mapping[str, Any], path: FieldPath) -> list[str]:
    groups = _ALTERNATIVES.get(path, ())
    given = [group for group in groups if any(name in over for name in group)]
    if not given:
        return []
    return [name for group in groups if group not in given for name in group if name in under]


def alternatives(path: FieldPath, key: str | int) -> Sequence[str]:
    """Return the keys of the mapping at a path that giving this key takes away."""
    groups = _ALTERNATIVES.get(path)
    if groups is None or not any(key in group for group in groups):
        return ()
    return [name for group in groups if key not in group for name in group]


def conflict(first: FieldPath, second: FieldPath) -> bool:
    """Return whether giving one field changes what the other one is: equal, one within the other, or alternatives."""
    for depth, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return other in alternatives(first[:depth], one)
    return True


def _forget(path: FieldPath, origins: dict[FieldPath, Layer]) -> None:
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]


def plain_place(name: str) -> Callable[[FieldPath], str]:
    """Return the `Layer.place` of values without lines: ``recipe: upscale.denoise``."""
    return lambda path: f"{name}: {written(path)}" if path else name


def written(path: FieldPath) -> str:
    """Return a path as people write it; the keys of a sweep are dotted already: ``sweep.upscale.denoise[3]``."""
    if path[:1] != (SWEEP,):
        return dotted(path)
    text = SWEEP
    for step in path[1:]:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step if _FIELD.fullmatch(step) else got(step)}"
    return text
