"""What a template sees of a recipe: one table of values, each with the recipe fields that decide it.

Most values are a field of the recipe as it is. Sizes are computed in pixels, the second pass inherits from the first, a seed is
drawn. `job` makes the values of a job from the table, `field_docs` learns from it which fields a template uses, and messages name
the one field of a recipe that is to be changed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.layers import nested, value_at
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sizes import PictureSizes
from comfy_runner.recipe.upscaler_names import method_of

_SIZES = ("size", "upscale.factor", "upscale.size")
_INDEX = re.compile(r"\.(\d+)(?=\.|$)")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe, with what has to be known beside it to give a template its values.

    Attributes:
        recipe: The recipe, with its template's defaults.
        sizes: The sizes of its pictures.
        job_id: The id of the job.
        seed: The first pass's seed, 0 to 2^53-1, drawn where the recipe leaves it to chance.
    """

    recipe: Recipe
    sizes: PictureSizes
    job_id: str
    seed: int


@dataclass(frozen=True, slots=True)
class TemplateValue:
    """A value that a template sees.

    Attributes:
        name: What the template calls it, dotted.
        of: Gives the value of a job.
        fields: The recipe fields that decide it, dotted; none for what no template is chosen for.
        changed: Those of them, or parts of them, that a person would change for another value: the first that a recipe gives.
    """

    name: str
    of: Callable[[Resolved], Any]
    fields: tuple[str, ...]
    changed: tuple[str, ...]


def _is(field: str, of: Callable[[Resolved], Any] | None = None, *, name: str = "", behind: tuple[str, ...] = ()) -> TemplateValue:
    """Return a value that one field decides wherever it is to be changed; `behind` are all that have a part in it."""
    return TemplateValue(name or field, of or attrgetter(f"recipe.{field}"), behind or (field,), (field,))


def _enlarged(side: str, of: Callable[[Resolved], int]) -> TemplateValue:
    return TemplateValue(f"upscale.{side}", of, _SIZES, (f"upscale.size.{side}", "upscale.factor"))


def _second_sampler(name: str, of: Callable[[Resolved], Any] | None = None, *more: str) -> TemplateValue:
    first, second = f"sampler.{name}", f"upscale.sampler.{name}"
    return TemplateValue(second, of or _inherited(name), (first, *more, second), (second, first))


def _inherited(name: str) -> Callable[[Resolved], Any]:
    def of(job: Resolved) -> Any:
        own = getattr(job.recipe.upscale.sampler, name)
        return getattr(job.recipe.sampler, name) if own is None else own

    return of


def _second_steps(job: Resolved) -> int:
    steps: int = _inherited("steps")(job)
    upscale = job.recipe.upscale
    return max(1, round(steps * upscale.denoise)) if upscale.steps_mode == "scaled" else steps


def second_seed(given: int | str, first: int) -> int:
    """Return the second pass's seed.

    Args:
        given: What the recipe says of it: a number, or ``same`` or ``next``.
        first: The first pass's seed.
    """
    if isinstance(given, int):
        return given
    return first if given == "same" else (first + 1) % (MAX_SEED + 1)


def _loras(job: Resolved) -> list[dict[str, Any]]:
    return [
        {
            "name": lora.name,
            "strength_model": lora.strength_model,
            "strength_clip": lora.strength_model if lora.strength_clip is None else lora.strength_clip,
        }
        for lora in job.recipe.loras
    ]


def _params(job: Resolved) -> dict[str, Any]:
    return copy.deepcopy(dict(job.recipe.params)) if job.recipe.params else {}


NEEDED_IF_USED = ("checkpoint", "prompt")
"""What a template sees only where a recipe gives it."""

VALUES: Mapping[str, TemplateValue] = {
    value.name: value
    for value in (
        _is("checkpoint"),
        _is("prompt"),
        TemplateValue("name", lambda job: job.recipe.name, (), ("name",)),
        TemplateValue("job_id", lambda job: job.job_id, (), ("job_id",)),
        _is("negative_prompt"),
        _is("vae"),
        _is("clip_skip"),
        _is("loras", _loras),
        _is("seed", lambda job: job.seed),
        _is("size.width", lambda job: job.sizes.original.width, name="width", behind=("size",)),
        _is("size.height", lambda job: job.sizes.original.height, name="height", behind=("size",)),
        _is("batch_size"),
        _is("sampler.name"),
        _is("sampler.scheduler"),
        _is("sampler.steps"),
        _is("sampler.cfg"),
        _enlarged("width", lambda job: job.sizes.upscaled.width),
        _enlarged("height", lambda job: job.sizes.upscaled.height),
        _is("upscale.factor", lambda job: job.sizes.factor, behind=_SIZES),
        _is("upscale.method", lambda job: method_of(job.recipe.template, job.recipe.upscale.method)),
        _is("upscale.denoise"),
        _is("upscale.steps_mode"),
        TemplateValue(
            "upscale.seed",
            lambda job: second_seed(job.recipe.upscale.seed, job.seed),
            ("seed", "upscale.seed"),
            ("upscale.seed", "seed"),
        ),
        _second_sampler("name"),
        _second_sampler("scheduler"),
        _second_sampler("steps", _second_steps, "upscale.steps_mode"),
        _second_sampler("cfg"),
        TemplateValue("params", _params, (), ("params",)),
    )
}
"""The values by name, in the order in which a template that walks through them meets them."""

SEEN_FIELDS = frozenset(field for value in VALUES.values() for field in value.fields)
"""The recipe fields that decide what a template sees; free parameters do not count."""


_NESTED = nested({name: value.of for name, value in VALUES.items()})


def template_values(job: Resolved) -> dict[str, Any]:
    """Return what a template sees of a job: plain and JSON-like, as mappings within each other, all resolved.

    What is needed only where a template uses it is left out where the recipe does not give it.
    """
    found = _computed(_NESTED, job)
    for name in NEEDED_IF_USED:
        if found[name] is None:
            del found[name]
    return found


def _computed(nested: dict[str, Any], job: Resolved) -> dict[str, Any]:
    return {name: _computed(of, job) if type(of) is dict else of(job) for name, of in nested.items()}


def deciding_field(name: str, recipe: Recipe) -> str:
    """Return the recipe field that a person would change for another value.

    Args:
        name: What a template calls the value, dotted, such as ``upscale.width`` or ``loras.0.name``.
        recipe: The recipe.
    """
    known = VALUES.get(name)
    if known is None:
        return _INDEX.sub(r"[\1]", name)
    *rest, last = known.changed
    return next((field for field in rest if value_at(recipe, field.split(".")) not in (None, "same", "next")), last)
