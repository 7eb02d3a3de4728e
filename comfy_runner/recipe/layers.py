"""Layers of a recipe: `extends` and overrides are merged, and every value remembers where it came from.

Mappings merge deeply; lists and scalars replace. Alternative fields (``upscale.size`` and ``upscale.factor``,
the three ways to give ``size``) replace each other too. An axis of a sweep is replaced as a whole. `schema` checks whether the
result is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from comfy_runner.yaml_loader import FieldPath, dotted

SWEEP = "sweep"
"""The field whose keys are dotted fields themselves."""

_FIELD = re.compile(r"[\w.\[\]-]{1,80}")

# Which fields of a mapping exclude each other: giving one of a group takes the other groups away.
_GROUPS: Mapping[str, Sequence[Sequence[str]]] = {
    "size": (("width", "height"), ("aspect", "megapixels"), ("preset",)),
    "upscale": (("factor",), ("size",)),
}
_ALTERNATIVES: Mapping[FieldPath, Sequence[str]] = {
    (field, name): [other for others in groups if others is not group for other in others]
    for field, groups in _GROUPS.items()
    for group in groups
    for name in group
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of values.

    Attributes:
        values: Plain Python.
        place: Returns the place of a field for messages, such as ``recipes/x.yaml:8: upscale.denoise``.
        folder: What relative paths in it are relative to; None for values that come from no file.
        remarks: What there is to say of the way in which single fields are written.
        words: What single fields were in another program's words, where they are in ComfyUI's now.
    """

    values: Mapping[str, Any]
    place: Callable[[FieldPath], str]
    folder: Path | None = None
    remarks: Mapping[FieldPath, str] = field(default_factory=dict)
    words: Mapping[FieldPath, str] = field(default_factory=dict)


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


def patched(values: Mapping[str, Any], changes: Iterable[tuple[FieldPath, Any]]) -> dict[str, Any]:
    """Return values with some put over them as a layer would be; those given stay as they are, and share what did not change.

    An item of a list is replaced as a whole.

    Args:
        values: Plain Python.
        changes: Paths, of which none lies within another, and their values.
    """
    result = dict(values)
    for path, value in changes:
        under: Any = result
        for depth, step in enumerate(path[:-1]):
            _make_way(under, [step], path[:depth])
            old = under.get(step) if isinstance(under, dict) else under[step]
            if isinstance(old, str) and path[:depth] == ("loras",):
                old = {"name": old}
            under[step] = list(old) if isinstance(old, list | tuple) else dict(old) if isinstance(old, Mapping) else {}
            under = under[step]
        _put(under, {path[-1]: value}, path[:-1])
    return result


def _put(
    under: Any,
    over: Mapping[Any, Any],
    path: FieldPath,
    layer: Layer | None = None,
    origins: dict[FieldPath, Layer] | None = None,
) -> None:
    """Change `under` in place, a mapping or a list; it is never a value of a layer, always a copy made here."""
    _make_way(under, over, path, origins)
    for key, value in over.items():
        here = (*path, key)
        merges = isinstance(under, dict) and isinstance(value, Mapping) and path != (SWEEP,)
        old = under.get(key) if merges else None
        if not isinstance(old, Mapping):
            _forget(here, origins)
        if origins is not None and layer is not None:
            origins[here] = layer
        if merges:
            under[key] = dict(old) if isinstance(old, Mapping) else {}
            _put(under[key], value, here, layer, origins)
        else:
            under[key] = value


def _make_way(under: Any, keys: Iterable[Any], path: FieldPath, origins: dict[FieldPath, Layer] | None = None) -> None:
    """Take away what giving these keys replaces, but for themselves."""
    for gone in {other for key in keys for other in _ALTERNATIVES.get((*path, key), ())}.difference(keys):
        if gone in under:
            del under[gone]
            _forget((*path, gone), origins)


def conflict(first: FieldPath, second: FieldPath) -> bool:
    """Return whether giving one field changes what the other one is: equal, one within the other, or alternatives."""
    for depth, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return other in _ALTERNATIVES.get((*first[:depth], one), ())
    return True


def _forget(path: FieldPath, origins: dict[FieldPath, Layer] | None) -> None:
    if origins:
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted name as mappings within each other."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        *outer, last = name.split(".")
        here = found
        for step in outer:
            here = here.setdefault(step, {})
        here[last] = value
    return found


def value_at(values: Any, path: Iterable[str | int]) -> Any:
    """Return what a path leads to; None where it leads to nothing.

    Args:
        values: Mappings, lists and models within each other.
        path: Keys, numbers of items, and names of fields.
    """
    for step in path:
        if isinstance(values, Mapping):
            values = values.get(step)
        elif isinstance(values, list | tuple):
            values = values[int(step)] if str(step).isdecimal() and int(step) < len(values) else None
        else:
            values = getattr(values, str(step), None) if isinstance(values, BaseModel) else None
    return values


def written(path: FieldPath) -> str:
    """Return a path as people write it; the keys of a sweep are dotted already: ``sweep.upscale.denoise[3]``."""
    return dotted(path, word=_FIELD) if path[:1] == (SWEEP,) else dotted(path)
