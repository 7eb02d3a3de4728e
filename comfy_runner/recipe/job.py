"""What a recipe amounts to: one job with all values resolved, its output paths, and what the user should know.

Does not make the workflow graph (`templating.compiled` renders it from `Job.values`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from comfy_runner.errors import Note, RecipeError, UsageError
from comfy_runner.recipe import names
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.lint import lint, output_paths
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.output_names import with_values
from comfy_runner.recipe.prompts.filling import filled_in
from comfy_runner.recipe.sizes import PictureSizes, picture_sizes
from comfy_runner.recipe.template_defaults import NO_DEFAULTS, TemplateDefaults
from comfy_runner.recipe.template_values import Resolved, template_values
from comfy_runner.recipe.upscaler_names import method_problem
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
        values: What the template sees, as `template_values` makes it.
        outputs: Output path by role, relative to the run folder, for the roles that the recipe names.
        notes: What was adjusted, and known traps.
        seed: The first pass's seed, 0 to 2^53-1.
        filled_from: The fields that its prompts were filled in from, as the recipe writes them; none where it has them as they are.
    """

    job_id: str
    recipe: LoadedRecipe
    template: str
    values: Mapping[str, Any]
    outputs: Mapping[str, str]
    notes: tuple[Note, ...]
    seed: int
    filled_from: Mapping[str, Any] = field(default_factory=dict)

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


def job(loaded: LoadedRecipe, *, seed: int | None = None, job_id: str = "", route: TemplateDefaults = NO_DEFAULTS) -> Job:
    """Return the job of a recipe, whose sweep does not count here (see `variants`).

    Args:
        loaded: The recipe.
        seed: The first pass's seed, if the recipe says ``random``; see `LoadedRecipe.needs_seed` and `draw_seed`.
        job_id: Its id; the recipe's name as a slug if empty.
        route: What its template makes of recipes.

    Raises:
        RecipeError: if its method of enlarging is an upscaler of the web UI's that the template does not have, or a prompt cannot
            be filled in.
        UsageError: if a seed is needed and not given, given and not needed, or out of range.
    """
    return job_with_defaults(replace(loaded, recipe=route.over(loaded.recipe)), seed=seed, job_id=job_id, route=route)


def job_with_defaults(loaded: LoadedRecipe, *, seed: int | None, job_id: str, route: TemplateDefaults, index: int = 1) -> Job:
    """Return the job of a recipe that has its template's defaults already; otherwise as `job`.

    Args:
        loaded: The recipe.
        seed: The first pass's seed, if the recipe says ``random``.
        job_id: Its id; the recipe's name as a slug if empty.
        route: What its template makes of recipes.
        index: Which point of its sweep it is, from 1.

    Raises:
        RecipeError: As `job`; also if an output pattern names a field that there is not.
        UsageError: As `job`.
    """
    recipe = loaded.recipe
    what, hint = method_problem(recipe.template, recipe.upscale.method)
    if what:
        raise RecipeError(f"{what} (got {got(recipe.upscale.method)})", where=loaded.where("upscale.method"), hint=hint)
    drawn = _seed(loaded, seed)
    recipe, filled_from = filled_in(recipe, loaded.rules, drawn, where=loaded.where)
    recipe = with_values(recipe, given=loaded.recipe, index=index, date=loaded.date, where=loaded.where)
    loaded = loaded if recipe is loaded.recipe else replace(loaded, recipe=recipe)
    job_id = job_id or names.slug(recipe.name)
    sized = picture_sizes(recipe)
    return Job(
        job_id=job_id,
        recipe=loaded,
        template=recipe.template,
        values=template_values(Resolved(recipe, sized, job_id, drawn)),
        outputs=output_paths(recipe, job_id=job_id, seed=drawn),
        notes=_notes(loaded, sized, route),
        seed=drawn,
        filled_from=filled_from,
    )


def _seed(loaded: LoadedRecipe, seed: int | None) -> int:
    fixed = loaded.recipe.seed
    if isinstance(fixed, int):
        if seed not in (None, fixed):
            raise UsageError(f"the recipe already has a seed, {fixed} (got {seed})", where=loaded.where("seed"))
        return fixed
    where = loaded.where("seed")
    if seed is None:
        raise UsageError("is random, so a number has to be drawn for the job", where=where)
    if isinstance(seed, bool) or not 0 <= seed <= MAX_SEED:
        raise UsageError(f"must be from 0 to {MAX_SEED} (got {seed})", where=where)
    return seed


def _notes(loaded: LoadedRecipe, sized: PictureSizes, route: TemplateDefaults) -> tuple[Note, ...]:
    found = [
        # What becomes of a picture that is loaded, or made in another size, its graph tells.
        *(remark for remark in sized.remarks if route.samples_original or remark.level != "warning"),
        *route.unusual(loaded.recipe),
        *lint(loaded.recipe, sized, knows_factors="upscale.factor" in route.usual, has_first_pass=route.samples_original),
    ]
    return tuple(Note(each.what, loaded.where(each.field), each.level) for each in found if each.level != "fault")
