"""What output patterns say of a job beside its id: ``{prompt}``, ``{index}``, ``{date}``, ``{upscale.denoise}``, ``{vars.animal}``.

`names` knows what a path may be, and the placeholders that need no recipe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import PureWindowsPath
from typing import Any

from pydantic import BaseModel

from comfy_runner.errors import RecipeError
from comfy_runner.recipe.layers import value_at
from comfy_runner.recipe.names import PLACEHOLDERS, placeholders, slug, with_placeholders
from comfy_runner.recipe.schema import Recipe
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import FieldPath, got

LONGEST_WORDS = 40
"""Most characters of a prompt or another text in a file's name."""

DATE = "date"
"""The placeholder for the day on which a run began."""

_MODEL = re.compile(r"\.(safetensors|ckpt|pt|pth|gguf|sft)$", re.IGNORECASE)


def is_of_values(recipe: Recipe) -> bool:
    """Return whether an output pattern says more of a job than its id, name, role and seed."""
    return any(name not in PLACEHOLDERS for pattern in recipe.output.roles.values() for name in placeholders(pattern))


def has_date(recipe: Recipe) -> bool:
    """Return whether an output pattern has the day on which the run began."""
    return any(DATE in placeholders(pattern) for pattern in recipe.output.roles.values())


def with_values(recipe: Recipe, *, given: Recipe, index: int, date: str, where: Callable[[FieldPath], str]) -> Recipe:
    """Return a recipe in whose output patterns the values of its fields stand.

    Args:
        recipe: The recipe of one job, its prompts filled in.
        given: The same before they were, which has the variables.
        index: Which point of its sweep it is, from 1.
        date: The day on which its run began.
        where: Returns the place of a field for messages.

    Raises:
        RecipeError: A pattern names a field that there is not.
    """
    if not is_of_values(recipe):
        return recipe

    def word(role: str, name: str) -> str:
        if name == "index":
            return f"{index:04d}"
        if name == DATE:
            return date
        steps = name.split(".")
        if not _is_known(given, steps):
            fields = [*PLACEHOLDERS, "index", DATE, "prompt", "checkpoint", *(f"vars.{each}" for each in given.vars), *_FIELDS]
            what = f"there is no field {got(name)} for {{{name}}}"
            raise RecipeError(what, where=where(("output", role)), hint=did_you_mean(name, fields))
        return file_word(value_at(given if steps[0] == "vars" else recipe, steps))

    patterns = {role: with_placeholders(pattern, partial(word, role)) for role, pattern in recipe.output.roles.items()}
    return recipe.model_copy(update={"output": recipe.output.model_copy(update=patterns)})


def file_word(value: Any) -> str:
    """Return a value as it stands in the name of a file: a-z, 0-9, single dashes and dots within numbers, 40 characters at most."""
    if value is None:
        return "none"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, str) and _MODEL.search(value):
        value = PureWindowsPath(value).stem
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return slug(text)[:LONGEST_WORDS].rstrip("-") or "none"


def _is_known(recipe: Recipe, steps: list[str]) -> bool:
    first, *rest = steps
    if first in ("vars", "params", "loras"):
        return bool(rest) and value_at(recipe, steps) is not None
    return ".".join(steps) in _FIELDS


def _leaves(model: type[BaseModel], above: str = "") -> list[str]:
    """Return the fields of a model that hold a single value, dotted."""
    found = []
    for name, info in model.model_fields.items():
        inner = [kind for kind in (info.annotation, *getattr(info.annotation, "__args__", ())) if _is_model(kind)]
        found += _leaves(inner[0], f"{above}{name}.") if inner else [f"{above}{name}"]
    return found


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


_NOT_OF_JOBS = (
    "name",
    "extends",
    "output",
    "params",
    "vars",
    "loras",
    "models",
    "sweep",
    "retry",
    "expect",
    "find",
    "alternatives",
    "wildcards",
)
_FIELDS: Mapping[str, None] = dict.fromkeys(name for name in _leaves(Recipe) if name.partition(".")[0] not in _NOT_OF_JOBS)
