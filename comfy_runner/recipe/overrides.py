"""Overrides: ``--set upscale.denoise=0.6`` as a layer over a recipe.

Not here: whether the field exists and the value fits (`schema`, after merging).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from comfy_runner.errors import InputError, Problem, RecipeError, UsageError
from comfy_runner.recipe.layers import Layer
from comfy_runner.yaml_loader import MAX_DEPTH, FieldPath, dotted, got, parse

# Typed as they are, without YAML's quotes and escapes: prompts are full of colons and commas.
_VERBATIM = ("prompt", "negative_prompt")
_KEY = re.compile(r"[\w-]+(\.[\w-]+)*")


def layers(sets: Sequence[str]) -> list[Layer]:
    """Return one layer for each override.

    Args:
        sets: Each ``field=value``: a dotted field, and a value in YAML. Prompts are taken as they are unless quoted, and
            nothing at all after ``=`` is the empty text.

    Raises:
        UsageError: if one is malformed; all malformed ones are named.
    """
    found: list[Layer] = []
    problems: list[Problem] = []
    for text in sets:
        try:
            found.append(_layer(text))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise UsageError.of(problems)
    return found


def _layer(text: str) -> Layer:
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
    return Layer(_nested(key.split("."), _value(key, value)), _place)


def _value(key: str, text: str) -> Any:
    if not text:
        return ""
    place = f"--set {key}"
    try:
        value = parse(text, name=place, error=RecipeError).value
    except RecipeError as error:
        value = error
    if key in _VERBATIM:
        return value if text.strip()[:1] in ("'", '"') and isinstance(value, str) else text
    if isinstance(value, RecipeError):
        # Lines and columns of a one-line value help nobody.
        raise UsageError.of(Problem(problem.what, place, problem.hint) for problem in value.problems)
    return value


def _nested(steps: Sequence[str], value: Any) -> dict[str, Any]:
    for step in reversed(steps):
        value = {step: value}
    return dict(value)


def _place(path: FieldPath) -> str:
    return f"--set {dotted(path)}" if path else "--set"
