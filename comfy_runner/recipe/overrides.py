"""Overrides: ``--set upscale.denoise=0.6`` as a layer over a recipe. `schema` checks field and value after merging."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from comfy_runner.errors import InputError, Problem, UsageError
from comfy_runner.recipe.fields import VERBATIM
from comfy_runner.recipe.layers import Layer
from comfy_runner.yaml_loader import MAX_DEPTH, FieldPath, dotted, got, parse

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
    try:
        value = yaml_value(text, place=f"--set {key}")
    except UsageError:
        if key not in VERBATIM:
            raise
        value = None
    if key in VERBATIM:
        return value if text.strip()[:1] in ("'", '"') and isinstance(value, str) else text
    return value


def yaml_value(text: str, *, place: str) -> Any:
    """Return a value of the command line, in YAML.

    Raises:
        UsageError: It is no YAML.
    """
    try:
        return parse(text, name=place).value
    except InputError as error:
        # Lines and columns of a one-line value help nobody.
        raise UsageError.of(Problem(problem.what, place, problem.hint) for problem in error.problems) from None


def _nested(steps: Sequence[str], value: Any) -> dict[str, Any]:
    for step in reversed(steps):
        value = {step: value}
    return dict(value)


def _place(path: FieldPath) -> str:
    return f"--set {dotted(path)}" if path else "--set"
