"""The ways to write the values of an axis: a list, ``{from, to, step}``, ``{start, count, step}``, ``{file}``, ``{file, column}``.

Not here: whether the field takes them (`targets`), and what axes make together (`sweep`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import RecipeError
from comfy_runner.hints import nearest
from comfy_runner.recipe.sweep import ranges, tables
from comfy_runner.yaml_loader import FieldPath, dotted, got

Place = Callable[[FieldPath], str]

_FORMS = (("from", "to", "step"), ("start", "count", "step"), ("file", "column"))
_EXAMPLES = "write a list, {from: 0.5, to: 0.7, step: 0.05}, {start: 1, count: 8} or {file: values.txt}"


@dataclass(frozen=True, slots=True)
class Values:
    """Values as they are written, not yet checked.

    Attributes:
        values: Plain Python.
        place: Returns the place of a value, or of a part of it, for messages: the path starts with its number from 0.
    """

    values: list[Any]
    place: Place


def written_values(spec: Any, field: str, *, place: Place, folder: Path) -> Values:
    """Return the values of an axis.

    Args:
        spec: How they are written.
        field: The field that takes them.
        place: Returns the place of `spec`, or of a part of it, for messages.
        folder: What the paths of files are relative to.

    Raises:
        RecipeError: It is none of the ways, there is no value, or a file cannot be read.
    """
    if isinstance(spec, list):
        found = Values(spec, place)
    elif isinstance(spec, Mapping):
        found = _from_mapping(spec, field, place=place, folder=folder)
    else:
        raise RecipeError(f"must be a list of values (got {got(spec)})", where=place(()), hint=_EXAMPLES)
    if not found.values:
        raise RecipeError("has no values", where=place(()), hint=_EXAMPLES)
    return found


def below(place: Place, *steps: str | int) -> Place:
    """Return what tells the places of the parts of a part."""
    return lambda path: place((*steps, *path))


def in_file(listed: tables.Listed, field: str) -> Values:
    """Return values from a file, each with its line there."""

    def place(path: FieldPath) -> str:
        if not path or not isinstance(path[0], int):
            return f"{listed.name}: {field}"
        return f"{listed.name}:{listed.lines[path[0]]}: {field}{dotted(path[1:])}"

    return Values(listed.values, place)


def _from_mapping(spec: Mapping[str, Any], field: str, *, place: Place, folder: Path) -> Values:
    form = next((form for form in _FORMS if form[0] in spec), None)
    if form is None:
        inner = next((key for key, value in spec.items() if isinstance(value, list | Mapping)), None)
        hint = _EXAMPLES if inner is None else f"write the field as {field}.{inner}"
        raise RecipeError(
            f"is no way to write values (got the keys {', '.join(map(got, spec)) or 'none'})", where=place(()), hint=hint
        )
    for key in spec:
        if key not in form:
            near = nearest(key, form, most=1)
            hint = f"did you mean {near[0]}?" if near else f"beside {form[0]} there can be {' and '.join(form[1:])}"
            raise RecipeError(f"{got(key)} does not go with {form[0]}", where=place((key,)), hint=hint)
    if form[0] == "file":
        return in_file(_listed(spec, field, place=place, folder=folder), f"sweep.{field}")
    return Values(_numbers(spec, place), place)


def _listed(spec: Mapping[str, Any], field: str, *, place: Place, folder: Path) -> tables.Listed:
    path = file_of(spec, place=place, folder=folder)
    wanted = spec.get("column")
    if wanted is None:
        if path.suffix.lower() == ".csv":
            raise RecipeError("column is missing", where=place(()), hint="name a column of the CSV file")
        return tables.lines(path, field=field, where=place(("file",)))
    if not isinstance(wanted, str):
        raise RecipeError(f"must be the name of a column (got {got(wanted)})", where=place(("column",)))
    return tables.column(path, wanted, field=field, where=place(("file",)))


def file_of(spec: Mapping[str, Any], *, place: Place, folder: Path) -> Path:
    """Return the file that ``{file: …}`` names.

    Raises:
        RecipeError: It names none.
    """
    name = spec["file"]
    if not isinstance(name, str) or not name:
        raise RecipeError(f"must be the path of a file (got {got(name)})", where=place(("file",)))
    return folder / name


def _numbers(spec: Mapping[str, Any], place: Place) -> list[Any]:
    needed = ("from", "to") if "from" in spec else ("start", "count")
    missing = next((key for key in needed if key not in spec), None)
    if missing:
        raise RecipeError(f"{missing} is missing", where=place(()))
    for key, value in spec.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RecipeError(f"must be a number (got {got(value)})", where=place((key,)))
    try:
        if "from" in spec:
            return list(ranges.from_to(spec["from"], spec["to"], spec.get("step")))
        if not isinstance(spec["count"], int):
            raise RecipeError(f"must be a whole number (got {got(spec['count'])})", where=place(("count",)))
        return list(ranges.counted(spec["start"], spec["count"], spec.get("step", 1)))
    except ValueError as fault:
        raise RecipeError(str(fault), where=place(())) from None
