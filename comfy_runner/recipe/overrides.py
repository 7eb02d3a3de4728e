"""Fields from the command line, as layers over a recipe: ``--set upscale.denoise=0.6``, ``--sweep seed=1,2,3``.

The values of an axis are ``FROM:TO:STEP`` (``FROM:TO`` for whole numbers), ``a,b,c``, ``@FILE``, or YAML: a list in brackets, or
one of the mappings that a recipe may have. ``@TABLE`` alone is a table whose columns are fields. Whether the
field takes the values is checked after merging, by `schema` and `sweep.parse`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from comfy_runner.errors import InputError, Problem, RecipeError, UsageError
from comfy_runner.recipe.fields import VERBATIM, is_verbatim
from comfy_runner.recipe.layers import SWEEP, Layer, conflict, nested
from comfy_runner.recipe.sweep.fields import resolve
from comfy_runner.recipe.sweep.value_files import TABLES
from comfy_runner.text_files import control_character
from comfy_runner.yaml_loader import MAX_DEPTH, FieldPath, dotted, got, parse, plain_scalar
from comfy_runner.yaml_syntax import ESCAPED

AXIS = "--sweep"
"""How the places of axes start."""

_QUOTES = ("'", '"', "[", "{")
_KEY = re.compile(r"[\w-]+(\.[\w-]+)*")
_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"(?P<from>{_NUMBER}):(?P<to>{_NUMBER})(?::(?P<step>{_NUMBER}))?")
_AXIS_HINT = "write for example --sweep upscale.denoise=0.45:0.70:0.05 or --sweep seed=1,2,3"


def layers(sets: Sequence[str], sweeps: Sequence[str] = ()) -> list[Layer]:
    """Return one layer for each override, then one for each axis.

    Args:
        sets: Each ``field=value``: a dotted field, and a number, true, false, null, text as it is, or YAML in quotes, brackets
            or braces. Prompts and `vars` are taken as they are unless quoted, and nothing at all after ``=`` is the empty text.
        sweeps: Each ``field=values``, or ``@TABLE``.

    Raises:
        UsageError: One is malformed, or a field is given twice where one is an axis; all of them are named.
    """
    overrides: list[Layer] = []
    axes: dict[FieldPath, Layer] = {}
    problems: list[Problem] = []
    for text in sets:
        try:
            overrides.append(_override(text))
        except InputError as error:
            problems.extend(error.problems)
    for text in sweeps:
        try:
            path, layer = _axis(text)
        except InputError as error:
            problems.extend(error.problems)
            continue
        if path in axes:
            problems.append(Problem("is given twice", layer.place(())))
        problems += [
            Problem(f"is given by {over.place(given)} too", layer.place(()))
            for over in overrides
            for given in _leaves(over.values)
            if given[0] != SWEEP and conflict(given, path)
        ]
        axes[path] = layer
    if problems:
        raise UsageError.of(problems)
    return [*overrides, *axes.values()]


def _override(text: str) -> Layer:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not _KEY.fullmatch(key):
        raise UsageError(
            f"must be field=value (got {got(text)})", where="--set", hint="write for example --set upscale.denoise=0.6"
        )
    if key.count(".") >= MAX_DEPTH:
        raise UsageError(f"a field must have at most {MAX_DEPTH} parts (got {got(key)})", where="--set")
    if key == "extends":
        raise UsageError("cannot be overridden", where="--set extends", hint="load the other recipe instead")
    return Layer(nested({key: _value(key, value)}), lambda path: f"--set {dotted(path)}" if path else "--set")


def _value(key: str, text: str) -> Any:
    is_quoted = text.strip()[:1] in ("'", '"')
    if not text or (is_verbatim(key) and not is_quoted):
        return text
    try:
        value = _yaml(text, place=f"--set {key}")
    except UsageError:
        if not is_verbatim(key):
            raise
        return text
    return value if not is_verbatim(key) or isinstance(value, str) else text


def _axis(text: str) -> tuple[FieldPath, Layer]:
    if text.startswith("@"):
        return (SWEEP, "zip"), Layer({SWEEP: {"zip": {"file": text[1:]}}}, lambda _: f"{AXIS} {text}")
    field, equals, values = text.partition("=")
    field = field.strip()
    if not equals or not field:
        raise UsageError(f"must be field=values (got {got(text)})", where=AXIS, hint=_AXIS_HINT)
    place = f"{AXIS} {field}"
    try:
        # Without the recipe's values it is not known how many items its lists have, which is checked later.
        target = resolve(field, {"loras": [None] * 100} if field.startswith("loras") else {}, where=place)
    except RecipeError as error:
        raise UsageError.of(error.problems) from None

    def where(path: FieldPath) -> str:
        inner = dotted(path[2:])
        return f"{place}{'.' if inner and not inner.startswith('[') else ''}{inner}"

    spec = _axis_values(target.field, values.strip(), place, numbers=not is_verbatim(target.field) and target.takes_numbers)
    return tuple(field.split(".")), Layer({SWEEP: {target.field: spec}}, where)


def _axis_values(field: str, text: str, place: str, *, numbers: bool) -> Any:
    if not text:
        raise UsageError("has no values", where=place, hint=_AXIS_HINT)
    if text.startswith("@"):
        name, separator, column = text[1:].rpartition("#")
        return {"file": name, "column": column} if separator and name.lower().endswith(TABLES) else {"file": text[1:]}
    if text[0] == "[":
        return _yaml(text, place=place)
    if text[0] == "{":
        mappings = _yaml(f"[{text}]", place=place)
        return mappings if len(mappings) > 1 else mappings[0]
    if text[0] in "'\"":
        return _yaml(f"[{text}]", place=place)
    if numbers and (found := _RANGE.fullmatch(text)):
        return {key: _yaml(value, place=place) for key, value in found.groupdict().items() if value}
    if field in VERBATIM:
        if "," in text:
            hint = f"""write '{AXIS} {field}=["a, b", "c"]', or {AXIS} {field}=@prompts.txt"""
            raise UsageError("needs brackets, because a prompt may contain commas", where=place, hint=hint)
        return [text]
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError("has an empty value between its commas", where=place, hint=_AXIS_HINT)
    return parts if is_verbatim(field) else [_yaml(part, place=place) for part in parts]


def _leaves(values: Any, path: FieldPath = ()) -> list[FieldPath]:
    if isinstance(values, dict) and values:
        return [leaf for key, inner in values.items() for leaf in _leaves(inner, (*path, key))]
    return [path] if path else []


def _yaml(text: str, *, place: str) -> Any:
    """Return a value of the command line: YAML in quotes, brackets or braces, or else an unquoted scalar with any characters.

    Raises:
        UsageError: It is neither.
    """
    try:
        if text.strip()[:1] not in _QUOTES and not control_character(text):
            return plain_scalar(text.strip())
        return parse(text, name=place).value
    except ValueError as error:
        raise UsageError(str(error), where=place) from None
    except InputError as error:
        # Lines and columns of a one-line value help nobody.
        hint = f"""a text that begins with a bracket or a quote needs quotes around it: {place}='"..."'"""
        raise UsageError.of(
            Problem(problem.what, place, problem.hint if problem.hint in ("", ESCAPED) else hint) for problem in error.problems
        ) from None
