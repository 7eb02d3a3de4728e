"""Draft all jobs of a plan: render, hash and check them, and report all errors at once.

A sweep may have a hundred thousand jobs, most of which differ only in seeds and prompts; these are drafted from another one.
This module does not know where jobs are rendered, or which ones are already done.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from comfy_runner.errors import InputError, Note, RecipeError, UsageError
from comfy_runner.graph.cost import StepTable
from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.reshaping import reshaped
from comfy_runner.graph.signature import Series
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import Workflow
from comfy_runner.input_files import InputFile
from comfy_runner.planning.draft import Draft, Plan
from comfy_runner.planning.inputs import InputFiles
from comfy_runner.planning.job_graph import decoded, output_paths
from comfy_runner.planning.job_problems import JobProblems
from comfy_runner.recipe.fields import MAX_PIXELS, MIN_PIXELS
from comfy_runner.recipe.job import Job
from comfy_runner.recipe.lint import output_paths as named_paths
from comfy_runner.recipe.names import first_of_batch
from comfy_runner.recipe.output_names import is_of_values
from comfy_runner.recipe.sizes import percent
from comfy_runner.recipe.sweep.expand import OWN_FIELDS, Variant
from comfy_runner.recipe.template_defaults import TemplateDefaults
from comfy_runner.recipe.template_values import second_seed
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.lookup import Template
from comfy_runner.templating.recipe_template import checked_params, find_recipe_template, route_of, template_folders, unused

_SEEN = 0.02  # the share from which on people see that something is missing or stretched
_MOST_WRONG = 200  # jobs, which may all be wrong in the same way


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
    drafter = _Drafter(variants, templates, seed_of, files or InputFiles())
    drafts: list[Draft | None] = [None] * len(variants)
    problems = JobProblems(len(variants), most_jobs=_MOST_WRONG)
    families: dict[Hashable, list[int]] = {}
    for number, variant in enumerate(variants):
        families.setdefault(variant.family, []).append(number)
    of_families = (
        zip(numbers, drafter.family([variants[number] for number in numbers]), strict=True) for numbers in families.values()
    )
    for number, found in itertools.chain.from_iterable(of_families):
        if isinstance(found, Draft):
            drafts[number] = found
            continue
        if problems.add(variants[number].job_id, found.problems, type(found)):
            break
    problems.refuse()
    in_order = tuple(draft for draft in drafts if draft is not None)
    _refuse_clashes(in_order, drafter.paths)
    notes = dict.fromkeys(note for variant in variants for note in variant.loaded.notes)
    return Plan(in_order, drafter.steps, tuple(notes | drafter.notes))


def draft_one(variant: Variant, *, templates: Sequence[Path] = ()) -> Draft:
    """Draft a single job; where its recipe leaves the seed to chance, it is 0.

    Args:
        variant: The job's point of a sweep.
        templates: Folders that are searched for templates first.

    Raises:
        InputError: With all that is wrong with it.
    """
    return draft_all([variant], templates=templates, seed_of=lambda _variant: 0).drafts[0]


class _Drafter:
    def __init__(
        self, variants: Sequence[Variant], templates: Sequence[Path], seed_of: Callable[[Variant], int], files: InputFiles
    ) -> None:
        self.steps = StepTable()
        self.notes: dict[Note, None] = {}
        self.paths: dict[str, Mapping[str, str]] = {}  # of the jobs whose recipe says where pictures go, by id
        self._seed_of = seed_of
        self._files = files
        self._given = templates
        self._templates: dict[tuple[int, str], tuple[Template, TemplateDefaults, Renderer]] = {}
        self._renderers: dict[tuple[Path, ...], Renderer] = {}
        self._routes: dict[tuple[int, int, int], TemplateDefaults] = {}
        self._known_good: set[Shape] = set()
        self._params: dict[int, frozenset[str]] = {}
        # One variant for each template that a recipe sweeps over.
        self._of_template: dict[int, list[Variant]] = {}
        swept = {(id(variant.loaded), variant.template): variant for variant in variants if "template" in variant.fields}
        for (key, _), variant in swept.items():
            self._of_template.setdefault(key, []).append(variant)

    def family(self, variants: Sequence[Variant]) -> Iterator[Draft | InputError]:
        """Yield the drafts of points of one family (`Variant.family`), or what is wrong with them."""
        siblings: _Siblings | None = None
        for variant in variants:
            seed = self._seed_of(variant) if variant.draw else None
            try:
                if siblings is not None:
                    draft = siblings.draft(variant, seed)
                    if siblings.job.outputs:
                        job = siblings.job_of(draft)
                        variant.refuse_paths(job)
                        self._claim_paths(job, draft.filled)
                else:
                    draft, job, values = self._draft(variant, seed)
                    if len(variants) > 1:
                        siblings = self._siblings(draft, job, values)
            except InputError as error:
                yield error
            else:
                yield draft

    def _draft(self, variant: Variant, seed: int | None) -> tuple[Draft, Job, Mapping[str, Any]]:
        """Return a draft, its job, and the values that its template was given."""
        template, route, renderer = self._template(variant)
        job = variant.job(seed=seed, route=route)
        params = checked_params(job, template, self._all_params(variant))
        params, inputs = self._files.resolved(job, template, params)
        if route.picture and "size" not in job.recipe.recipe.model_fields_set:
            route = self._of_picture(route, job, inputs)
            job = variant.job(seed=seed, route=route)
        values = {**job.values, "params": params}
        filled = decoded(job, renderer.render(values))
        is_new = filled.shape not in self._known_good
        if job.outputs or is_new or max(filled.counts.values(), default=1) > 1:
            self._claim_paths(job, filled)
        if is_new:
            self.notes.update(dict.fromkeys(_self_naming(filled.shape.bare, template)))
            self._known_good.add(filled.shape)
        self.notes.update(dict.fromkeys((*job.notes, *self._of_shapes(route, job, filled, inputs))))
        signed = filled.signed
        # What is written otherwise has other pixels.
        pixels = signed.pixels + variant.loaded.recipe.output.kind
        steps = self.steps.of(filled, signed)
        return Draft(variant, seed, template, route, filled, signed.content, pixels, steps, inputs), job, values

    def _of_picture(self, route: TemplateDefaults, job: Job, inputs: Sequence[InputFile]) -> TemplateDefaults:
        """Return what a template makes of recipes where the picture that it begins with has the size."""
        size = next((self._files.pictures[file.name] for file in inputs if file.param == route.picture), None)
        if size is None:
            return route
        width, height = size.whole_cells.width, size.whole_cells.height
        if min(width, height) < MIN_PIXELS or max(width, height) > MAX_PIXELS:
            what = f"{size} cannot be the size of a sampled picture: sides must be from {MIN_PIXELS} to {MAX_PIXELS} pixels"
            raise RecipeError(what, where=job.recipe.where(f"params.{route.picture}"), hint="give `size:`")
        return self._routes.setdefault((id(route), width, height), route.of_size(width, height))

    def _of_shapes(self, route: TemplateDefaults, job: Job, filled: Filled, inputs: Sequence[InputFile]) -> Iterator[Note]:
        """Yield a note for each input picture that is cropped or stretched."""
        params = {file.name: file.param for file in inputs if file.name in self._files.pictures}
        for found in reshaped(filled.workflow, {name: self._files.pictures[name] for name in params}) if params else ():
            done = [f"cropped to {found.kept} ({percent(found.lost)} is lost)"] if found.lost else []
            if found.after != found.kept:
                by = f"stretched by {percent(found.stretch)}" if found.stretch >= _SEEN else "resized"
                done.append(f"{by} to {found.after}")
            picture = self._files.pictures[found.picture]
            original = Size(job.values["width"], job.values["height"])
            has_its_size = original.whole_cells == picture.whole_cells and job.recipe.recipe.upscale.size is None
            keeps = params[found.picture] == route.picture and not has_its_size
            level: Literal["changed", "warning"] = "warning" if max(found.lost, found.stretch) >= _SEEN else "changed"
            where = job.recipe.where(f"params.{params[found.picture]}")
            hint = "; `upscale.factor` without `size` keeps its shape" if keeps else ""
            yield Note(f"{found.before} is {' and '.join(done)}{hint}", where, level)

    def _claim_paths(self, job: Job, filled: Filled) -> None:
        paths = output_paths(job, filled.shape.outputs, filled.counts)
        if job.outputs:
            self.paths[job.job_id] = paths

    def _siblings(self, draft: Draft, job: Job, values: Mapping[str, Any]) -> _Siblings | None:
        """Return what drafts the other jobs of a family; None where they may differ in more than what their template prints."""
        variant, filled = draft.variant, draft.filled
        if job.recipe.rules.is_active or is_of_values(variant.loaded.recipe):  # prompts of other words each, or files
            return None
        texts = {field: index for field, index in variant.own.items() if field != "seed"}
        printed = self._template(variant)[2].printed(values)
        names = ("job_id", "seed", "upscale.seed", *texts)
        if not printed.keys() >= set(names) or draft.route.usual.keys() & OWN_FIELDS:
            return None
        index_of = {place: index for index, place in enumerate(filled.shape.places)}
        varying = {index_of[place]: number for number, name in enumerate(names) for place in printed[name]}
        series = filled.shape.series(filled.literals, list(varying))
        if series is None:
            return None
        return _Siblings(draft, job, varying, tuple(texts.values()), series, self.steps.of_series(filled, series))

    def _all_params(self, variant: Variant) -> frozenset[str]:
        """Return the parameters of all templates that a recipe sweeps over; none where it sweeps over none."""
        key = id(variant.loaded)
        if key not in self._params:
            others = self._of_template.get(key, ())
            templates = [self._template(other)[0] for other in others] if len(others) > 1 else []
            self._params[key] = frozenset(name for template in templates for name in template.header.params or ())
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


class _Siblings:
    """Drafts the jobs of a family from one of them: they have their own seeds and texts where these are printed, and other hashes.

    Args:
        draft: The one.
        job: Its job.
        varying: The indices of the literals that differ, each with which one of a job's id, its two seeds and its texts it is.
        texts: Where in a point the texts are.
        series: The hashes of the graphs.
        steps_of: Gives the steps of a graph from its hashes.
    """

    def __init__(
        self,
        draft: Draft,
        job: Job,
        varying: Mapping[int, int],
        texts: Sequence[int],
        series: Series,
        steps_of: Callable[[Sequence[str]], tuple[int, ...]],
    ) -> None:
        self.job = job
        self._one, self._texts, self._series, self._steps_of = draft, texts, series, steps_of
        self._places, self._picks = list(varying), list(varying.values())
        self._literals = list(draft.filled.literals)
        self._second = job.recipe.recipe.upscale.seed
        self._kind = job.recipe.recipe.output.kind

    def draft(self, variant: Variant, seed: int | None) -> Draft:
        """Return the draft of another point; the seed is that which was drawn, if any."""
        one, first = self._one, variant.seed if seed is None else seed
        own = (variant.job_id, first, second_seed(self._second, first), *[variant.point[index] for index in self._texts])
        given = [own[pick] for pick in self._picks]
        literals = self._literals.copy()
        for index, value in zip(self._places, given, strict=True):
            literals[index] = value
        cells = self._series.sign(given)
        content, pixels = cells[self._series.content], cells[self._series.pixels] + self._kind
        filled = Filled(one.filled.shape, tuple(literals))
        return Draft(variant, seed, one.template, one.route, filled, content, pixels, self._steps_of(cells), one.inputs)

    def job_of(self, draft: Draft) -> Job:
        """Return the job of one of them, whose texts are those of the first: to ask where its pictures go."""
        seed = draft.variant.seed if draft.seed is None else draft.seed
        outputs = named_paths(self.job.recipe.recipe, job_id=draft.job_id, seed=seed)
        return replace(self.job, job_id=draft.job_id, seed=seed, outputs=outputs)


def _self_naming(workflow: Workflow, template: Template) -> Iterator[Note]:
    """Yield a note for each output whose files have names that we do not give."""
    for node_id, node in workflow.nodes.items():
        if node.names_its_files:
            what = (
                f'node "{node_id}" ({node.class_type}) has no filename_prefix, so files of several jobs may get the same name: '
                "its jobs go to a server one at a time; give it a filename_prefix, if it accepts one, or save with SaveImage"
            )
            yield Note(what, template.name, "warning")


def _refuse_clashes(drafts: Sequence[Draft], paths: Mapping[str, Mapping[str, str]]) -> None:
    """Make sure that no two jobs have the same id or write the same file."""
    owners: dict[str, Draft] = {}
    files: dict[str, tuple[int, Draft]] = {}  # of each path how many files there are, and whose
    for draft in drafts:
        _claim(owners, f"job {draft.job_id}", draft)
    # Where nobody says where pictures go, they go to folders that are named after their jobs.
    for draft in drafts if paths else ():
        counts = draft.filled.counts
        for role, path in (paths.get(draft.job_id) or draft.planned().outputs).items():
            _claim(owners, f"file {path.casefold()}", draft)
            files[path.casefold()] = counts.get(role, 1), draft
    for path, (_, draft) in files.items():
        start, number = first_of_batch(path)
        count, other = files.get(start, (0, draft))
        if 1 < number <= count:
            _claim({f"file {path}": other}, f"file {path}", draft)


def _claim(owners: dict[str, Draft], what: str, draft: Draft) -> None:
    other = owners.setdefault(what, draft)
    if other is draft:
        return
    here, there = draft.variant.loaded, other.variant.loaded
    if here is there:
        hint = "put {job_id} or {index} into the pattern"
        raise UsageError(f"{what} belongs to both {other.job_id} and {draft.job_id}", where=here.where("output"), hint=hint)
    raise UsageError(
        f"{what} also belongs to {there.where('name')}", where=here.where("name"), hint="give the recipes different names"
    )
