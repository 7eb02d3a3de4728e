"""Reading a recipe's sweep: its axes with all their values checked, what is left out and what is added.

An axis is one field, or several that move together (``zip``). Each value is checked alone; what only a combination shows is for
`variants`.

Not here: how values are written (`values`), and reading the recipe (`load`).
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfy_runner.errors import InputError, Note, Problem, RecipeError
from comfy_runner.hints import did_you_mean
from comfy_runner.recipe.layers import SWEEP, Layer, Merged, conflict
from comfy_runner.recipe.sweep import tables
from comfy_runner.recipe.sweep.axes import MOST_FIELDS, MOST_POINTS, UNSET, Axis, Sweep, marks, sameness
from comfy_runner.recipe.sweep.fields import NoSuchField, Target, resolve
from comfy_runner.recipe.sweep.values import Place, Values, below, file_of, in_file, written_values
from comfy_runner.yaml_loader import FieldPath, got

_SHOWN_PROBLEMS = 20


@dataclass(slots=True)
class _Findings:
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def parse_sweep(merged: Merged, *, pins: Callable[[FieldPath, str], str]) -> tuple[Sweep | None, list[Problem], list[Note]]:
    """Return the sweep of a recipe, everything that is wrong with it, and what the user should know of it.

    Args:
        merged: The recipe's values and where they come from.
        pins: Returns the place that gives a field (a path) after a key of the sweep did; empty if none does.
    """
    raw = merged.values.get(SWEEP)
    if not isinstance(raw, Mapping) or not raw:
        return None, [], []
    parser = _Parser(merged, pins)
    sweep = parser.sweep(raw)
    found = parser.found
    return (None if found.problems else sweep), found.problems, found.notes


class _Parser:
    def __init__(self, merged: Merged, pins: Callable[[FieldPath, str], str]) -> None:
        self.found = _Findings()
        self._merged = merged
        self._base = merged.values
        self._pins = pins
        self._pinned: set[str] = set()
        self._taken: dict[Target, str] = {}
        self._origins: dict[FieldPath, Layer] = {}
        self._fields: set[str] = set()
        self._too_many = False

    def sweep(self, raw: Mapping[str, Any]) -> Sweep:
        """Return the sweep; where something is wrong with it, it is only part of one."""
        axes: list[Axis] = []
        for key, spec in raw.items():
            if key not in ("exclude", "include"):
                axes.extend(self._zip(spec) if key == "zip" else self._axis(key, spec))
        exclusions = list(self._exclusions(raw.get("exclude"), axes))
        row_marks = marks(axes, [matches for matches, _ in exclusions])
        self._note_idle(row_marks, [where for _, where in exclusions])
        includes = self._includes(raw.get("include"))
        points = math.prod(len(axis.rows) for axis in axes)
        if points + len(includes) > MOST_POINTS:
            self._wrong(f"makes {points + len(includes)} jobs, and at most {MOST_POINTS} are possible", self._place(SWEEP))
        swept = [target for axis in axes for target in axis.targets]
        known = {target.field for target in swept}
        more = {target.field: target for point in includes for target in point if target.field not in known}
        only = bool(includes) and not axes and not self._pinned
        return Sweep(
            axes=tuple(axes),
            marks=row_marks,
            exclusions=len(exclusions),
            includes=tuple({target.field: value for target, value in point.items()} for point in includes),
            targets=(*swept, *more.values()),
            merged=self._with_places(),
            only_includes=only,
        )

    def _with_places(self) -> Merged:
        """Return the recipe's values without the sweep; swept fields come from where the sweep gives them."""
        values = {key: value for key, value in self._base.items() if key != SWEEP}
        depths = {len(path) for path in self._origins}
        kept = {
            path: layer
            for path, layer in self._merged.origins.items()
            if not any(path[:depth] in self._origins for depth in depths if depth <= len(path))
        }
        return Merged(values, {**kept, **self._origins})

    # axes

    def _axis(self, key: str, spec: Any) -> Iterator[Axis]:
        place, folder = self._at(key)
        target = self._target(key, place, key=key)
        if target is None or self._is_pinned(target, key):
            return
        try:
            values = written_values(spec, target.field, place=place, folder=folder)
        except InputError as error:
            self.found.problems.extend(error.problems)
            return
        yield self._rows([target], [self._checked(target, values)], place=place)

    def _zip(self, spec: Any) -> Iterator[Axis]:
        place, folder = self._at("zip")
        groups = [spec] if isinstance(spec, Mapping) else spec
        if not isinstance(groups, list):
            self._wrong(
                f"must be a list of groups (got {got(spec)})", place(()), "write for example zip: [{seed: [1, 2], prompt: [a, b]}]"
            )
            return
        for index, group in enumerate(groups):
            inside: FieldPath = () if group is spec else (index,)
            yield from self._group(group, below(place, *inside), folder)

    def _group(self, group: Any, place: Place, folder: Path) -> Iterator[Axis]:
        if not isinstance(group, Mapping) or not group:
            self._wrong(f"must be a mapping of fields that move together (got {got(group)})", place(()))
            return
        targets, columns = [], []
        for name, values, where in self._columns(group, place, folder):
            target = self._target(name, where, key="zip")
            if target is None or values is None:
                continue
            targets.append(target)
            columns.append(self._checked(target, values))
        lengths = {target.field: len(column) for target, column in zip(targets, columns, strict=True)}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{count} of {name}" for name, count in lengths.items())
            self._wrong(f"fields that move together need equally many values (got {counts})", place(()))
            return
        free = [index for index, target in enumerate(targets) if not self._is_pinned(target, "zip")]
        if free:
            yield self._rows([targets[index] for index in free], [columns[index] for index in free], place=place)

    def _columns(self, group: Mapping[str, Any], place: Place, folder: Path) -> Iterator[tuple[str, Values | None, Place]]:
        try:
            if list(group) == ["file"]:
                path = file_of(group, place=place, folder=folder)
                for name, listed in tables.columns(path, where=place(("file",))).items():
                    values = in_file(listed, name)
                    if not listed.values:
                        raise RecipeError("has no values", where=listed.name)
                    yield name, values, values.place
                return
        except InputError as error:
            self.found.problems.extend(error.problems)
            return
        for name, spec in group.items():
            where = below(place, name)
            try:
                yield name, written_values(spec, name, place=where, folder=folder), where
            except InputError as error:
                self.found.problems.extend(error.problems)
                yield name, None, where

    def _checked(self, target: Target, values: Values) -> list[Any]:
        checked, problems = [], []
        for index, value in enumerate(values.values):
            sound, wrong = target.check(value, below(values.place, index))
            checked.append(sound)
            problems += wrong
        shown = problems[:_SHOWN_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(Problem(f"and {len(problems) - len(shown)} more values are wrong", values.place(())))
        self.found.problems.extend(shown)
        return checked

    def _rows(self, targets: Sequence[Target], columns: Sequence[list[Any]], *, place: Place) -> Axis:
        rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        again: list[tuple[Any, ...]] = []
        for row in zip(*columns, strict=True):
            key = tuple(map(sameness, row))
            if key in rows:
                again.append(row)
            else:
                rows[key] = row
        if again:
            example = ", ".join(map(got, again[0]))
            what = (
                f"{len(again)} values are given twice and count once"
                if len(again) > 1
                else "a value is given twice and counts once"
            )
            self.found.notes.append(Note(f"{what} (got {example})", place(()), "changed"))
        return Axis(tuple(targets), tuple(rows.values()), {key: number for number, key in enumerate(rows)})

    # points

    def _exclusions(self, spec: Any, axes: Sequence[Axis]) -> Iterator[tuple[Mapping[str, frozenset[Any]], str]]:
        swept = {target.field: target for axis in axes for target in axis.targets}
        for point, place in self._points("exclude", spec):
            matches: dict[str, frozenset[Any]] = {}
            whole = True
            for name, given in point.items():
                where = below(place, name)
                target = self._resolved(name, where)
                if target is None:
                    continue
                if target.field in self._pinned:
                    whole = whole and self._pinned_to(target, given)
                    continue
                if target.field not in swept:
                    self._wrong("is not swept", where(()), did_you_mean(name, swept))
                    continue
                values = given if isinstance(given, list) else [given]
                at = where if isinstance(given, list) else _without_index(where)
                matches[target.field] = frozenset(map(sameness, self._checked(target, Values(values, at))))
            if whole and matches:
                yield matches, place(())

    def _note_idle(self, row_marks: Sequence[Sequence[int]], places: Sequence[str]) -> None:
        """Say which exclusions no point matches: those that no row of some axis lets through."""
        possible = [functools.reduce(operator.or_, axis, 0) for axis in row_marks]
        for number, place in enumerate(places):
            if not all(axis >> number & 1 for axis in possible):
                self.found.notes.append(Note("matches no point of the sweep", place))

    def _includes(self, spec: Any) -> list[dict[Target, Any]]:
        points = []
        for given, place in self._points("include", spec):
            point: dict[Target, Any] = {}
            for name, value in given.items():
                where = below(place, name)
                target = self._resolved(name, where)
                if target is None or self._is_pinned(target, "include"):
                    continue
                other = next((known for known in point if conflict(known.path, target.path)), None)
                if other is not None:
                    self._wrong(f"cannot be given beside {other.field}", where(()))
                    continue
                self._comes_from(target, where(()), "include")
                (point[target],) = self._checked(target, Values([value], _without_index(where)))
            if point:
                points.append(point)
        return points

    def _points(self, key: str, spec: Any) -> Iterator[tuple[Mapping[str, Any], Place]]:
        if spec is None:
            return
        place, _ = self._at(key)
        if not isinstance(spec, list):
            self._wrong(f"must be a list of mappings (got {got(spec)})", place(()), f"write for example {key}: [{{seed: 1}}]")
            return
        for index, point in enumerate(spec):
            if not isinstance(point, Mapping) or not point:
                self._wrong(f"must be a mapping of fields to values (got {got(point)})", place((index,)))
            else:
                yield point, below(place, index)

    # fields

    def _target(self, name: str, place: Place, *, key: str) -> Target | None:
        """Return a field that an axis takes for itself."""
        target = self._resolved(name, place)
        if target is None:
            return None
        for other, where in self._taken.items():
            if conflict(other.path, target.path):
                if other.path == target.path:
                    self._wrong(f"is swept twice (first at {where})", place(()))
                else:
                    self._wrong(f"cannot be swept beside {other.field}", place(()))
                return None
        self._taken[target] = place(())
        self._comes_from(target, place(()), key)
        return target

    def _comes_from(self, target: Target, place: str, key: str) -> None:
        folder = self._merged.origin((SWEEP, key)).folder
        self._origins.setdefault(target.path, Layer({}, lambda _: place, folder))

    def _resolved(self, name: str, place: Place) -> Target | None:
        try:
            target = resolve(name, self._base)
        except NoSuchField as fault:
            self._wrong(fault.what, place(()), fault.hint)
            return None
        self._fields.add(target.field)
        if len(self._fields) <= MOST_FIELDS:
            return target
        if not self._too_many:
            self._wrong(f"is one field more than the {MOST_FIELDS} that can be swept", place(()))
        self._too_many = True
        return None

    def _is_pinned(self, target: Target, key: str) -> bool:
        pin = self._pins(target.path, key)
        if not pin:
            return False
        if target.field not in self._pinned:
            self._pinned.add(target.field)
            self.found.notes.append(Note(f"takes the place of the sweep over {target.field}", pin, "changed"))
        return True

    def _pinned_to(self, target: Target, given: Any) -> bool:
        here: Any = self._base
        for step in target.path:
            here = here.get(step, UNSET) if isinstance(here, Mapping) else UNSET
        checked, _ = target.check(here, lambda _: "")
        return checked in (given if isinstance(given, list) else [given])

    def _at(self, key: str) -> tuple[Place, Path]:
        layer = self._merged.origin((SWEEP, key))
        return below(layer.place, SWEEP, key), layer.folder or Path()

    def _place(self, *path: str) -> str:
        return self._merged.place(path)

    def _wrong(self, what: str, where: str, hint: str = "") -> None:
        self.found.problems.append(Problem(what, where, hint))


def _without_index(place: Place) -> Place:
    return lambda path: place(path[1:])
