"""What a template makes of a recipe: fields that have another default with it than with others, and what is usual for them.

`templating.recipe_template` reads them from a template's header; `lint` warns of what is unwise with every template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from pydantic import ValidationError

from comfy_runner.errors import Problem
from comfy_runner.hints import did_you_mean
from comfy_runner.recipe.field_docs import field_docs
from comfy_runner.recipe.layers import alternatives, value_at
from comfy_runner.recipe.problems import problems
from comfy_runner.recipe.schema import Recipe, Sampler, SecondSampler, Upscale
from comfy_runner.recipe.sizes import Remark
from comfy_runner.yaml_loader import FieldPath, dotted

_FIELDS = Recipe.model_fields.keys() - {"name", "extends", "template", "output", "params", "sweep", "retry"}
# A template may decide some of their fields, and a recipe others.
_PARTWISE = (Sampler, Upscale, SecondSampler)


@dataclass(frozen=True, slots=True)
class UsualRange:
    """The usual values of a field.

    Attributes:
        least: The smallest one.
        most: The largest one.
        below: What happens below; empty where nobody is to be warned.
        above: What happens above, likewise.
    """

    least: float
    most: float
    below: str = ""
    above: str = ""


@dataclass(frozen=True)
class TemplateDefaults:
    """What a template makes of a recipe.

    Attributes:
        defaults: Values of fields that a recipe does not give, as mappings within each other, as in a recipe.
        usual: The usual values of fields, by dotted name.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    usual: Mapping[str, UsualRange] = field(default_factory=dict)

    @cached_property
    def _base(self) -> Recipe:
        return Recipe.model_validate(self.defaults)

    def over(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the template's defaults for the fields that it does not give."""
        if not self.defaults:
            return recipe
        return cast(Recipe, _filled(recipe, self._base, self.defaults, ()))

    def unusual(self, recipe: Recipe) -> Iterator[Remark]:
        """Yield a warning for each field whose value is not usual."""
        for name, usual in self.usual.items():
            value = value_at(recipe, name.split("."))
            if not isinstance(value, (int, float)):
                continue
            if value < usual.least and usual.below:
                yield Remark("warning", f"below {usual.least:g} {usual.below} (got {value:g})", name)
            elif value > usual.most and usual.above:
                yield Remark("warning", f"above {usual.most:g} {usual.above} (got {value:g})", name)


def default_problems(defaults: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with a template's defaults; each problem's ``where`` is the dotted field."""
    wrong = [
        Problem("is not for a template to decide", name, did_you_mean(name, field_docs()))
        for name in defaults
        if name not in _FIELDS
    ]
    try:
        Recipe.model_validate({name: value for name, value in defaults.items() if name in _FIELDS})
    except ValidationError as error:
        wrong += problems(error, place=dotted)
    return wrong


def _filled(model: Any, base: Any, defaults: Mapping[str, Any], path: FieldPath) -> Any:
    """Return a model with the values of another one for what it does not give; fields that exclude each other go together."""
    update: dict[str, Any] = {}
    for name, value in defaults.items():
        here, there = getattr(model, name), getattr(base, name)
        if isinstance(here, _PARTWISE) and isinstance(value, Mapping):
            update[name] = _filled(here, there, value, (*path, name))
        elif model.model_fields_set.isdisjoint((name, *alternatives((*path, name)))):
            update[name] = there
    return model.model_copy(update=update)
