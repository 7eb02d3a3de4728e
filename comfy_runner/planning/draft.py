"""A job of a plan, kept small because a sweep may have a hundred thousand.

A draft knows the identity of its job and what it shares with others; its values and its graph are made again when they are needed.
This module does not know how drafts are made (`drafting`), where jobs are rendered, or which ones are already done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.errors import ComfyRunnerError, Note
from comfy_runner.graph.cost import StepTable
from comfy_runner.graph.filled import Filled
from comfy_runner.input_files import InputFile
from comfy_runner.planning.job_graph import PlannedJob, output_paths
from comfy_runner.recipe.sweep.expand import Variant
from comfy_runner.recipe.template_defaults import TemplateDefaults
from comfy_runner.retry import Retry
from comfy_runner.templating.lookup import Template

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
    def first_seed(self) -> int | None:
        """Return the seed of its first pass, drawn or given."""
        given = self.variant.seed
        return self.seed if self.seed is not None else given if isinstance(given, int) else None

    @property
    def prompt(self) -> str:
        """Return its prompt as the model gets it; as the recipe has it where a file that it is filled in from has changed since."""
        if not self.variant.loaded.rules.is_active:
            return self.variant.prompt
        try:
            return self.variant.job(seed=self.seed, route=self.route).recipe.recipe.prompt or ""
        except ComfyRunnerError:
            return self.variant.prompt

    @property
    def retry(self) -> Retry | None:
        """Return what its recipe says of trying again."""
        return self.variant.loaded.recipe.retry

    @property
    def space_needed(self) -> int:
        """Return how many bytes its pictures take at most on disk; those of unknown size count as nothing."""
        counts = self.filled.counts
        return sum(
            (size.pixels * _BYTES_PER_PIXEL + _BYTES_BESIDE) * counts.get(role, 1) for role, size in self.filled.sizes.items()
        )

    def planned(self) -> PlannedJob:
        """Return the job with its values and its graph."""
        job, filled, workflow = self.variant.job(seed=self.seed, route=self.route), self.filled, self.filled.workflow
        return PlannedJob(
            job=job,
            template=self.template,
            workflow=workflow,
            content_hash=self.content_hash,
            sources=filled.sources,
            sizes=filled.sizes,
            outputs=output_paths(job, workflow.collected),
            notes=job.notes,
            inputs=self.inputs,
        )


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
