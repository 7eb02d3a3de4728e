"""A sweep: axes with all their values, what is left out and what is added.

`parse` reads it from a recipe, `expand` multiplies it out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.layers import Merged
from comfy_runner.recipe.sweep.fields import Target

MOST_POINTS = 4_000_000
"""Most points of one recipe's sweep: while it is planned, a job takes 2 KB, and so many take 8 GB."""

MOST_FIELDS = 100
"""Most fields that one recipe sweeps."""


UNSET: Final = object()
"""In a point: the recipe's own value."""


@dataclass(frozen=True, slots=True)
class Draw:
    """In a point: a seed that is drawn once per run folder, or so far from one.

    Attributes:
        number: Which of its recipe's draws, from 1.
        offset: How far the seed is from it.
        prompt: The prompt whose own it is, in a sweep over prompts of a recipe that leaves its seed to chance; empty for none.
    """

    number: int = 1
    offset: int = 0
    prompt: str = ""

    def __str__(self) -> str:
        return f"random{self.number if self.number > 1 else ''}{f'{self.offset:+d}' if self.offset else ''}"

    def record(self, recipe: str) -> str:
        """Return what the run folder calls the draw, given its recipe's name."""
        if self.prompt:
            return f"{recipe}@{hashlib.sha256(self.prompt.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
        return f"{recipe}#{self.number}" if self.number > 1 else recipe

    def seed(self, drawn: int) -> int:
        """Return the seed, given what was drawn; behind the largest one comes 0."""
        return (drawn + self.offset) % (MAX_SEED + 1)


def sameness(value: Any) -> Any:
    """Return something hashable that is equal for equal values only; 1, 1.0 and true differ, as they do in a graph."""
    kind = type(value)
    if kind is str or value is None or value is UNSET:
        return value
    if kind in (int, float, bool):
        return kind.__name__, value
    if kind is Draw:
        return str(value)
    return "json", json.dumps(value, sort_keys=True)


@dataclass(frozen=True, slots=True)
class SweepAxis:
    """Fields that move together, usually one.

    Attributes:
        targets: The fields.
        rows: One value for each field, by row, under the `sameness` of its values, so that no two rows are equal.
    """

    targets: tuple[Target, ...]
    rows: Mapping[tuple[Any, ...], tuple[Any, ...]]


Condition = Mapping[str, frozenset[Any]]
"""The `sameness` of values by field: it holds for a point that has one of them in each of these fields."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """All points of a recipe, not multiplied out.

    Attributes:
        axes: In the order of the recipe.
        exclusions: Points for which one of these holds are left out; their fields are those of the axes.
        includes: Points that are added, as values by field.
        targets: All fields, those of the axes first.
        merged: The recipe's values without the sweep, and where they and the swept ones come from.
        only_includes: Whether there are no points but the included ones.
    """

    axes: tuple[SweepAxis, ...]
    exclusions: tuple[Condition, ...]
    includes: tuple[Mapping[str, Any], ...]
    targets: tuple[Target, ...]
    merged: Merged = field(repr=False)
    only_includes: bool = False


class Matcher:
    """Finds the conditions that hold for a point without trying them all: each is looked up by its field with fewest values.

    Args:
        conditions: The conditions. One that says nothing of these fields is never found.
        fields: The fields of the points that are asked about; conditions on others do not count.
    """

    def __init__(self, conditions: Sequence[Condition], fields: Sequence[str]) -> None:
        at = {name: index for index, name in enumerate(fields)}
        self._by_value: dict[int, dict[Any, list[tuple[int, dict[int, frozenset[Any]]]]]] = {}
        for number, condition in enumerate(conditions):
            known = {at[name]: values for name, values in condition.items() if name in at}
            if known:
                index = min(known, key=lambda index: len(known[index]))
                for value in known[index]:
                    self._by_value.setdefault(index, {}).setdefault(value, []).append((number, known))

    def holding(self, point: Sequence[Any]) -> Iterator[int]:
        """Yield the number of each condition that holds for a point, given by the `sameness` of its values."""
        for index, by_value in self._by_value.items():
            for number, condition in by_value.get(point[index], ()):
                if all(point[other] in values for other, values in condition.items()):
                    yield number

    def holds(self, point: Sequence[Any]) -> bool:
        """Return whether any condition holds for a point."""
        return next(self.holding(point), None) is not None
