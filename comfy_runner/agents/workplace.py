"""Where an agent works: one folder, some servers, and what it may not do there.

An agent is driven by texts that anybody may have written. So each path that it names, and each file that a recipe of its names in
turn, has to lie in the folder, symbolic links followed; servers are those that a person has named; and nodes that cost money are
refused unless a person has allowed them.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from comfy_runner import api
from comfy_runner.api.importing import asking, loading
from comfy_runner.api.jobs import draft_jobs, run_folder
from comfy_runner.config import Config, ServerConfig
from comfy_runner.errors import Problem, UsageError, WorkflowError
from comfy_runner.planning.draft import Plan
from comfy_runner.recipe.load import shipped_recipes
from comfy_runner.recipe.sources import load_all
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.shipped import STARTER, shipped
from comfy_runner.text_files import is_file, recorded_reads, scheme_of, shown


@dataclass(frozen=True, slots=True)
class DraftedRun:
    """What a run of a recipe would be.

    Attributes:
        recipe: The recipe, as commands take it.
        folder: The run folder, relative to the agent's folder where it is below it as written.
        plan: The jobs.
    """

    recipe: str
    folder: Path
    plan: Plan


@dataclass(frozen=True)
class Workplace:
    """Where an agent works; it is the current folder of this process.

    Attributes:
        root: The folder, resolved.
        servers: The servers, by URL or name; empty for those of the settings.
        config: The settings.
        allows_paid: Whether nodes may be used that call a paid service.
        max_cost: The most that these may cost in each run folder, US dollars; None for no limit.
    """

    root: Path
    servers: tuple[str, ...]
    config: Config
    allows_paid: bool = False
    max_cost: float | None = None

    @property
    def fleet(self) -> tuple[ServerConfig, ...]:
        """The servers that runs use."""
        return self.config.find_servers(self.servers or None)

    def path(self, given: str) -> Path:
        """Return a path that an agent names, which need not be there.

        Raises:
            UsageError: It lies outside the folder, or is a URL.
        """
        if not given or scheme_of(given) or "\0" in given:
            raise UsageError(f"must be a path below the folder (got {given!r})", where="path", hint=f"the folder is {self.root}")
        self._require(Path(given))
        return Path(given)

    def drafted(self, recipe: str, *, sets: Sequence[str], sweeps: Sequence[str], out: str = "") -> DraftedRun:
        """Return what a run of a recipe would be, without asking a server; all files that it takes are looked at.

        Args:
            recipe: The name of a shipped recipe, or the path of a recipe, a workflow or a picture.
            sets: Overrides of fields, each ``field=value``.
            sweeps: Axes, each ``field=values``.
            out: The run folder; empty for the usual one.

        Raises:
            InputError: The recipe is wrong, or names a file outside the folder.
        """
        is_shipped = recipe.replace("_", "-") in shipped_recipes() and not is_file(Path(recipe))
        if not is_shipped:
            if glob.has_magic(recipe) and not is_file(Path(recipe)):
                raise UsageError("must be one recipe, not a pattern", where=recipe, hint="call this once for each recipe")
            self.path(recipe)
        templates = self.config.templates
        with self._within():
            ask = asking(self.servers or None, None, self.config, None)
            loaded = load_all([recipe], sets=sets, sweeps=sweeps, load_one=loading(ask, templates))
            folder = run_folder(loaded, out or None)
            self._require(folder)
            plan = draft_jobs([variant for one in loaded for variant in expand(one)], folder, templates=templates)
        for path in {file.path for draft in plan.drafts for file in draft.inputs}:
            self._require(Path(path))
        for one in loaded:
            for name, source in one.recipe.models.items():
                if source.path is not None:
                    self._require(Path(one.model_source(name)))
        return DraftedRun(recipe, folder, plan)

    def refuse_paid(self, plan: Plan) -> None:
        """Make sure that jobs call no paid service, where that is not allowed; the servers are asked which nodes do.

        Raises:
            WorkflowError: They call one.
            ServerError: A server does not answer.
        """
        if self.allows_paid:
            return
        used = {node.class_type for draft in plan.drafts for node in draft.filled.workflow.nodes.values()}
        for server in self.fleet:
            found = api.nodes(server=server, config=self.config).paid(used)
            if found:
                hint = "the person who started this server can allow them with --allow-paid"
                raise WorkflowError.of(
                    Problem(f"{name} calls a paid service, which is not allowed here", server.place, hint) for name in found
                )

    @contextmanager
    def _within(self) -> Iterator[None]:
        """Refuse what is done here if it reads a file outside the folder; then nothing else is said of that file."""
        with recorded_reads() as paths:
            try:
                yield
            finally:
                for path in sorted(paths):
                    self._require(path, readable=True)

    def _require(self, path: Path, *, readable: bool = False) -> None:
        resolved = Path(os.path.realpath(path))
        if resolved.is_relative_to(self.root):
            return
        ours = (STARTER.parent, shipped("recipes"), shipped("templates"), *self.config.templates) if readable else ()
        if not any(resolved.is_relative_to(folder.resolve()) for folder in ours):
            hint = f"only files below {self.root} can be used"
            raise UsageError("is outside the folder of this server", where=shown(path), hint=hint)
