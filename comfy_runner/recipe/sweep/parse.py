"""Reading a recipe's sweep: its axes with all their values checked, what is left out and what is added.

An axis is one field, or several that move together (``zip``). Each value is checked alone; what only a combination shows is for
`expand`. How values are written is for `values`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from comfy_runner.errors import InputError, Note, Problem, RecipeError
from comfy_runner.recipe.layers import SWEEP, Layer, Merged, conflict, patched, value_at
from comfy_runner.recipe.prompts.prompt_rules import COMBINE, NO_RULES, VARS, PromptRules, texts_of
from comfy_runner.recipe.sweep.axes import (
    MOST_FIELDS,
    MOST_POINTS,
    UNSET,
    Condition,
    Draw,
    Matcher,
    Sweep,
    SweepAxis,
    sameness,
)
from comfy_runner.recipe.sweep.fields import PlaceOf, Target, below, job_name, resolve
from comfy_runner.recipe.sweep.ids import same_names
from comfy_runner.recipe.sweep.prompt_lines import columns_of_file
from comfy_runner.recipe.sweep.swept_prompts import SweptPrompts
from comfy_runner.recipe.sweep.value_files import Values
from comfy_runner.recipe.sweep.values import written_values
from comfy_runner.recipe.web_ui_words import SAMPLERS, contradiction, schedule_in, sentence, translated, translated_point
from comfy_runner.wording import counted, did_you_mean
from comfy_runner.yaml_loader import FieldPath, dotted, got

_SHOWN_PROBLEMS = 20


def parse_sweep(
    merged: Merged, *, pins: Callable[[FieldPath, str], str], rules: PromptRules = NO_RULES
) -> tuple[Sweep | None, list[Problem], list[Note]]:
    """Return the sweep of a recipe, everything that is wrong with it, and what the user should know of it.

    Args:
        merged: The recipe's values and where they come from. Where alternatives are combined, a prompt that is not swept becomes
            an axis, and its first combination the recipe's own value.
        pins: Returns the place that gives a field (a path) after a key of the sweep did; empty if none does.
        rules: How the recipe's prompts are filled in; a sweep over variables makes them so in any case.
    """
    raw = merged.values.get(SWEEP) or {}
    if not isinstance(raw, Mapping) or not (raw or rules.alternatives == COMBINE):
        return None, [], []
    parser, sweep = _Parser(merged, pins, rules), None
    with contextlib.suppress(_TooManyFields):
        sweep = parser.sweep(raw)
    return (None if parser.problems or (sweep and not sweep.targets and not raw) else sweep), parser.problems, parser.notes


class _TooManyFields(Exception):
    """Not even their names are looked at one by one; that is among the parser's problems."""


class _Parser:
    def __init__(self, merged: Merged, pins: Callable[[FieldPath, str], str], rules: PromptRules) -> None:
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self._merged = merged
        self._pins = pins
        self._prompts = SweptPrompts(rules)
        self._pinned: set[str] = set()
        self._taken: dict[Target, str] = {}
        self._origins: dict[FieldPath, Layer] = {}
        self._fields: set[str] = set()
        self._draws = 0

    def sweep(self, raw: Mapping[str, Any]) -> Sweep:
        """Return the sweep; where something is wrong with it, it is only part of one."""
        axes: list[SweepAxis] = []
        for key, spec in raw.items():
            if key not in ("exclude", "include"):
                with self._collecting():
                    axes.extend(self._zip(spec) if key == "zip" else self._axis(key, spec))
        axes.extend(self._combinations())
        swept = {target.field: axis for axis in axes for target in axis.targets}
        exclusions = list(self._exclusions(raw.get("exclude"), swept))
        self._note_idle(exclusions, axes)
        if self._merged.values.get("seed", "random") == "random":  # the points that give no seed have the first draw
            self._draws = max(self._draws, 1)
        includes = list(self._includes(raw.get("include")))
        points = math.prod(len(axis.rows) for axis in axes) + len(includes)
        if points > MOST_POINTS:
            what = f"makes {counted(points, 'job')}, and at most {MOST_POINTS} are possible"
            self.problems.append(Problem(what, self._merged.place((SWEEP,))))
        targets = dict.fromkeys(itertools.chain(*(axis.targets for axis in axes), *includes))
        known = self._merged.values.get(VARS) or {}
        problems, notes = self._prompts.checked({*known, *(target.path[-1] for target in targets if target.path[0] == VARS)})
        self.problems += problems
        self.notes += notes
        return Sweep(
            axes=tuple(axes),
            exclusions=tuple(condition for condition, _ in exclusions),
            includes=tuple({target.field: value for target, value in point.items()} for point in includes),
            targets=tuple(targets),
            merged=self._with_places(),
            only_includes=bool(includes) and not axes and not self._pinned,
        )

    @contextlib.contextmanager
    def _collecting(self) -> Iterator[None]:
        """Collect the problems of what is raised here, and go on behind it."""
        try:
            yield
        except InputError as error:
            self.problems.extend(error.problems)

    def _with_places(self) -> Merged:
        """Return the recipe's values without the sweep; swept fields come from where the sweep gives them."""
        values = {key: value for key, value in self._merged.values.items() if key != SWEEP}
        depths = {len(path) for path in self._origins}
        kept = {
            path: layer
            for path, layer in self._merged.origins.items()
            if not any(path[:depth] in self._origins for depth in depths if depth <= len(path))
        }
        return Merged(values, {**kept, **self._origins})

    # axes

    def _axis(self, key: str, spec: Any) -> Iterator[SweepAxis]:
        layer = self._merged.origin((SWEEP, key))
        yield from self._group({key: spec}, below(layer.place, SWEEP), layer.folder or Path(), key=key)

    def _zip(self, spec: Any) -> Iterator[SweepAxis]:
        place, folder = self._at("zip")
        groups = [spec] if isinstance(spec, Mapping) else spec
        if not isinstance(groups, list):
            hint = "write for example zip: [{seed: [1, 2], prompt: [a, b]}]"
            raise RecipeError(f"must be a list of groups (got {got(spec)})", where=place(()), hint=hint)
        for index, group in enumerate(groups):
            with self._collecting():
                here = place if group is spec else below(place, index)
                if not isinstance(group, Mapping) or not group:
                    raise RecipeError(f"must be a mapping of fields that move together (got {got(group)})", where=here(()))
                columns, notes = columns_of_file(group, place=here, folder=folder) if "file" in group else (group, ())
                self.notes += notes
                yield from self._group(columns, here, folder, key="zip")

    def _group(self, group: Mapping[str, Any], place: PlaceOf, folder: Path, *, key: str) -> Iterator[SweepAxis]:
        """Yield the axis of fields that move together; those that are given otherwise do not count."""
        columns: dict[Target, list[Any]] = {}
        names: dict[Target, tuple[list[Any], PlaceOf]] = {}
        places: dict[Target, PlaceOf] = {}
        for name, spec in group.items():
            with self._collecting():
                where = spec.place if isinstance(spec, Values) else below(place, name)
                target = self._swept(name, where, key=key)
                if not self._is_pinned(target, key):
                    values = written_values(spec, target.field, place=where, folder=folder)
                    checked = self._drawn(target, self._checked(target, values))
                    columns[target] = self._in_comfyui_words(target, checked, values.place)
                    if target == job_name():
                        self.problems += same_names(checked, values.place)
                    if target.path[:-1] in SAMPLERS and target.path[-1] == "name":
                        names[target] = checked, where
                    places[target] = values.place
                    self._prompts.add(target, values.values, values.place)
        for target, (checked, where) in names.items():
            with self._collecting():
                self._add_schedulers(columns, target, checked, where, key=key)
        if len({len(column) for column in columns.values()}) > 1:
            counts = ", ".join(f"{len(column)} of {target.field}" for target, column in columns.items())
            raise RecipeError(f"fields that move together need the same number of values (got {counts})", where=place(()))
        if columns:
            at = place(()) if key == "zip" else place((key,))
            yield self._distinct(self._prompts.with_combinations(columns, places, where=at), where=at)

    def _combinations(self) -> Iterator[SweepAxis]:
        """Yield an axis for each prompt that has alternatives to be combined and is not swept."""
        for path, text in list(texts_of(self._merged.values)):
            with self._collecting():
                layer = self._merged.origin(path)
                place = layer.place(path)
                target = resolve(dotted(path), self._merged.values, where=place)
                if target in self._taken and target.field not in self._pinned:
                    continue
                found = self._prompts.own_combinations(target, text, place)
                self._merged.values.update(patched(self._merged.values, [(path, found[0])]))
                if found[1:]:
                    self._taken[target] = place
                    self._origins.setdefault(target.path, layer)
                    yield SweepAxis((target,), {(prompt,): (prompt,) for prompt in found})

    def _checked(self, target: Target, values: Values) -> list[Any]:
        checked, problems = [], []
        for index, value in enumerate(values.values):
            is_sound = type(value) is Draw or value is UNSET
            sound, wrong = (value, []) if is_sound else target.check(value, below(values.place, index))
            checked.append(sound)
            problems += wrong
        self.problems.extend(problems[:_SHOWN_PROBLEMS])
        if len(problems) > _SHOWN_PROBLEMS:
            more = counted(len(problems) - _SHOWN_PROBLEMS, "more value is", "more values are")
            self.problems.append(Problem(f"and {more} wrong", values.place(())))
        return checked

    def _in_comfyui_words(self, target: Target, values: Sequence[Any], place: PlaceOf) -> list[Any]:
        """Return values in which samplers and schedulers have ComfyUI's names, and say which had others."""
        found = []
        said: dict[str, str] = {}
        for index, value in enumerate(values):
            each = translated(value, target.path)
            found.append(each.value)
            here = below(place, index)
            for path, word in each.words.items():
                scheduler = value_at(each.value, (*path[:-1], "scheduler")) if path else None
                said.setdefault(sentence(word, (*target.path, *path)[-1], scheduler), here(path))
            self.problems.extend(replace(problem, where=here(path)) for path, problem in each.problems.items())
        self.notes.extend(Note(what, where, "changed") for what, where in said.items())
        return found

    def _add_schedulers(
        self, columns: dict[Target, list[Any]], target: Target, names: Sequence[Any], place: PlaceOf, *, key: str
    ) -> None:
        """Add the column of the schedulers that samplers' names say, where they say any; those that say none keep the recipe's.

        Raises:
            RecipeError: The scheduler is given otherwise, too.
        """
        schedules = [schedule_in(name) for name in names]
        index = next((index for index, known in enumerate(schedules) if known), None)
        if index is None:
            return
        other = resolve(f"{target.field.removesuffix('name')}scheduler", self._merged.values, where=place(()))
        if other in columns:
            for number, (name, known, scheduler) in enumerate(zip(names, schedules, columns[other], strict=False)):
                if known and (wrong := contradiction(name, known, scheduler)):
                    self.problems.append(replace(wrong, where=place((number,))))
            return
        if self._is_pinned(other, key):
            return
        known, says = schedules[index], got(names[index])
        hint = f"write {known.name if known else ''} for {says}"
        if other in self._taken:
            raise RecipeError(
                f"{says} includes a scheduler, which is also swept ({self._taken[other]})", where=place(()), hint=hint
            )
        if (at := self._merged.place(other.path)).startswith("--set") and self._merged.gave(other.path):
            raise RecipeError(f"{says} includes a scheduler, but {at} gives one, too", where=place(()), hint=hint)
        self._taken[other] = place(())
        self._comes_from(other, place(()), key)
        columns[other] = [known.scheduler if known else UNSET for known in schedules]

    def _drawn(self, target: Target, values: list[Any]) -> list[Any]:
        """Return values with a draw of its own in place of each random seed."""
        if target.field != "seed":
            return values
        found: list[Any] = []
        for value in values:
            if value == "random":
                self._draws += 1
                value = Draw(self._draws)
            elif type(value) is Draw:
                self._draws = 1
            found.append(value)
        return found

    def _distinct(self, columns: Mapping[Target, list[Any]], *, where: str) -> SweepAxis:
        rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        again = [row for row in zip(*columns.values(), strict=True) if rows.setdefault(tuple(map(sameness, row)), row) is not row]
        if again:
            given = counted(len(again), "value is given twice and counts", "values are given twice and count")
            self.notes.append(Note(f"{given} once (got {', '.join(map(got, again[0]))})", where, "changed"))
        return SweepAxis(tuple(columns), rows)

    # points

    def _exclusions(self, spec: Any, swept: Mapping[str, SweepAxis]) -> Iterator[tuple[Condition, str]]:
        for point, place in self._translated_points("exclude", spec):
            condition: dict[str, frozenset[Any]] = {}
            possible = True
            for name, given in point.items():
                with self._collecting():
                    where = below(place, name)
                    target = self._resolved(name, where)
                    values = given if isinstance(given, list) else [given]
                    if target.field in self._pinned:
                        pinned, _ = target.check(value_at(self._merged.values, target.path), lambda _: "")
                        possible = possible and pinned in values
                    elif target.field not in swept:
                        raise RecipeError("is not swept", where=where(()), hint=did_you_mean(name, swept))
                    else:
                        found = Values(values, where if isinstance(given, list) else _without_index(where))
                        keys = set(map(sameness, self._checked(target, found)))
                        if target.field == "seed" and "random" in keys:  # whichever of them
                            rows = itertools.chain.from_iterable(swept["seed"].rows.values())
                            keys.update(str(value) for value in rows if type(value) is Draw)
                        condition[target.field] = frozenset(keys)
            if possible and condition:
                yield condition, place(())

    def _note_idle(self, exclusions: Sequence[tuple[Condition, str]], axes: Sequence[SweepAxis]) -> None:
        """Say which exclusions hold for no point: those that no row of some axis fulfils."""
        idle: set[int] = set()
        for axis in axes:
            fields = [target.field for target in axis.targets]
            matcher = Matcher([condition for condition, _ in exclusions], fields)
            concerned = {number for number, (condition, _) in enumerate(exclusions) if not condition.keys().isdisjoint(fields)}
            idle |= concerned.difference(itertools.chain.from_iterable(map(matcher.holding, axis.rows)))
        self.notes.extend(Note("matches no point of the sweep", exclusions[number][1]) for number in sorted(idle))

    def _includes(self, spec: Any) -> Iterator[dict[Target, Any]]:
        for given, place in self._translated_points("include", spec):
            point: dict[Target, Any] = {}
            for name, value in given.items():
                with self._collecting():
                    where = below(place, name)
                    target = self._resolved(name, where)
                    if self._is_pinned(target, "include"):
                        continue
                    other = next((known for known in point if conflict(known.path, target.path)), None)
                    if other is not None:
                        raise RecipeError(f"cannot be combined with {other.field}", where=where(()))
                    self._comes_from(target, where(()), "include")
                    self._prompts.add_one(target, value, where(()))
                    (point[target],) = self._drawn(target, self._checked(target, Values([value], _without_index(where))))
            if point:
                with self._collecting():
                    places = {target: _without_index(below(place, target.field)) for target in point}
                    columns = {target: [value] for target, value in point.items()}
                    combined = self._prompts.with_combinations(columns, places, where=place(()))
                    yield from (dict(zip(combined, row, strict=True)) for row in zip(*combined.values(), strict=True))

    def _translated_points(self, key: str, spec: Any) -> Iterator[tuple[Mapping[str, Any], PlaceOf]]:
        for point, place in self._points(key, spec):
            yield from ((each, place) for each in translated_point(point))

    def _points(self, key: str, spec: Any) -> Iterator[tuple[Mapping[str, Any], PlaceOf]]:
        if spec is None:
            return
        place, _ = self._at(key)
        if not isinstance(spec, list):
            what, hint = f"must be a list of mappings (got {got(spec)})", f"write for example {key}: [{{seed: 1}}]"
            self.problems.append(Problem(what, place(()), hint))
            return
        for index, point in enumerate(spec):
            if not isinstance(point, Mapping) or not point:
                what = f"must be a mapping of fields to values (got {got(point)})"
                self.problems.append(Problem(what, place((index,))))
            else:
                yield point, below(place, index)

    # fields

    def _swept(self, name: str, place: PlaceOf, *, key: str) -> Target:
        """Return a field that an axis takes for itself.

        Raises:
            RecipeError: There is no such field, or another axis has it.
        """
        target = job_name() if name == "name" and key == "zip" else self._resolved(name, place)
        for other, where in self._taken.items():
            if other.path == target.path:
                raise RecipeError(f"is swept twice (first at {where})", where=place(()))
            if conflict(other.path, target.path):
                raise RecipeError(f"cannot be swept together with {other.field}", where=place(()))
        self._taken[target] = place(())
        self._comes_from(target, place(()), key)
        return target

    def _comes_from(self, target: Target, place: str, key: str) -> None:
        folder = self._merged.origin((SWEEP, key)).folder
        self._origins.setdefault(target.path, Layer({}, lambda _: place, folder))

    def _resolved(self, name: str, place: PlaceOf) -> Target:
        target = resolve(name, self._merged.values, where=place(()))
        self._fields.add(target.field)
        if len(self._fields) > MOST_FIELDS:
            self.problems.append(Problem(f"is one field more than the {MOST_FIELDS} that can be swept", place(())))
            raise _TooManyFields
        return target

    def _is_pinned(self, target: Target, key: str) -> bool:
        pin = self._pins(target.path, key)
        if pin and target.field not in self._pinned:
            self._pinned.add(target.field)
            self.notes.append(Note(f"replaces the sweep over {target.field}", pin, "changed"))
        return bool(pin)

    def _at(self, key: str) -> tuple[PlaceOf, Path]:
        layer = self._merged.origin((SWEEP, key))
        return below(layer.place, SWEEP, key), layer.folder or Path()


def _without_index(place: PlaceOf) -> PlaceOf:
    return lambda path: place(path[1:])
