"""All jobs of a plan, each as little as can be: a sweep may have a hundred thousand.

A draft knows what its job is, and what tells jobs apart and which neighbours share; its recipe, values and graph are made anew when
they are needed. Does not know where the jobs are rendered, and what is done already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import InputError, Note, Problem, RecipeError, UsageError
from comfy_runner.graph.cost import StepTable
from comfy_runner.graph.filled import Filled
from comfy_runner.graph.workflow import Workflow
from comfy_runner.input_files import InputFile
from comfy_runner.planning.inputs import InputFiles
from comfy_runner.planning.job_graph import PlannedJob, decoded, output_paths, planned_job
from comfy_runner.recipe.sweep.expand import Variant
from comfy_runner.recipe.template_defaults import TemplateDefaults
from comfy_runner.retry import Retry
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.lookup import Template
from comfy_runner.templating.recipe_template import checked_params, find_recipe_template, route_of, template_folders, unused

MOST_PROBLEMS = 50
"""Where problems of many jobs are told, no more jobs are looked at beyond so many."""

_BYTES_PER_PIXEL = 4  # PNG does not compress noise
_BYTES_BESIDE = 64 * 1024  # the workflow in the picture, the sidecar


@dataclass(frozen=True, slots=True)
class Draft:
    """A job of a plan.

    Attributes:
        variant: The point of the sweep.
        seed: The seed that was drawn; None where the recipe gives one.
        template: Its template.
        route: What the template makes of recipes.
        filled: Its graph, as a template's shape and the literals in it.
        content_hash: What the job is.
        pixel_hash: Equal for jobs that give the very same pixels.
        steps: Its nodes' results, as numbers in the plan's catalogue.
        inputs: The files that its recipe names for it to read.
    """

    variant: Variant
    seed: int | None
    template: Template
    route: TemplateDefaults
    filled: Filled
    content_hash: str
    pixel_hash: str
    steps: tuple[int, ...]
    inputs: tuple[InputFile, ...] = ()

    @property
    def job_id(self) -> str:
        """Return the job's id."""
        return self.variant.job_id

    @property
    def recipe_name(self) -> str:
        """Return which recipe it belongs to, as the ledger knows it."""
        return self.variant.recipe_name

    @property
    def assignments(self) -> Mapping[str, Any]:
        """Return the values of the sweep's fields; of a seed that was drawn, the number."""
        found = self.variant.assignments
        return {**found, "seed": self.seed} if self.seed is not None and "seed" in found else found

    @property
    def retry(self) -> Retry | None:
        """Return what its recipe says of trying again."""
        return self.variant.loaded.recipe.retry

    @property
    def space_needed(self) -> int:
        """Return how many bytes its pictures take at most on disk; those of unknown size count as nothing."""
        return sum(size.pixels * _BYTES_PER_PIXEL + _BYTES_BESIDE for size in self.filled.sizes.values())

    def planned(self) -> PlannedJob:
        """Return the job with its values and its graph."""
        return planned_job(self.variant.job(seed=self.seed, route=self.route), self.template, self.filled, self.inputs)


@dataclass(frozen=True, slots=True)
class Plan:
    """Jobs, in the order of their recipes.

    Attributes:
        drafts: The jobs.
        steps: What their nodes are and cost.
        notes: What the user should know of them.
    """

    drafts: tuple[Draft, ...]
    steps: StepTable
    notes: tuple[Note, ...]


def draft_all(
    variants: Sequence[Variant], *, templates: Sequence[Path], seed_of: Callable[[Variant], int], files: InputFiles | None = None
) -> Plan:
    """Draft every job.

    Args:
        variants: The points of all sweeps.
        templates: Folders that are searched for templates first.
        seed_of: Gives the seed of a job whose recipe leaves it to chance.
        files: The input files, where some have been read for the same plan before.

    Raises:
        InputError: With all that is wrong with any of them.
        UsageError: Two jobs have the same id or write the same file.
    """
    drafter = _Drafter(variants, templates, files or InputFiles())
    drafts: list[Draft] = []
    problems: dict[Problem, type[InputError]] = {}
    for variant in variants:
        try:
            drafts.append(drafter.draft(variant, seed_of(variant) if variant.draw else None))
        except InputError as error:
            problems.update(dict.fromkeys(error.problems, type(error)))
            if len(problems) > MOST_PROBLEMS:
                break
    if problems:
        kinds = set(problems.values())
        raise (kinds.pop() if len(kinds) == 1 else RecipeError).of(problems)
    _refuse_clashes(drafts)
    notes = dict.fromkeys(note for variant in variants for note in variant.loaded.notes)
    return Plan(tuple(drafts), drafter.steps, tuple(notes | drafter.notes))


class _Drafter:
    def __init__(self, variants: Sequence[Variant], templates: Sequence[Path], files: InputFiles) -> None:
        self.steps = StepTable()
        self._files = files
        self.notes: dict[Note, None] = {}
        self._given = templates
        self._templates: dict[tuple[int, str], tuple[Template, TemplateDefaults, Renderer]] = {}
        self._renderers: dict[tuple[Path, ...], Renderer] = {}
        self._known_good: set[int] = set()
        self._params: dict[int, frozenset[str]] = {}
        # One variant for each template that a recipe sweeps over.
        self._of_template: dict[int, list[Variant]] = {}
        swept = {(id(variant.loaded), variant.template): variant for variant in variants if "template" in variant.fields}
        for (key, _), variant in swept.items():
            self._of_template.setdefault(key, []).append(variant)

    def draft(self, variant: Variant, seed: int | None) -> Draft:
        template, route, renderer = self._template(variant)
        job = variant.job(seed=seed, route=route)
        params = checked_params(job, template, self._all_params(variant))
        params, inputs = self._files.resolved(job, template, params)
        filled = decoded(job, renderer.render({**job.values, "params": params}))
        if job.outputs or id(filled.shape) not in self._known_good:
            output_paths(job, filled.workflow)
            if id(filled.shape) not in self._known_good:
                self.notes.update(dict.fromkeys(_self_naming(filled.shape.bare, template)))
            self._known_good.add(id(filled.shape))
        self.notes.update(dict.fromkeys(job.notes))
        signed = filled.shape.signed(filled.literals)
        # What is written otherwise has other pixels.
        pixels = filled.pixels_of(signed) + variant.loaded.recipe.output.kind
        return Draft(variant, seed, template, route, filled, signed.content, pixels, self.steps.of(filled, signed), inputs)

    def _all_params(self, variant: Variant) -> frozenset[str]:
        """Return the parameters of all templates that a recipe sweeps over; none where it sweeps over none."""
        key = id(variant.loaded)
        if key not in self._params:
            others = self._of_template.get(key, ())
            templates = [self._template(other)[0] for other in others] if len(others) > 1 else []
            self._params[key] = frozenset(name for template in templates for name in template.params or ())
        return self._params[key]

    def _template(self, variant: Variant) -> tuple[Template, TemplateDefaults, Renderer]:
        key = (id(variant.loaded), variant.template)
        if key not in self._templates:
            alone = variant.alone
            folders = template_folders(alone, self._given)
            template = find_recipe_template(alone, folders)
            # Recipes of one folder share what is rendered.
            same = (template.path, *folders)
            renderer = self._renderers.setdefault(same, Renderer(template, folders))
            self._templates[key] = (template, route_of(template), renderer)
            self.notes.update(dict.fromkeys(template.notes))
            if "template" not in variant.fields:  # otherwise it is for another one
                self.notes.update(dict.fromkeys(unused(alone, template)))
        return self._templates[key]


def _self_naming(workflow: Workflow, template: Template) -> Iterator[Note]:
    """Yield a note for each output whose files have names that we do not give."""
    for node_id, node in workflow.nodes.items():
        if node.names_its_files:
            what = (
                f'node "{node_id}" ({node.class_type}) takes no filename_prefix, so that files of several jobs may have one name: '
                "its jobs go to a server one at a time; give it a filename_prefix, if it takes one, or save with SaveImage"
            )
            yield Note(what, template.name, "warning")


def _refuse_clashes(drafts: Sequence[Draft]) -> None:
    """Make sure that no two jobs have the same id or write the same file."""
    owners: dict[str, Draft] = {}
    # Where nobody says where pictures go, they go to folders that are named after their jobs.
    told = any(draft.variant.loaded.recipe.output.roles for draft in drafts)
    for draft in drafts:
        _claim(owners, f"job {draft.job_id}", draft)
        for path in draft.planned().outputs.values() if told else ():
            _claim(owners, f"file {path.casefold()}", draft)


def _claim(owners: dict[str, Draft], what: str, draft: Draft) -> None:
    other = owners.setdefault(what, draft)
    if other is draft:
        return
    here, there = draft.variant.loaded, other.variant.loaded
    if here is there:
        hint = "put {job_id} into the pattern"
        raise UsageError(f"{what} is that of {other.job_id} and of {draft.job_id}", where=here.where("output"), hint=hint)
    raise UsageError(
        f"{what} is also that of {there.where('name')}", where=here.where("name"), hint="give the recipes different names"
    )
