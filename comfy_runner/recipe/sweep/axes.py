"""A sweep: axes with all their values, what is left out and what is added.

Not here: how it is written (`sweep_parser`), and multiplying it out (`variants`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from comfy_runner.recipe.layers import Merged
from comfy_runner.recipe.sweep.fields import Target

MOST_POINTS = 1_000_000
"""Most points of one recipe's sweep."""

MOST_FIELDS = 100
"""Most fields that one recipe sweeps."""


class _Unset:
    """Stands in a point for a field that keeps the recipe's own value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()
"""In a point: the recipe's own value."""


def sameness(value: Any) -> Any:
    """Return something hashable that is equal for equal values only; 1, 1.0 and true differ, as they do in a graph."""
    kind = type(value)
    if kind is str or value is None:
        return value
    if kind in (int, float, bool):
        return kind.__name__, value
    return "json", json.dumps(value, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Axis:
    """Fields that move together, usually one.

    Attributes:
        targets: The fields.
        rows: One value for each field, by row; no two rows are equal.
        keys: The number of each row by the `sameness` of its values.
    """

    targets: tuple[Target, ...]
    rows: tuple[tuple[Any, ...], ...]
    keys: Mapping[tuple[Any, ...], int]


@dataclass(frozen=True, slots=True)
class Sweep:
    """All points of a recipe, not multiplied out.

    Attributes:
        axes: In the order of the recipe.
        marks: For each axis, for each row: a bit for each exclusion that the row does not prevent. A point is left out where
            the rows that make it have a bit in common.
        exclusions: How many there are.
        includes: Points that are added, as values by field.
        targets: All fields, those of the axes first.
        merged: The recipe's values without the sweep, and where they and the swept ones come from.
        only_includes: Whether there are no points but the included ones.
    """

    axes: tuple[Axis, ...]
    marks: tuple[tuple[int, ...], ...]
    exclusions: int
    includes: tuple[Mapping[str, Any], ...]
    targets: tuple[Target, ...]
    merged: Merged = field(repr=False)
    only_includes: bool = False


def marks(axes: Sequence[Axis], exclusions: Sequence[Mapping[str, frozenset[Any]]]) -> tuple[tuple[int, ...], ...]:
    """Return `Sweep.marks`.

    Args:
        axes: The axes.
        exclusions: For each, the fields that it names with the `sameness` of the values that match.
    """
    return tuple(_marks(axis, exclusions) for axis in axes)


def _marks(axis: Axis, exclusions: Sequence[Mapping[str, frozenset[Any]]]) -> tuple[int, ...]:
    columns = []
    for target in axis.targets:
        indifferent = 0
        by_value: dict[Any, int] = {}
        for number, matches in enumerate(exclusions):
            if target.field not in matches:
                indifferent |= 1 << number
            for key in matches.get(target.field, ()):
                by_value[key] = by_value.get(key, 0) | 1 << number
        columns.append((indifferent, by_value))
    found = []
    for row in axis.keys:
        mark = -1
        for key, (indifferent, by_value) in zip(row, columns, strict=True):
            mark &= indifferent | by_value.get(key, 0)
        found.append(mark)
    return tuple(found)
