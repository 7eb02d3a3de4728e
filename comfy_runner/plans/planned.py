"""Recipes made into jobs that are ready to be submitted: templates rendered, graphs checked, everything before the first POST.

No server is contacted here; what a server says of its nodes is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from comfy_runner.errors import Note, Problem, RecipeError, TemplateError
from comfy_runner.folder.view import REPORT, REPORT_FILES, SUPERSEDED
from comfy_runner.inputfile import InputFile
from comfy_runner.recipe.facts import all_facts, behind
from comfy_runner.recipe.jobs import Job
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.names import collision
from comfy_runner.recipe.route import Route, Usual, default_problems, value_of
from comfy_runner.recipe.schema import Recipe
from comfy_runner.shipped import shipped
from comfy_runner.textfile import shown
from comfy_runner.workflow.check import check
from comfy_runner.workflow.decoding import tile, tiled_nodes
from comfy_runner.workflow.graph import Workflow
from comfy_runner.workflow.object_info import ObjectInfo
from comfy_runner.workflow.params import given_params
from comfy_runner.workflow.pixels import Size
from comfy_runner.workflow.shape import Filled, Shape
from comfy_runner.workflow.signature import literals_of
from comfy_runner.workflow.template import ANYTHING, SUFFIX, Template, find_template

NEEDED_IF_USED = ("checkpoint", "prompt")
_DEFAULT = Recipe()
_RESERVED = {
    SUPERSEDED: f"{SUPERSEDED}/ is for replaced pictures",
    **dict.fromkeys((REPORT_FILES, *REPORT), "is for the run's report"),
}
_INDEX = re.compile(r"\.(\d+)(?=\.|$)")


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job with its graph.

    Attributes:
        job: The job, as the recipe gives it.
        template: The template that it is rendered with.
        workflow: The graph to submit; its file prefixes are still those of the template.
        content_hash: What the job is: the hash of the rendered graph, whatever the server calls its models.
        sources: Dotted recipe field by (node id, input name).
        sizes: The size in pixels of each output role, where it is known.
        outputs: The file of each output role, relative to the run folder, with ``/``.
        notes: What the user should know.
        inputs: The files that the recipe names for it to read.
    """

    job: Job
    template: Template
    workflow: Workflow
    content_hash: str
    sources: Mapping[tuple[str, str], str]
    sizes: Mapping[str, Size]
    outputs: Mapping[str, str]
    notes: tuple[Note, ...]
    inputs: tuple[InputFile, ...] = ()

    @property
    def job_id(self) -> str:
        """Return the job's id."""
        return self.job.job_id

    def locate(self, node_id: str, name: str) -> str:
        """Return where the recipe gives a node's input, as ``file:line: field``; empty where it does not."""
        source = self.sources.get((node_id, name), "")
        return self.job.recipe.where(_field(source, self.job.recipe.recipe)) if source else ""


def template_folders(loaded: LoadedRecipe, given: Sequence[Path]) -> list[Path]:
    """Return where a recipe's template is looked for: the given folders, ``templates/`` beside the recipe, the shipped ones."""
    return folders_beside(loaded.path.parent if loaded.path else None, given)


def folders_beside(folder: Path | None, given: Sequence[Path]) -> list[Path]:
    """Return where the templates of recipes in a folder are looked for; None for recipes that are in none."""
    beside = [folder / "templates"] if folder else []
    return [*given, *beside, shipped("templates")]


def decoded(job: Job, filled: Filled) -> Filled:
    """Return a job's graph with its pictures decoded as the recipe wants it, whole or in tiles."""
    shape = filled.shape
    nodes = tiled_nodes(shape.bare, job.recipe.recipe.vae_decode, shape.sizes(filled.literals))
    if not nodes:
        return filled
    return Filled(_tiled(shape, nodes), literals_of(tile(filled.workflow, nodes))[1])


@lru_cache(maxsize=32)
def _tiled(shape: Shape, nodes: frozenset[str]) -> Shape:
    return Shape(tile(shape.bare, nodes), shape.sources)


def checked_params(job: Job, template: Template, elsewhere: Collection[str] = ()) -> dict[str, Any]:
    """Return the values of a template's free parameters.

    Args:
        job: The job.
        template: Its template.
        elsewhere: Parameters of other templates that the same recipe sweeps over, which are nothing to this one.

    Raises:
        RecipeError: One is wrong, or the recipe lacks something else that the template needs.
    """
    params, wrong = given_params(template.params, job.values["params"], elsewhere=elsewhere)
    problems = [replace(problem, where=job.recipe.where(problem.where)) for problem in wrong]
    problems += [
        Problem(f"the template {template.name} needs it", job.recipe.where(name), f"give `{name}:`")
        for name in NEEDED_IF_USED
        if name in template.uses and name not in job.values
    ]
    if problems:
        raise RecipeError.of(problems)
    return params


def planned_job(job: Job, template: Template, filled: Filled, inputs: tuple[InputFile, ...] = ()) -> PlannedJob:
    """Return a job with its graph.

    Raises:
        RecipeError: Its pictures cannot go where the recipe wants them.
    """
    workflow = filled.workflow
    return PlannedJob(
        job=job,
        template=template,
        workflow=workflow,
        content_hash=filled.content_hash,
        sources=filled.sources,
        sizes=filled.sizes,
        outputs=output_paths(job, workflow),
        notes=job.notes,
        inputs=inputs,
    )


def fit(planned: PlannedJob, info: ObjectInfo, *, allow_partial: bool = False) -> PlannedJob:
    """Return the job with its graph fitted to one server; what the job *is* stays the same.

    Args:
        planned: The job.
        info: What the server says of its nodes.
        allow_partial: Whether outputs that the server would refuse are left out, as long as one remains.

    Raises:
        WorkflowError: The server would refuse the graph or run it otherwise.
    """
    where = f"template {planned.template.name}"
    header = planned.template.header
    checked = check(
        planned.workflow,
        info,
        where=where,
        locate=planned.locate,
        allow_partial=allow_partial,
        packs=header.packs,
        version=header.version,
    )
    return replace(planned, workflow=checked.workflow, notes=(*planned.notes, *checked.notes))


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
    used = frozenset[str]().union(*map(behind, template.uses))
    what = f"the template {template.name} does not use it"
    return [
        Note(what, loaded.where(name), "warning")
        for name in all_facts()
        if name not in used and loaded.gives(name) and value_of(loaded.recipe, name) != value_of(_DEFAULT, name)
    ]


def route_of(template: Template) -> Route:
    """Return what a template makes of recipes.

    Raises:
        TemplateError: It says something of fields that there are not, or that they cannot be.
    """
    header = template.header
    given = {name: field.default for name, field in header.fields.items() if field.has_default}
    wrong = [
        Problem(f"is a part of {other}, which has a default too", name)
        for name in given
        for other in given
        if name.startswith(f"{other}.")
    ]
    defaults: dict[str, Any] = {}
    for name, value in given.items() if not wrong else ():
        *outer, last = name.split(".")
        here = defaults
        for step in outer:
            here = here.setdefault(step, {})
        here[last] = value
    wrong += default_problems(defaults)
    if wrong:
        raise TemplateError.of(
            replace(problem, where=f"{shown(template.path)}:{header.lines.get(problem.where, 1)}: fields.{problem.where}")
            for problem in wrong
        )
    usual = {
        field.name: Usual(field.least, field.most, field.below, field.above)
        for field in header.fields.values()
        if field.least is not None and field.most is not None
    }
    return Route(defaults, usual)


def _field(value: str, recipe: Recipe) -> str:
    """Return the recipe field that decides a template's value: sizes are computed, the second pass inherits from the first."""
    first, _, last = value.rpartition(".")
    if value in ("width", "height"):
        return f"size.{value}"
    if first == "upscale" and last in ("width", "height"):
        return f"upscale.size.{last}" if recipe.upscale.size else "upscale.factor"
    if first == "upscale.sampler" and getattr(recipe.upscale.sampler, last, None) is None:
        return f"sampler.{last}"
    if value == "upscale.seed" and not isinstance(recipe.upscale.seed, int):
        return "seed"
    return _INDEX.sub(r"[\1]", value)


def output_paths(job: Job, workflow: Workflow) -> dict[str, str]:
    """Return where the picture of each output role goes, relative to the run folder, with ``/``.

    Raises:
        RecipeError: A path is reserved, or two are in each other's way.
    """
    if job.job_id == SUPERSEDED:
        what = f'"{SUPERSEDED}" is the folder of replaced pictures, not a job'
        raise RecipeError(what, where=job.recipe.where("name"), hint="rename it")
    paths = {role: job.output_for(role) for role in workflow.outputs}
    for role, path in paths.items():
        reserved = _RESERVED.get(path.split("/", 1)[0].casefold())
        if reserved:
            raise RecipeError(f"{reserved} (got {path})", where=job.recipe.where(f"output.{role}"))
    clash = collision(paths)
    if clash:
        first, second = clash
        what = f"{first} and {second} would overwrite each other (got {paths[second]})"
        raise RecipeError(what, where=job.recipe.where(f"output.{second}"))
    return paths
