"""What a recipe amounts to: one job with all values resolved, its output paths, and what the user should know.

Not here: the workflow graph (the workflow room renders it from `Job.values`).
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from comfy_runner.errors import Note, RecipeError, UsageError
from comfy_runner.recipe import names
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.lint import lint
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sizes import PictureSizes, picture_sizes
from comfy_runner.recipe.template_defaults import TemplateDefaults
from comfy_runner.recipe.validate import output_paths
from comfy_runner.yaml_loader import got

DEFAULT_OUTPUT = "{job_id}/{role}"
"""Where a role's picture goes if the recipe does not say, without its suffix."""


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to be made, original and upscaled.

    Attributes:
        job_id: Readable, safe as a file name, at most 80 characters, the same every time.
        recipe: Where it comes from.
        template: Name or path of its template.
        values: What the template sees: plain, JSON-like, all resolved. ``checkpoint`` and ``prompt`` are absent if the recipe
            does not give them.
        outputs: Output path by role, relative to the run folder, for the roles that the recipe names.
        notes: What was adjusted, and known traps.
        seed: The first pass's seed, 0 to 2^53-1.
    """

    job_id: str
    recipe: LoadedRecipe
    template: str
    values: Mapping[str, Any]
    outputs: Mapping[str, str]
    notes: tuple[Note, ...]
    seed: int

    def output_for(self, role: str) -> str:
        """Return the output path of a role, ``/``-separated, relative to the run folder.

        Raises:
            RecipeError: if the role cannot be part of a path, or another role's path is in the way.
        """
        if role in self.outputs:
            return self.outputs[role]
        wrong = names.role_fault(role)
        if wrong:
            what = f"{wrong} (got {got(role)} in the template {self.template})"
            raise RecipeError(what, where=self.recipe.where("output"), hint="give its node another role")
        pattern = DEFAULT_OUTPUT + self.recipe.recipe.output.suffix
        path = names.resolve(pattern, job_id=self.job_id, name=self.recipe.recipe.name, role=role, seed=self.seed)
        clash = names.collision({**self.outputs, role: path})
        if clash:
            raise RecipeError(
                f"{clash[0]} and {clash[1]} would overwrite each other (got {path})",
                where=self.recipe.where(f"output.{clash[0]}"),
                hint=f"give output.{role} a path too",
            )
        return path


def draw_seed() -> int:
    """Return a random seed, 0 to 2^53-1."""
    return secrets.randbelow(MAX_SEED + 1)


def job(loaded: LoadedRecipe, *, seed: int | None = None, job_id: str = "", route: TemplateDefaults | None = None) -> Job:
    """Return the job of a recipe, whose sweep does not count here (see `variants`).

    Args:
        loaded: The recipe.
        seed: The first pass's seed, if the recipe says ``random``; see `LoadedRecipe.needs_seed` and `draw_seed`.
        job_id: Its id; the recipe's name as a slug if empty.
        route: What its template makes of recipes; None for one that says nothing.

    Raises:
        UsageError: if a seed is needed and not given, given and not needed, or out of range.
    """
    route = route or TemplateDefaults()
    recipe = route.over(loaded.recipe)
    if recipe is not loaded.recipe:
        loaded = replace(loaded, recipe=recipe)
    drawn = _seed(loaded, seed)
    job_id = job_id or names.slug(recipe.name)
    sized = picture_sizes(recipe)
    return Job(
        job_id=job_id,
        recipe=loaded,
        template=recipe.template,
        values=_values(recipe, sized, job_id=job_id, seed=drawn),
        outputs=output_paths(recipe, job_id=job_id, seed=drawn),
        notes=_notes(loaded, sized, route),
        seed=drawn,
    )


def _seed(loaded: LoadedRecipe, seed: int | None) -> int:
    fixed = loaded.recipe.seed
    where = loaded.where("seed")
    if isinstance(fixed, int):
        if seed not in (None, fixed):
            raise UsageError(f"the recipe has a seed of its own, {fixed} (got {seed})", where=where)
        return fixed
    if seed is None:
        raise UsageError("is random, so a number has to be drawn for the job", where=where)
    if isinstance(seed, bool) or not 0 <= seed <= MAX_SEED:
        raise UsageError(f"must be from 0 to {MAX_SEED} (got {seed})", where=where)
    return seed


def _values(recipe: Recipe, sized: PictureSizes, *, job_id: str, seed: int) -> dict[str, Any]:
    given = {"checkpoint": recipe.checkpoint, "prompt": recipe.prompt}
    return {
        **{name: value for name, value in given.items() if value is not None},
        "name": recipe.name,
        "job_id": job_id,
        "negative_prompt": recipe.negative_prompt,
        "vae": recipe.vae,
        "clip_skip": recipe.clip_skip,
        "loras": [
            {
                "name": lora.name,
                "strength_model": lora.strength_model,
                "strength_clip": lora.strength_model if lora.strength_clip is None else lora.strength_clip,
            }
            for lora in recipe.loras
        ],
        "seed": seed,
        "width": sized.original.width,
        "height": sized.original.height,
        "sampler": recipe.sampler.model_dump(),
        "upscale": _second_pass(recipe, sized, seed=seed),
        "params": copy.deepcopy(dict(recipe.params)) if recipe.params else {},
    }


def _second_pass(recipe: Recipe, sized: PictureSizes, *, seed: int) -> dict[str, Any]:
    upscale = recipe.upscale
    sampler = {**recipe.sampler.model_dump(), **upscale.sampler.model_dump(exclude_none=True)}
    if upscale.steps_mode == "scaled":
        sampler["steps"] = max(1, round(sampler["steps"] * upscale.denoise))
    seeds = {"same": seed, "next": (seed + 1) % (MAX_SEED + 1)}
    return {
        "width": sized.upscaled.width,
        "height": sized.upscaled.height,
        "factor": sized.factor,
        "method": upscale.method,
        "denoise": upscale.denoise,
        "steps_mode": upscale.steps_mode,
        "seed": upscale.seed if isinstance(upscale.seed, int) else seeds[upscale.seed],
        "sampler": sampler,
    }


def _notes(loaded: LoadedRecipe, sized: PictureSizes, route: TemplateDefaults) -> tuple[Note, ...]:
    found = [
        *sized.remarks,
        *route.unusual(loaded.recipe),
        *lint(loaded.recipe, sized, knows_factors="upscale.factor" in route.usual),
    ]
    return tuple(Note(each.what, loaded.where(each.field), each.level) for each in found if each.level != "fault")
