"""What a template makes of a recipe: fields that have another default with it than with others, and what is usual for them.

`templating.recipe_template` reads them from a template's header; `lint` warns of what is unwise with every template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from comfy_runner.errors import Problem
from comfy_runner.recipe.field_docs import UsualRange, field_docs
from comfy_runner.recipe.layers import patched, value_at
from comfy_runner.recipe.problems import problems
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sizes import Remark
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import dotted

_OTHERS = {"name", "extends", "template", "output", "params", "models", "sweep", "retry", "expect", "find"}
_FIELDS = Recipe.model_fields.keys() - _OTHERS


@dataclass(frozen=True)
class TemplateDefaults:
    """What a template makes of a recipe.

    Attributes:
        defaults: Values of fields that a recipe does not give, as mappings within each other, as in a recipe.
        usual: The usual values of fields, by dotted name.
        picture: The parameter with the picture that there is in place of a first pass, whose size counts where a recipe gives none;
            empty where there is a first pass.
        has_size: Whether it makes a picture of the recipe's size, so that what is unwise about that size matters.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    usual: Mapping[str, UsualRange] = field(default_factory=dict)
    picture: str = ""
    has_size: bool = True

    @property
    def samples_original(self) -> bool:
        """Return whether the original is sampled in the recipe's size, rather than loaded or of a size of the template's own."""
        return self.has_size and not self.picture

    def of_size(self, width: int, height: int) -> TemplateDefaults:
        """Return the same for a picture of this size in pixels."""
        return replace(self, defaults={**self.defaults, "size": {"width": width, "height": height}})

    def over(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the template's defaults for the fields that it does not give."""
        return Recipe.model_validate(self.under(recipe.model_dump(exclude_unset=True))) if self.defaults else recipe

    def under(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a recipe's values, not yet validated, over the template's defaults."""
        return patched(self.defaults, (((name,), value) for name, value in values.items())) if self.defaults else values

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


NO_DEFAULTS = TemplateDefaults()
"""What a template makes of a recipe that says nothing of it."""


def default_problems(defaults: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with a template's defaults; each problem's ``where`` is the dotted field."""
    wrong = [
        Problem("cannot be set by a template", name, did_you_mean(name, field_docs())) for name in defaults if name not in _FIELDS
    ]
    try:
        Recipe.model_validate({name: value for name, value in defaults.items() if name in _FIELDS})
    except ValidationError as error:
        wrong += problems(error, place=dotted)
    return wrong
