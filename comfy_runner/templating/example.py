"""A template rendered without a recipe: with its own defaults, and with words that stand for what only a recipe can give.

No file has to exist: what would be the name of a picture is a word, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import InputError, TemplateError
from comfy_runner.graph.workflow import Workflow
from comfy_runner.recipe.job import job
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.template_defaults import TemplateDefaults
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.lookup import Template
from comfy_runner.templating.params import Param, given_params

_WORDS = {"checkpoint": "CHECKPOINT", "prompt": "PROMPT"}
_EMPTY: dict[str, Any] = {"boolean": False, "list": [], "object": {}}
_PARAMS = "params."


@dataclass(frozen=True, slots=True)
class Example:
    """A template's graph.

    Attributes:
        workflow: The graph.
        sources: Dotted recipe field by (node id, input name), for the inputs that take a value as it is.
        stand_ins: The fields, dotted, whose values are made up.
    """

    workflow: Workflow
    sources: Mapping[tuple[str, str], str]
    stand_ins: frozenset[str]


def example(template: Template, route: TemplateDefaults, folders: Sequence[Path]) -> Example:
    """Render a template.

    Args:
        template: The template.
        route: What it makes of recipes.
        folders: Where it finds what it imports, after its own folder.

    Raises:
        InputError: It cannot be rendered with what stands for values here, or not at all.
    """
    renderer = Renderer(template, folders)
    words = {name: word for name, word in _WORDS.items() if name not in route.defaults}
    values = job(from_mapping({"name": "example", "seed": 0, **words}), route=route).values
    if template.params is not None:
        made_up = {name: stand_in(param) for name, param in template.params.items() if param.required}
        params, wrong = given_params(template.params, made_up)
        if wrong:
            raise TemplateError.of(wrong)
        return _rendered(renderer, {**values, "params": params}, [*words, *(_PARAMS + name for name in made_up)])
    try:
        return _rendered(renderer, {**values, "params": {}}, list(words))
    except InputError:
        # It takes any parameters, and needs some.
        used = sorted(value.split(".")[1] for value in template.uses if value.startswith(_PARAMS))
        return _rendered(
            renderer, {**values, "params": {name: name.upper() for name in used}}, [*words, *(_PARAMS + name for name in used)]
        )


def stand_in(param: Param) -> Any:
    """Return a value for a parameter that has no default: its name in capitals, or the nearest to 1 that it may be."""
    if param.choices:
        return param.choices[0]
    if param.type not in ("integer", "number"):
        return _EMPTY.get(param.type, param.name.upper())
    low = -math.inf if param.minimum is None else param.minimum
    high = math.inf if param.maximum is None else param.maximum
    value = min(max(1, low), high)
    return math.ceil(value) if param.type == "integer" else value


def _rendered(renderer: Renderer, values: Mapping[str, Any], stand_ins: Sequence[str]) -> Example:
    filled = renderer.render(values)
    return Example(filled.workflow, filled.sources, frozenset(stand_ins))
