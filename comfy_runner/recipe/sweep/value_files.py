"""Values from files: the lines of a text, the columns of a table.

Tables are CSV, also with semicolons, tabs or bars: what separates the cells is told by the recipe, by ``sep=;`` as the first line,
or by the header. Files are hostile until checked: limited in size, UTF-8, without control characters.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import RecipeError
from comfy_runner.recipe.fields import is_verbatim
from comfy_runner.recipe.sweep.fields import PlaceOf
from comfy_runner.text_files import control_character, is_file, read, shown
from comfy_runner.wording import counted, did_you_mean
from comfy_runner.yaml_loader import FieldPath, dotted, got, plain_scalar

MOST_VALUES = 100_000
"""Most values of one axis."""

MAX_BYTES = 16 << 20
"""Largest file of values, in bytes."""

TABLES = (".csv", ".tsv", ".tab")
"""What the names of tables end in."""

_MAX_COLUMNS = 1000
_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_LINE_END = re.compile(r"\r\n|\r")
_SEP = re.compile(r'"?sep=([^\w"\n])\1*"?(?:\n|\Z)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Values:
    """Values as they are written, not yet checked.

    Attributes:
        values: Plain Python.
        place: Returns the place of a value, or of a part of it, for messages: the path starts with its number from 0.
    """

    values: list[Any]
    place: PlaceOf


def from_file(spec: Mapping[str, Any], field: str, place: PlaceOf, folder: Path) -> Values:
    """Return the lines of a text, without empty ones and those that start with ``#``; or the cells of a column.

    Args:
        spec: ``{file: …}``, and for a table ``column: …``, perhaps with ``delimiter: …``.
        field: The field that takes them.
        place: Returns the place of `spec`, or of a part of it, for messages.
        folder: What the path is relative to.

    Raises:
        RecipeError: It names no file or no column, or the file cannot be read, is too large or is no table.
    """
    path, label, wanted = file_of(spec, place, folder), f"sweep.{field}", spec.get("column")
    if wanted is None:
        if path.suffix.lower() in TABLES or "delimiter" in spec:
            raise RecipeError("column is missing", where=place(()), hint="name a column of the table")
        return _values(*text_lines(path, where=place(("file",))), field, label)
    if not isinstance(wanted, str):
        raise RecipeError(f"must be the name of a column (got {got(wanted)})", where=place(("column",)))
    name, columns, rows = _table(spec, place, folder)
    if wanted not in columns:
        raise RecipeError(f"has no column {got(wanted)}", where=f"{name}:1", hint=did_you_mean(wanted, columns))
    at = columns.index(wanted)
    return _values(name, [(line, row[at]) for line, row in rows], field, label)


def table_columns(spec: Mapping[str, Any], *, place: PlaceOf, folder: Path) -> dict[str, Values]:
    """Return the values of all columns of a table, by their names in its first row.

    Args:
        spec: ``{file: …}``, perhaps with ``delimiter: …``.
        place: Returns the place of `spec`, or of a part of it, for messages.
        folder: What the path is relative to.

    Raises:
        RecipeError: It names no file, or the file cannot be read, is too large, is no table or has no rows.
    """
    if other := next((key for key in spec if key not in ("file", "delimiter")), None):
        raise RecipeError(
            f"{got(other)} cannot be combined with file", where=place((other,)), hint="a table gives all fields of its group"
        )
    name, columns, rows = _table(spec, place, folder)
    if not rows:
        raise RecipeError("has no values", where=name)
    return {column: _values(name, [(line, row[at]) for line, row in rows], column, column) for at, column in enumerate(columns)}


def refuse_many(count: int, name: str) -> None:
    """Make sure that a file has no more values than an axis can have.

    Args:
        count: How many it has.
        name: What messages call it.

    Raises:
        RecipeError: It has.
    """
    if count > MOST_VALUES:
        raise RecipeError(f"must have at most {MOST_VALUES} values (got {count})", where=name)


def _values(name: str, texts: Sequence[tuple[int, str]], field: str, label: str) -> Values:
    """Return texts, each with its line in a file, as values: prompts as they are, all else as YAML's unquoted scalars."""
    refuse_many(len(texts), name)

    def value(line: int, text: str) -> Any:
        try:
            return text if is_verbatim(field) else text.strip() if field == "name" else plain_scalar(text.strip())
        except ValueError as fault:
            raise RecipeError(str(fault), where=f"{name}:{line}") from None

    def place(path: FieldPath) -> str:
        if not path or not isinstance(path[0], int):
            return f"{name}: {label}"
        return f"{name}:{texts[path[0]][0]}: {label}{dotted(path[1:])}"

    return Values([value(line, text) for line, text in texts], place)


def _table(spec: Mapping[str, Any], place: PlaceOf, folder: Path) -> tuple[str, list[str], list[tuple[int, list[str]]]]:
    """Return how messages call a table, the names of its columns, and its other rows that are not empty, with their lines."""
    name, text = _text(file_of(spec, place, folder), place(("file",)))
    line, sep = 1, _SEP.match(text)
    if sep:
        line, text = 2, text[sep.end() :]
    delimiter = _asked(spec, place) or (sep[1] if sep else _told(text, spec.get("column"), f"{name}:1"))
    reader = _reader(text, delimiter)
    above, rows = line - 1, []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((line, row))
            line = above + reader.line_num + 1
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
            hint = f"put a cell with {_DELIMITERS.get(delimiter, got(delimiter))} in it in quotes"
            raise RecipeError(f"must have {counted(len(columns), 'cell')} (got {len(row)})", where=f"{name}:{number}", hint=hint)
    return name, columns, body


def _asked(spec: Mapping[str, Any], place: PlaceOf) -> str:
    """Return the delimiter that the recipe gives; empty where it gives none."""
    given = spec.get("delimiter", "")
    found = "\t" if given in ("tab", r"\t") else given
    if "delimiter" in spec and (not isinstance(found, str) or len(found) != 1 or found in '"\r\n' or found.isalnum()):
        what = f"must be one character that is not a letter, digit or quote; or tab (got {got(given)})"
        raise RecipeError(what, where=place(("delimiter",)), hint='write for example delimiter: ";"')
    return str(found)


def _told(text: str, wanted: Any, where: str) -> str:
    """Return the delimiter that a table's header has; a comma where it is one column.

    Args:
        text: The table.
        wanted: The column that must be there; None for none.
        where: The place of the header, for messages.

    Raises:
        RecipeError: There are several, with which the header would have several columns.
    """
    headers: dict[str, list[str]] = {}
    for delimiter in _DELIMITERS:
        try:
            rows: Iterator[list[str]] = _reader(text, delimiter)
            row = next((row for row in rows if any(cell.strip() for cell in row)), [])
        except csv.Error:  # as where it would be one after a quote
            continue
        headers[delimiter] = [cell.strip() for cell in row]
    fitting = [delimiter for delimiter, header in headers.items() if wanted in header] or headers
    found = [delimiter for delimiter in fitting if len(headers[delimiter]) > 1]
    if len(found) > 1:
        what = f"has {' and '.join(map(_DELIMITERS.__getitem__, found))} in its header, and only one can separate columns"
        hint = f"write for example delimiter: {got(found[-1])} beside file, or sep={found[-1]} as the file's first line"
        raise RecipeError(what, where=where, hint=hint)
    return found[0] if found else ","


def _reader(text: str, delimiter: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def file_of(spec: Mapping[str, Any], place: PlaceOf, folder: Path) -> Path:
    """Return the file that a way to write values names, which need not be there.

    Args:
        spec: ``{file: …}``.
        place: Returns the place of `spec`, or of a part of it, for messages.
        folder: What the path is relative to.

    Raises:
        RecipeError: It is no path.
    """
    name = spec["file"]
    if not isinstance(name, str) or not name:
        raise RecipeError(f"must be the path of a file (got {got(name)})", where=place(("file",)))
    return folder / name


def text_lines(path: Path, *, where: str = "", most: int = MAX_BYTES) -> tuple[str, list[tuple[int, str]]]:
    """Return how messages call a file, and its lines with their numbers from 1, without empty ones and those that start with ``#``.

    Args:
        path: The file.
        where: Who names it, for messages.
        most: How many bytes it may have.

    Raises:
        RecipeError: It is not there, cannot be read, is too large, or has control characters in it.
    """
    name, text = _text(path, where, most)
    lines = enumerate(text.split("\n"), 1)
    return name, [(number, line) for number, line in lines if line.strip() and not line.startswith("#")]


def _text(path: Path, where: str, most: int = MAX_BYTES) -> tuple[str, str]:
    """Return how messages call a file, and its text, whose lines end as they do on Linux."""
    name = shown(path)
    if not is_file(path):  # nor anything that never ends, such as a pipe
        raise RecipeError(f"no such file (got {name})", where=where)
    text = read(path, error=RecipeError, most=most)
    if bad := control_character(text):
        raise RecipeError(bad[0], where=f"{name}:{bad[1]}")
    return name, _LINE_END.sub("\n", text)
