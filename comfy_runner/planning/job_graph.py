"""Recipes made into jobs that are ready to be submitted: templates rendered, graphs checked, everything before the first POST.

No server is contacted here; what a server says of its nodes is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

from comfy_runner.errors import Note, RecipeError
from comfy_runner.graph.decoding import tile, tiled_nodes
from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.signature import literals_of
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import Workflow
from comfy_runner.input_files import InputFile
from comfy_runner.recipe.job import Job
from comfy_runner.recipe.names import collision
from comfy_runner.recipe.template_values import deciding_field
from comfy_runner.store.about import about_job
from comfy_runner.store.job_files import SUPERSEDED
from comfy_runner.store.run_folder import COMPARISON_FILES, REPORT, REPORT_FILES, SERVER_LOGS
from comfy_runner.store.sidecar import repeatable
from comfy_runner.templating.lookup import Template

_RESERVED = {
    SUPERSEDED: f"{SUPERSEDED}/ is for replaced pictures",
    **dict.fromkeys((REPORT_FILES, *REPORT), "is for the run's report"),
    COMPARISON_FILES: "is for comparisons with a baseline",
    SERVER_LOGS: "is for the logs of servers",
}


@dataclass(frozen=True)
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

    @cached_property
    def repeatable(self) -> dict[str, Any]:
        """Return a complete recipe that makes this very job again (`comfy_runner.store.sidecar.repeatable`)."""
        return repeatable(self.job, self.template.path, self.inputs)

    @property
    def about(self) -> dict[str, Any]:
        """Return what the job's pictures say of themselves (`comfy_runner.store.about`)."""
        return about_job(
            job_id=self.job_id,
            content_hash=self.content_hash,
            recipe=self.repeatable,
            template={"name": self.template.name, "sha256": self.template.sha256},
            inputs=[file.to_json() for file in self.inputs],
        )

    @property
    def open_files(self) -> tuple[str, ...]:
        """Return the fields that would bring a file of the user's to the server, and for which none is given."""
        params, given = self.template.header.params or {}, self.job.recipe.recipe.params
        fields = [
            name for name, param in params.items() if param.type in ("image", "file") and not (given.get(name) or param.default)
        ]
        return tuple(f"params.{name}" for name in fields)

    def locate(self, node_id: str, name: str) -> str:
        """Return where the recipe gives a node's input, as ``file:line: field``; empty where it does not."""
        source = self.sources.get((node_id, name), "")
        return self.job.recipe.where(deciding_field(source, self.job.recipe.recipe)) if source else ""


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


def output_paths(job: Job, roles: Iterable[str], counts: Mapping[str, int] = MappingProxyType({})) -> dict[str, str]:
    """Return where the picture of each output role goes, the first of several, relative to the run folder, with ``/``.

    Args:
        job: The job.
        roles: The roles.
        counts: How many pictures each has; those that are not told have one.

    Raises:
        RecipeError: A path is reserved, or two are in each other's way.
    """
    if job.job_id == SUPERSEDED:
        what = f'"{SUPERSEDED}" is the folder of replaced pictures, not a job'
        raise RecipeError(what, where=job.recipe.where("name"), hint="rename it")
    paths = {role: job.output_for(role) for role in roles}
    for role, path in paths.items():
        reserved = _RESERVED.get(path.split("/", 1)[0].casefold())
        if reserved:
            raise RecipeError(f"{reserved} (got {path})", where=job.recipe.where(f"output.{role}"))
    clash = collision(paths, counts)
    if clash:
        first, second = clash
        what = f"{first} and {second} would overwrite each other (got {paths[second]})"
        raise RecipeError(what, where=job.recipe.where(f"output.{second}"))
    return paths
