"""The values of a job, seen as a form and its leaves: jobs of one form differ in nothing but scalars.

Not here: what a template does with them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfy_runner.templating.placeholders import HOLE, LONGEST, PLAIN, TAGGED, Hole, tagged

_MOST_BITS = 64
_LARGE = "large"
_PLAIN_TYPES = frozenset((str, int, float, bool, type(None)))
_INDEX = re.compile(r"\.\d+(?=\.|\Z)")


@dataclass(frozen=True, slots=True)
class Leaves:
    """A job's values, taken apart.

    Attributes:
        form: The keys, the lengths and the types, in reading order. None where there is anything that is not plain: then two
            values of one form might differ unseen.
        values: The scalars, in reading order.
    """

    form: tuple[Any, ...] | None
    values: list[Any]


def take_apart(values: Mapping[str, Any]) -> Leaves:
    """Return the form and the leaves of a job's values."""
    form: list[Any] = []
    found: list[Any] = []
    plain = _walk(values, form, found)
    return Leaves(tuple(form) if plain else None, found)


def _walk(value: Any, form: list[Any], found: list[Any]) -> bool:
    kind = type(value)
    if kind is str:
        form.append(str if len(value) <= LONGEST else _LARGE)
    elif kind is int:
        form.append(int if value.bit_length() <= _MOST_BITS else _LARGE)
    elif kind is float:
        form.append(float if math.isfinite(value) else _LARGE)
    elif kind is dict:
        form.append(tuple(value))
        plain = True
        for item in value.values():
            plain &= _walk(item, form, found)
        return plain
    elif kind is list:
        form.append(len(value))
        plain = True
        for item in value:
            plain &= _walk(item, form, found)
        return plain
    elif isinstance(value, Mapping):
        for item in value.values():
            _walk(item, form, found)
        return False
    elif isinstance(value, (list, tuple)):
        for item in value:
            _walk(item, form, found)
        return False
    else:
        form.append(kind)
    found.append(value)
    return kind in _PLAIN_TYPES


def sources(values: Mapping[str, Any]) -> list[str]:
    """Return the dotted field of each leaf."""
    found: list[str] = []
    _put_together(values, "", lambda _value, source: found.append(source))
    return found


def family(source: str) -> str:
    """Return what a field shares with the same field of other items: ``loras.*.name`` for ``loras.1.name``."""
    return _INDEX.sub(".*", source)


def given(values: Mapping[str, Any], levels: Sequence[int]) -> Any:
    """Return a job's values as a template gets them: each leaf at its level."""
    index = -1

    def leaf(value: Any, _source: str) -> Any:
        nonlocal index
        index += 1
        if levels[index] == HOLE:
            return Hole((index,))
        return tagged(value, index) if levels[index] == TAGGED else value

    return _put_together(values, "", leaf)


def least_level(value: Any) -> int:
    """Return how opaque a leaf can be: a hole, but for what is too large, or not plain."""
    form: list[Any] = []
    plain = _walk(value, form, [])
    if not plain:
        return PLAIN
    return TAGGED if form == [_LARGE] else HOLE


def knows_its_field(value: Any) -> bool:
    """Return whether a leaf tells where it comes from: a text or a number."""
    return type(value) in (str, int, float)


def token(value: Any) -> Any:
    """Return what two leaves of one type share exactly where they are written alike: -0.0 is not 0.0."""
    return repr(value) if type(value) is float else value


def has_plain_keys(value: Any) -> bool:
    """Return whether all keys are texts, so that two forms are equal only where they look equal."""
    if type(value) is dict:
        return all(type(key) is str and has_plain_keys(item) for key, item in value.items())
    return type(value) is not list or all(map(has_plain_keys, value))


def _put_together(value: Any, source: str, leaf: Callable[[Any, str], Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _put_together(item, f"{source}.{key}" if source else str(key), leaf) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_put_together(item, f"{source}.{index}", leaf) for index, item in enumerate(value)]
    return leaf(value, source)
