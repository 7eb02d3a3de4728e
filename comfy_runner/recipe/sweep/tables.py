"""Values of a sweep that stand in files: one per line of a text, or in the columns of a CSV table.

The files are hostile until checked: limited in size, UTF-8, without control characters.

Not here: which values a field takes (`targets`).
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import RecipeError
from comfy_runner.hints import did_you_mean
from comfy_runner.recipe.sweep.fields import VERBATIM
from comfy_runner.recipe.sweep.ranges import MOST_VALUES
from comfy_runner.text_files import is_file, read, shown

# What an unquoted scalar means is the same here as in the recipe.
from comfy_runner.yaml_loader import got, plain_scalar

MAX_BYTES = 16 << 20
"""Largest file of values, in bytes."""

_MAX_COLUMNS = 1000
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Listed:
    """Values from a file.

    Attributes:
        values: Plain Python.
        lines: Where each stands, from 1.
        name: The file, as messages show it.
    """

    values: list[Any]
    lines: list[int]
    name: str


def lines(path: Path, *, field: str, where: str) -> Listed:
    """Return the lines of a text, without empty ones and those that start with ``#``.

    Args:
        path: The file.
        field: Whose values they are: prompts are taken as they are, all else as YAML's unquoted scalars.
        where: Who asks for it, for messages.

    Raises:
        RecipeError: It cannot be read, is too large, or a line is no value.
    """
    text, name = _text(path, where)
    values, numbers = [], []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if line.strip() and not line.startswith("#"):
            values.append(_value(line, field, f"{name}:{number}"))
            numbers.append(number)
    _refuse_many(len(values), name)
    return Listed(values, numbers, name)


def columns(path: Path, *, where: str) -> dict[str, Listed]:
    """Return the columns of a CSV table by their names in its first row; each cell as in `lines`.

    Raises:
        RecipeError: It cannot be read, is too large, or is no table.
    """
    names, rows, name = _rows(path, where)
    return {column: _column(rows, index, column, name) for index, column in enumerate(names)}


def column(path: Path, wanted: str, *, field: str, where: str) -> Listed:
    """Return one column of a CSV table as the values of a field.

    Raises:
        RecipeError: It cannot be read, is too large, is no table, or has no such column.
    """
    names, rows, name = _rows(path, where)
    if wanted not in names:
        raise RecipeError(f"has no column {got(wanted)}", where=f"{name}:1", hint=did_you_mean(wanted, names))
    return _column(rows, names.index(wanted), field, name)


def _rows(path: Path, where: str) -> tuple[list[str], list[tuple[int, list[str]]], str]:
    text, name = _text(path, where)
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
    names = [cell.strip() for cell in header]
    if len(names) > _MAX_COLUMNS:
        raise RecipeError(f"must have at most {_MAX_COLUMNS} columns (got {len(names)})", where=f"{name}:{first}")
    twice = next((column for column in names if names.count(column) > 1), None)
    if twice is not None:
        raise RecipeError(f"has two columns {got(twice)}", where=f"{name}:{first}")
    for number, row in body:
        if len(row) != len(names):
            hint = "put a cell with a comma in it in quotes"
            raise RecipeError(f"must have {len(names)} cells (got {len(row)})", where=f"{name}:{number}", hint=hint)
    _refuse_many(len(body), name)
    return names, body, name


def _column(rows: list[tuple[int, list[str]]], index: int, field: str, name: str) -> Listed:
    values = [_value(row[index], field, f"{name}:{number}") for number, row in rows]
    return Listed(values, [number for number, _ in rows], name)


def _text(path: Path, where: str) -> tuple[str, str]:
    name = shown(path)
    if not is_file(path):  # nor anything that never ends, such as a pipe
        raise RecipeError(f"no such file (got {name})", where=where)
    text = read(path, error=RecipeError, most=MAX_BYTES)
    bad = _FORBIDDEN.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        raise RecipeError(f"must not contain control characters (got U+{ord(bad[0]):04X})", where=f"{name}:{line}")
    return text, name


def _value(text: str, field: str, where: str) -> Any:
    if field in VERBATIM:
        return text
    try:
        return plain_scalar(text.strip())
    except ValueError as fault:
        raise RecipeError(str(fault), where=where) from None


def _refuse_many(count: int, name: str) -> None:
    if count > MOST_VALUES:
        raise RecipeError(f"must have at most {MOST_VALUES} values (got {count})", where=name)
