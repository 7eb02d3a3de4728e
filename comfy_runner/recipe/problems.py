"""pydantic's errors in our words: ``upscale.denoise: must be at most 1 (got 1.5)``, with "did you mean".

The caller gives a function that tells where a field stands in its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from comfy_runner.errors import Problem
from comfy_runner.expect import Expect
from comfy_runner.plugins import METRICS, announced
from comfy_runner.recipe.layers import nested
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sizes import picture_sizes
from comfy_runner.recipe.web_ui_words import sentence, translated
from comfy_runner.wording import nearest
from comfy_runner.yaml_loader import FieldPath, dotted, got, unsendable

_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("dict_type", "mapping_type", "model_attributes_type", "model_type"), "must be a mapping"),
    **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
    **dict.fromkeys(("int_from_float", "int_parsing", "int_type"), "must be a whole number"),
    **dict.fromkeys(("list_type", "tuple_type"), "must be a list"),
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_parsing_size": "must be a smaller number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "string_unicode": "must be text without lone surrogates",
    "too_long": "must have at most {max_length} items",
}
"""Words for pydantic's error types; ``{...}`` is filled from the error's context."""

# What people write from habit: names of ComfyUI's inputs and of other programs.
_HABITS: Mapping[str, str] = {
    "aspect_ratio": "size.aspect",
    "cfg_scale": "sampler.cfg",
    "ckpt": "checkpoint",
    "ckpt_name": "checkpoint",
    "expected": "expect",
    "flat": "expect.vetoes",
    "guidance": "sampler.cfg",
    "guidance_scale": "sampler.cfg",
    "hires": "upscale",
    "lora": "loras",
    "model": "checkpoint",
    "negative": "negative_prompt",
    "outputs": "output",
    "parameters": "params",
    "positive": "prompt",
    "resolution": "size",
    "sampler_name": "sampler.name",
    "scale": "upscale.factor",
    "scale_by": "upscale.factor",
    "strength": "upscale.denoise",
    "upscale_by": "upscale.factor",
    "upscale_method": "upscale.method",
    "vae_name": "vae",
    "workflow": "template",
}


def problems(error: ValidationError, *, place: Callable[[FieldPath], str], at: FieldPath = ()) -> list[Problem]:
    """Return everything that pydantic found, in the order of the schema's fields; unknown ones come last.

    Args:
        error: From validating a `Recipe`, or one of its fields.
        place: Returns the place of a field for messages, given its path within what was validated.
        at: Where in a recipe that is.
    """
    return [_problem(detail, place, at) for detail in error.errors(include_url=False)]


def field_problem(field: str, value: Any) -> str:
    """Return why a recipe cannot have a value for one field, or would change it; empty where a template sees it as it is.

    Args:
        field: The field, dotted; ``size`` and ``loras`` as a whole.
        value: The value.
    """
    if isinstance(value, str) and (wrong := unsendable(value)):
        return wrong
    try:
        recipe = Recipe.model_validate(nested({field: value}))
    except ValidationError as error:
        return problems(error, place=dotted)[0].what
    if words := translated(nested({field: value}), ()).words:
        path, word = next(iter(words.items()))
        return f"in a recipe, {sentence(word, path[-1], None)}"
    # What is said of a factor is said of the size that it makes of another one, which is not given here.
    changed = [each.what for each in picture_sizes(recipe).remarks if each.field.startswith(field) and each.level != "warning"]
    return next(iter(changed), "") if field in ("size", "upscale.size") else ""


def _problem(detail: ErrorDetails, place: Callable[[FieldPath], str], at: FieldPath) -> Problem:
    path: FieldPath = detail["loc"]
    if path[:1] == ("models",) and path[2:] == ("[key]",):  # how pydantic says that the key itself is wrong
        path = path[:-1]
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "missing":
        return Problem("is missing", place(path))
    if kind == "extra_forbidden":
        return Problem("unknown field", place(path), meant((*at, *path)))
    if kind == "recipe":
        what, hint = str(context["what"]), str(context["hint"])
        quote = not isinstance(value, Mapping | BaseModel)
        return Problem(f"{what} (got {got(value)})" if quote else what, place(path), hint)
    words = _WORDS.get(kind)
    what = words.format(**context).replace("'", "") if words else detail["msg"][:1].lower() + detail["msg"][1:]
    return Problem(f"{what} (got {got(value)})", place(path), _way_out(kind, value))


def _way_out(kind: str, value: Any) -> str:
    if value is None:
        return "give a value, or remove the line; a text that begins with # needs quotes"
    if kind == "string_type" and isinstance(value, Mapping | list):
        return "a text that begins with [ or {, or has ': ' in it, needs quotes"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "put it in quotes to make it text"
    if kind == "model_type" and isinstance(value, str):
        return "write {field: value}"
    if kind in ("int_type", "float_type") and isinstance(value, str) and value.strip().replace(".", "", 1).isdigit():
        return "remove the quotes"
    return ""


def meant(path: FieldPath) -> str:
    """Return a hint about an unknown key: a field of that name elsewhere, or one that is spelled alike."""
    parent, key = path[:-1], str(path[-1])
    siblings, known = _siblings(parent), list(_known(Recipe, ()))
    # Nearest first: a field below the same parent, then the one that is nested least.
    found = sorted((field for field in known if field[-1] == key), key=lambda field: (field[: len(parent)] != parent, len(field)))
    begun = [(*parent, name) for name in siblings if len(key) > 2 and name.startswith(key)]
    habit = [tuple(_HABITS[key.lower()].split("."))] if key.lower() in _HABITS else []
    found += [*begun, *habit] if parent else [*habit, *begun]
    if not found:
        found = [(*parent, name) for name in nearest(key, siblings, most=1)]
        leaves = nearest(key, [str(field[-1]) for field in known], most=1)
        found += sorted((field for field in known if field[-1] in leaves), key=len)
    if found:
        return f"did you mean {dotted(found[0])}?"
    return f"the fields here are {', '.join(siblings)}" if siblings else ""


def _siblings(path: FieldPath) -> Sequence[str]:
    model: type[BaseModel] | None = Recipe
    for step in path:
        if model is not None and isinstance(step, str) and step in fields_of(model):
            model = model_of(model, step)
    return list(fields_of(model)) if model is not None else []


def _known(model: type[BaseModel], path: FieldPath) -> Iterator[FieldPath]:
    for name in fields_of(model):
        here = (*path, name)
        yield here
        inner = model_of(model, name)
        if inner is not None and name not in ("loras", "models"):
            yield from _known(inner, here)


def fields_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the fields of a model by name; of expectations, also the metrics of installed packages."""
    known = model.model_fields
    return {**dict.fromkeys(sorted(announced(METRICS)), known["drift"]), **known} if model is Expect else known


def model_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the model that a field holds, also as an option or in a list."""
    pending = [fields_of(model)[name].annotation]
    while pending:
        annotation = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        pending.extend(getattr(annotation, "__args__", ()))
    return None
