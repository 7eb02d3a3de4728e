"""Axes from the command line: ``--sweep upscale.denoise=0.45:0.70:0.05`` as a layer over a recipe's sweep.

The values are ``FROM:TO:STEP`` (``FROM:TO`` for whole numbers), ``a,b,c``, ``@FILE``, or YAML: a list in brackets, or one of the
mappings that a recipe may have.

`parse` checks whether the field takes the values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from comfy_runner.errors import InputError, Problem, RecipeError, UsageError
from comfy_runner.recipe.fields import VERBATIM
from comfy_runner.recipe.layers import SWEEP, Layer, conflict
from comfy_runner.recipe.overrides import yaml_value
from comfy_runner.recipe.sweep.fields import resolve
from comfy_runner.yaml_loader import FieldPath, dotted, got

OPTION = "--sweep"
"""How places of these axes start."""

_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(?::({_NUMBER}))?")
_HINT = "write for example --sweep upscale.denoise=0.45:0.70:0.05 or --sweep seed=1,2,3"


def layers(sweeps: Sequence[str], *, beside: Sequence[Layer]) -> list[Layer]:
    """Return one layer for each axis.

    Args:
        sweeps: Each ``field=values``.
        beside: Overrides, which must not give the same fields.

    Raises:
        UsageError: One is malformed, or a field is given twice; all of them are named.
    """
    found: dict[FieldPath, Layer] = {}
    problems: list[Problem] = []
    for text in sweeps:
        try:
            path, layer = _layer(text)
        except InputError as error:
            problems.extend(error.problems)
            continue
        if path in found:
            problems.append(Problem("is given twice", layer.place(())))
        problems += [
            Problem(f"is given by {over.place(given)} too", layer.place(()))
            for over in beside
            for given in _leaves(over.values)
            if given[0] != SWEEP and conflict(given, path)
        ]
        found[path] = layer
    if problems:
        raise UsageError.of(problems)
    return list(found.values())


def _layer(text: str) -> tuple[FieldPath, Layer]:
    field, equals, values = text.partition("=")
    field = field.strip()
    if not equals or not field:
        raise UsageError(f"must be field=values (got {got(text)})", where=OPTION, hint=_HINT)
    place = f"{OPTION} {field}"
    try:
        # Without the recipe's values it is not known how many items its lists have, which is checked later.
        target = resolve(field, {"loras": [None] * 100} if field.startswith("loras") else {}, where=place)
    except RecipeError as error:
        raise UsageError.of(error.problems) from None

    def where(path: FieldPath) -> str:
        inner = dotted(path[2:])
        return f"{place}{'.' if inner and not inner.startswith('[') else ''}{inner}"

    spec = _values(target.field, values.strip(), place, numbers=target.adapter is None or target.takes_numbers)
    return tuple(field.split(".")), Layer({SWEEP: {target.field: spec}}, where)


def _values(field: str, text: str, place: str, *, numbers: bool) -> Any:
    if not text:
        raise UsageError("has no values", where=place, hint=_HINT)
    if text.startswith("@"):
        return _of_file(text[1:])
    if text[0] == "[":
        return yaml_value(text, place=place)
    if text[0] == "{":
        mappings = yaml_value(f"[{text}]", place=place)
        return mappings if len(mappings) > 1 else mappings[0]
    found = _RANGE.fullmatch(text) if numbers else None
    if found:
        ends = {"from": yaml_value(found[1], place=place), "to": yaml_value(found[2], place=place)}
        return {**ends, "step": yaml_value(found[3], place=place)} if found[3] else ends
    if field in VERBATIM:
        if "," in text and text[0] not in "'\"":
            hint = f"""write '{OPTION} {field}=["a, b", "c"]', or {OPTION} {field}=@prompts.txt"""
            raise UsageError("needs brackets, since a prompt may have commas in it", where=place, hint=hint)
        return yaml_value(f"[{text}]", place=place) if text[0] in "'\"" else [text]
    if text[0] in "'\"":
        return yaml_value(f"[{text}]", place=place)
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError("has an empty value between its commas", where=place, hint=_HINT)
    return [yaml_value(part, place=place) for part in parts]


def _of_file(text: str) -> dict[str, str]:
    name, separator, column = text.rpartition("#")
    return {"file": name, "column": column} if separator and name.lower().endswith(".csv") else {"file": text}


def _leaves(values: Any, path: FieldPath = ()) -> list[FieldPath]:
    if isinstance(values, dict) and values:
        return [leaf for key, inner in values.items() for leaf in _leaves(inner, (*path, key))]
    return [path] if path else []
