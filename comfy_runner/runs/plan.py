"""Recipes made into jobs that are ready to be submitted: templates rendered, graphs checked, everything before the first POST.

No server is contacted here; what a server says of its nodes is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comfy_runner.errors import InputError, Note, Problem, RecipeError, UsageError
from comfy_runner.recipe.jobs import Job
from comfy_runner.recipe.names import collision
from comfy_runner.recipe.schema import Recipe
from comfy_runner.shipped import shipped
from comfy_runner.workflow.check import check
from comfy_runner.workflow.graph import Workflow
from comfy_runner.workflow.object_info import ObjectInfo
from comfy_runner.workflow.params import given_params
from comfy_runner.workflow.pixels import Size, output_sizes
from comfy_runner.workflow.signature import content_hash
from comfy_runner.workflow.template import SUFFIX, Template, find_template, render

_BYTES_PER_PIXEL = 4  # PNG does not compress noise
_BYTES_BESIDE = 64 * 1024  # the workflow in the picture, the sidecar
_NEEDED_IF_USED = ("checkpoint", "prompt")
SUPERSEDED = "superseded"
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
    """

    job: Job
    template: Template
    workflow: Workflow
    content_hash: str
    sources: Mapping[tuple[str, str], str]
    sizes: Mapping[str, Size]
    outputs: Mapping[str, str]
    notes: tuple[Note, ...]

    @property
    def job_id(self) -> str:
        """Return the job's id."""
        return self.job.job_id

    def locate(self, node_id: str, name: str) -> str:
        """Return where the recipe gives a node's input, as ``file:line: field``; empty where it does not."""
        source = self.sources.get((node_id, name), "")
        return self.job.recipe.where(_field(source, self.job.recipe.recipe)) if source else ""


def template_folders(job: Job, given: Sequence[Path]) -> list[Path]:
    """Return where a job's template is looked for: the given folders, ``templates/`` beside the recipe, the shipped ones."""
    beside = [job.recipe.path.parent / "templates"] if job.recipe.path else []
    return [*given, *beside, shipped("templates")]


def plan_job(job: Job, *, templates: Sequence[Path] = ()) -> PlannedJob:
    """Render a job's workflow.

    Raises:
        TemplateError: There is no such template, or it does not render.
        RecipeError: The recipe lacks what the template needs.
        WorkflowError: What was rendered is not a workflow.
    """
    folders = template_folders(job, templates)
    template = _find(job, folders)
    params, wrong = given_params(template.params, job.values["params"])
    problems = [replace(problem, where=job.recipe.where(problem.where)) for problem in wrong]
    problems += [
        Problem(f"the template {template.name} needs it", job.recipe.where(name), f"give `{name}:`")
        for name in _NEEDED_IF_USED
        if name in template.uses and name not in job.values
    ]
    if problems:
        raise RecipeError.of(problems)
    rendered = render(template, {**job.values, "params": params}, folders=folders)
    workflow = rendered.workflow
    return PlannedJob(
        job=job,
        template=template,
        workflow=workflow,
        content_hash=content_hash(workflow),
        sources=rendered.sources,
        sizes=output_sizes(workflow),
        outputs=_outputs(job, workflow),
        notes=job.notes,
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
    checked = check(planned.workflow, info, where=where, locate=planned.locate, allow_partial=allow_partial)
    return replace(planned, workflow=checked.workflow, notes=(*planned.notes, *checked.notes))


def fit_all(jobs: Sequence[PlannedJob], info: ObjectInfo, *, allow_partial: bool = False) -> list[PlannedJob]:
    """Fit every job, or raise one error with the problems of all."""
    fitted: list[PlannedJob] = []
    problems: list[Problem] = []
    for planned in jobs:
        try:
            fitted.append(fit(planned, info, allow_partial=allow_partial))
        except InputError as error:
            problems += error.problems
    if problems:
        raise RecipeError.of(dict.fromkeys(problems))
    return fitted


def refuse_clashes(jobs: Sequence[PlannedJob]) -> None:
    """Make sure that no two jobs have the same id or write the same file.

    Raises:
        UsageError: Two do; both are named.
    """
    owners: dict[str, str] = {}
    for planned in jobs:
        source = planned.job.recipe.where("name")
        for name in (f"job {planned.job_id}", *(f"file {path.casefold()}" for path in planned.outputs.values())):
            if name in owners:
                raise UsageError(f"{name} is also that of {owners[name]}", where=source, hint="give the recipes different names")
            owners[name] = source


def space_needed(planned: PlannedJob, *, standing: Collection[str] = ()) -> int:
    """Return how many bytes the pictures of a job take at most on disk; those of unknown size count as nothing.

    Args:
        planned: The job.
        standing: The output roles that need not be made.
    """
    sizes = [size for role, size in planned.sizes.items() if role in planned.outputs and role not in standing]
    return sum(size.pixels * _BYTES_PER_PIXEL + _BYTES_BESIDE for size in sizes)


def _find(job: Job, folders: Sequence[Path]) -> Template:
    where = job.recipe.where("template")
    if "/" not in job.template and not job.template.endswith(SUFFIX):
        return find_template(job.template, folders, where=where)
    path = (job.recipe.folder("template") or Path()) / job.template
    return find_template(path.name.removesuffix(SUFFIX), [path.parent], where=where)


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


def _outputs(job: Job, workflow: Workflow) -> dict[str, str]:
    if job.job_id == SUPERSEDED:
        what = f'"{SUPERSEDED}" is the folder of replaced pictures, not a job'
        raise RecipeError(what, where=job.recipe.where("name"), hint="rename it")
    paths = {role: job.output_for(role) for role in workflow.outputs}
    for role, path in paths.items():
        if path.split("/", 1)[0].casefold() == SUPERSEDED:
            raise RecipeError(f"{SUPERSEDED}/ is for replaced pictures (got {path})", where=job.recipe.where(f"output.{role}"))
    clash = collision(paths)
    if clash:
        first, second = clash
        what = f"{first} and {second} would overwrite each other (got {paths[second]})"
        raise RecipeError(what, where=job.recipe.where(f"output.{second}"))
    return paths
