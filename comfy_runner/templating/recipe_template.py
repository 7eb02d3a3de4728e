"""From a recipe to its template: where it is looked for, what it makes of the recipe's fields, which of them it leaves unused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from comfy_runner.errors import Note, Problem, RecipeError, TemplateError
from comfy_runner.recipe.field_docs import deciding_fields, field_docs
from comfy_runner.recipe.job import Job
from comfy_runner.recipe.layers import nested, value_at
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.template_defaults import TemplateDefaults, default_problems
from comfy_runner.recipe.template_values import NEEDED_IF_USED
from comfy_runner.shipped import shipped
from comfy_runner.templating.lookup import ANYTHING, SUFFIX, Template, find_template
from comfy_runner.templating.metadata import given_params
from comfy_runner.text_files import shown

_DEFAULT = Recipe()


def template_folders(loaded: LoadedRecipe, given: Sequence[Path]) -> list[Path]:
    """Return where a recipe's template is looked for: the given folders, ``templates/`` beside the recipe, the shipped ones."""
    return folders_beside(loaded.path.parent if loaded.path else None, given)


def folders_beside(folder: Path | None, given: Sequence[Path]) -> list[Path]:
    """Return where the templates of recipes in a folder are looked for; None for recipes that are in none."""
    beside = [folder / "templates"] if folder else []
    return [*given, *beside, shipped("templates")]


def checked_params(job: Job, template: Template, elsewhere: Collection[str] = ()) -> dict[str, Any]:
    """Return the values of a template's free parameters.

    Args:
        job: The job.
        template: Its template.
        elsewhere: Parameters of other templates that the same recipe sweeps over, which are nothing to this one.

    Raises:
        RecipeError: One is wrong, or the recipe lacks something else that the template needs, or wants several pictures of each
            output from one that makes one.
    """
    params, wrong = given_params(template.header.params, job.values["params"], elsewhere=elsewhere)
    problems = [replace(problem, where=job.recipe.where(problem.where)) for problem in wrong]
    problems += [
        Problem(f"the template {template.name} needs it", job.recipe.where(name), _way_to(name, is_empty=job.recipe.gives(name)))
        for name in NEEDED_IF_USED
        if name in template.uses and name not in job.values
    ]
    batch = job.values["batch_size"]
    if batch > 1 and template.uses.isdisjoint(("batch_size", ANYTHING)):
        what = f"the template {template.name} makes one picture of each output (got {batch})"
        hint = (
            "give params.batch_size" if "batch_size" in (template.header.params or ()) else "sweep the seed: --sweep seed=1,2,3,4"
        )
        problems.append(Problem(what, job.recipe.where("batch_size"), hint))
    if problems:
        raise RecipeError.of(problems)
    return params


def _way_to(name: str, *, is_empty: bool) -> str:
    return f"give `{name}:`" + (" a value; a text that begins with # needs quotes" if is_empty else "")


def find_recipe_template(loaded: LoadedRecipe, folders: Sequence[Path]) -> Template:
    """Return the template of a recipe without a sweep: a path from the recipe's own folder, or a name."""
    name = loaded.recipe.template
    return named_template(name, folders, beside=loaded.folder("template") or Path(), where=loaded.where("template"))


def named_template(name: str, folders: Sequence[Path], *, beside: Path, where: str = "") -> Template:
    """Return the template that a name, or a path from a folder, means.

    Raises:
        TemplateError: There is none, or its file cannot be read or is not a template.
    """
    if "/" not in name and not name.endswith(SUFFIX):
        return find_template(name, folders, where=where)
    path = beside / name
    return find_template(path.name.removesuffix(SUFFIX), [path.parent], where=where)


def unused(loaded: LoadedRecipe, template: Template) -> list[Note]:
    """Return a note for each field that a recipe gives, otherwise than it is by default, and its template does nothing with."""
    if ANYTHING in template.uses:
        return []
    used = frozenset[str]().union(*map(deciding_fields, template.uses))
    what = f"the template {template.name} does not use it"
    return [
        Note(what, loaded.where(name), "warning")
        for name in field_docs()
        if name not in used
        and loaded.gives(name)
        and value_at(loaded.recipe, name.split(".")) != value_at(_DEFAULT, name.split("."))
    ]


def route_of(template: Template) -> TemplateDefaults:
    """Return what a template makes of recipes.

    Raises:
        TemplateError: It says something of fields that there are not, or that they cannot be.
    """
    header = template.header
    given = header.defaults
    wrong = [
        Problem(f"is a part of {other}, which also has a default", name)
        for name in given
        for other in given
        if name.startswith(f"{other}.")
    ]
    defaults = nested(given) if not wrong else {}
    wrong += default_problems(defaults)
    if wrong:
        raise TemplateError.of(
            replace(problem, where=f"{shown(template.path)}:{header.lines.get(problem.where, 1)}: fields.{problem.where}")
            for problem in wrong
        )
    has_size = not template.uses.isdisjoint(("width", "height", ANYTHING))
    return TemplateDefaults(defaults, header.usual, header.picture, has_size)
