"""The ways to write the values of an axis: a list, ``{from, to, step}``, ``{start, count, step}``, ``{file}``, ``{file, column}``.

Numbers are exact in decimals: 0.45 to 0.70 by 0.05 is six numbers, and none of them is 0.6000000000000001. Files are hostile until
checked: limited in size, UTF-8, without control characters. `fields` checks whether the field takes the values.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from comfy_runner.errors import RecipeError
from comfy_runner.recipe.fields import MAX_SEED, VERBATIM
from comfy_runner.recipe.sweep.axes import Draw
from comfy_runner.recipe.sweep.fields import PlaceOf
from comfy_runner.text_files import control_character, is_file, read, shown
from comfy_runner.wording import counted, did_you_mean, nearest
from comfy_runner.yaml_loader import FieldPath, dotted, got, plain_scalar

MOST_VALUES = 100_000
"""Most values of one axis."""

MAX_BYTES = 16 << 20
"""Largest file of values, in bytes."""

_Number = int | float

_MAX_COLUMNS = 1000
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
    place: PlaceOf


def written_values(spec: Any, field: str, *, place: PlaceOf, folder: Path) -> Values:
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
        form = _form(spec, field, place)
        found = _from_file(spec, field, place, folder) if form == "file" else Values(_numbers(spec, form, field, place), place)
    else:
        raise RecipeError(f"must be a list of values (got {got(spec)})", where=place(()), hint=_EXAMPLES)
    if not found.values:
        raise RecipeError("has no values", where=place(()), hint=_EXAMPLES)
    return found


def table_columns(spec: Mapping[str, Any], *, place: PlaceOf, folder: Path) -> dict[str, Values]:
    """Return the values of all columns of a CSV file, by their names in its first row.

    Args:
        spec: ``{file: …}``.
        place: Returns the place of `spec`, or of a part of it, for messages.
        folder: What the path is relative to.

    Raises:
        RecipeError: It names no file, or the file cannot be read, is too large, is no table or has no rows.
    """
    name, columns, rows = _table(_file(spec, place, folder), place(("file",)))
    if not rows:
        raise RecipeError("has no values", where=name)
    return {column: _in_file(name, [(line, row[at]) for line, row in rows], column, column) for at, column in enumerate(columns)}


def _form(spec: Mapping[str, Any], field: str, place: PlaceOf) -> str:
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
    return form[0]


# Numbers


def _numbers(spec: Mapping[str, Any], form: str, field: str, place: PlaceOf) -> list[Any]:
    drawn = field == "seed" and spec.get("start") == "random"
    missing = next((key for key in (("from", "to") if form == "from" else ("start", "count")) if key not in spec), None)
    if missing:
        raise RecipeError(f"{missing} is missing", where=place(()))
    for key, value in spec.items():
        if drawn and key == "start":
            continue
        kind, words = (int, "a whole number") if drawn or key == "count" else (int | float, "a number")
        if isinstance(value, bool) or not isinstance(value, kind):
            hint = "write {start: random, count: 3}, or [random, random, random]" if field == "seed" and value == "random" else ""
            raise RecipeError(f"must be {words} (got {got(value)})", where=place((key,)), hint=hint)
    try:
        if drawn:
            return _from_draw(spec["count"], spec.get("step", 1))
        if form == "from":
            return from_to(spec["from"], spec["to"], spec.get("step"))
        return count_from(spec["start"], spec["count"], spec.get("step", 1))
    except ValueError as fault:
        raise RecipeError(str(fault), where=place(())) from None


def from_to(first: _Number, last: _Number, step: _Number | None = None) -> list[_Number]:
    """Return numbers from one to another, both ends included if they are hit.

    Args:
        first: The first number.
        last: Where they end; it need not be hit.
        step: From one to the next, negative to go down; one up or down if it is None.

    Raises:
        ValueError: Two whole numbers or a step are needed; the step is zero or leads away; or there are too many numbers.
    """
    if step is None:
        if not (isinstance(first, int) and isinstance(last, int)):
            raise ValueError("step is missing, which only whole numbers can do without")
        step = 1 if last >= first else -1
    if not step:
        raise ValueError("step must not be 0")
    distance = _exact(last) - _exact(first)
    if distance * _exact(step) < 0:
        raise ValueError(f"step leads away from {got(last)} (got {got(step)} from {got(first)})")
    return _spaced(first, step, distance // _exact(step) + 1, whole=isinstance(last, int))


def count_from(first: _Number, count: int, step: _Number = 1) -> list[_Number]:
    """Return so many numbers.

    Args:
        first: The first number.
        count: How many, at least 1.
        step: From one to the next, negative to go down.

    Raises:
        ValueError: The step is zero, or there are too few or too many numbers.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 (got {count})")
    if not step and count > 1:
        raise ValueError("step must not be 0")
    return _spaced(first, step, count, whole=True)


def _from_draw(count: int, step: int) -> list[Draw]:
    """Return so many seeds from one that is drawn, as `count_from` does from a number."""
    offsets = count_from(0, count, step)
    if abs(offsets[-1]) > MAX_SEED:
        raise ValueError(f"must be at most {MAX_SEED} from the first to the last (got {got(abs(offsets[-1]))})")
    return [Draw(offset=int(offset)) for offset in offsets]


def _exact(number: _Number) -> Fraction:
    # The shortest decimal that gives the float is what was written.
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _spaced(first: _Number, step: _Number, count: int, *, whole: bool) -> list[_Number]:
    if count > MOST_VALUES:
        raise ValueError(f"must be at most {MOST_VALUES} values (got {got(count)})")
    start, stride = _exact(first), _exact(step)
    kind = int if whole and isinstance(first, int) and isinstance(step, int) else float
    try:
        return [kind(start + stride * index) for index in range(count)]
    except OverflowError:
        raise ValueError("must be finite numbers") from None


# Files


def _from_file(spec: Mapping[str, Any], field: str, place: PlaceOf, folder: Path) -> Values:
    """Return the lines of a text, without empty ones and those that start with ``#``; or the cells of a column."""
    path = _file(spec, place, folder)
    label, wanted = f"sweep.{field}", spec.get("column")
    if wanted is None:
        if path.suffix.lower() == ".csv":
            raise RecipeError("column is missing", where=place(()), hint="name a column of the CSV file")
        name, text = _text(path, place(("file",)))
        lines = enumerate(re.split(r"\r\n|\r|\n", text), 1)
        return _in_file(name, [(number, line) for number, line in lines if line.strip() and not line.startswith("#")], field, label)
    if not isinstance(wanted, str):
        raise RecipeError(f"must be the name of a column (got {got(wanted)})", where=place(("column",)))
    name, columns, rows = _table(path, place(("file",)))
    if wanted not in columns:
        raise RecipeError(f"has no column {got(wanted)}", where=f"{name}:1", hint=did_you_mean(wanted, columns))
    at = columns.index(wanted)
    return _in_file(name, [(line, row[at]) for line, row in rows], field, label)


def _in_file(name: str, texts: Sequence[tuple[int, str]], field: str, label: str) -> Values:
    """Return texts, each with its line in a file, as values: prompts as they are, all else as YAML's unquoted scalars."""
    if len(texts) > MOST_VALUES:
        raise RecipeError(f"must have at most {MOST_VALUES} values (got {len(texts)})", where=name)

    def value(line: int, text: str) -> Any:
        try:
            return text if field in VERBATIM else plain_scalar(text.strip())
        except ValueError as fault:
            raise RecipeError(str(fault), where=f"{name}:{line}") from None

    def place(path: FieldPath) -> str:
        if not path or not isinstance(path[0], int):
            return f"{name}: {label}"
        return f"{name}:{texts[path[0]][0]}: {label}{dotted(path[1:])}"

    return Values([value(line, text) for line, text in texts], place)


def _table(path: Path, where: str) -> tuple[str, list[str], list[tuple[int, list[str]]]]:
    """Return how messages call a CSV file, the names of its columns, and its other rows that are not empty, with their lines."""
    name, text = _text(path, where)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as fault:
        raise RecipeError(f"is not CSV ({fault})", where=f"{name}:{line}") from None
    if not rows:
        raise RecipeError("is empty", where=name)
    (first, header), *body = rows
    columns = [cell.strip() for cell in header]
    if len(columns) > _MAX_COLUMNS:
        raise RecipeError(f"must have at most {_MAX_COLUMNS} columns (got {len(columns)})", where=f"{name}:{first}")
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise RecipeError(f"has two columns {got(twice)}", where=f"{name}:{first}")
    for number, row in body:
        if len(row) != len(columns):
            hint = "put a cell with a comma in it in quotes"
            raise RecipeError(f"must have {counted(len(columns), 'cell')} (got {len(row)})", where=f"{name}:{number}", hint=hint)
    return name, columns, body


def _file(spec: Mapping[str, Any], place: PlaceOf, folder: Path) -> Path:
    name = spec["file"]
    if not isinstance(name, str) or not name:
        raise RecipeError(f"must be the path of a file (got {got(name)})", where=place(("file",)))
    return folder / name


def _text(path: Path, where: str) -> tuple[str, str]:
    name = shown(path)
    if not is_file(path):  # nor anything that never ends, such as a pipe
        raise RecipeError(f"no such file (got {name})", where=where)
    text = read(path, error=RecipeError, most=MAX_BYTES)
    if bad := control_character(text):
        raise RecipeError(bad[0], where=f"{name}:{bad[1]}")
    return name, text
