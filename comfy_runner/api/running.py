"""`run`: recipes are rendered, and their pictures collected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from comfy_runner.api.planning import records, run_folder, seeds
from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.engine.registry import connect_all, enlist, refuse_bad_addresses
from comfy_runner.errors import UsageError
from comfy_runner.planning.drafting import draft_all
from comfy_runner.planning.inputs import InputFiles
from comfy_runner.recipe.sources import RecipeSource, load_all
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.recipe.sweep.ids import select
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.running.start import begin
from comfy_runner.store.run_folder import RunFolder


def run(
    recipes: Sequence[RecipeSource],
    *,
    server: str | ServerConfig | Sequence[str | ServerConfig] | None = None,
    out: Path | str | None = None,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    templates: Sequence[Path] = (),
    force: bool = False,
    policy: Policy | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Render recipes on ComfyUI servers.

    Everything is checked before anything is rendered. A run folder is continued: jobs that it shows as done are not rendered again,
    those that an earlier process has submitted are taken up, those that have changed are rendered again.

    Args:
        recipes: At least one: the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, or a mapping
            with a recipe's fields; a text with ``*``, ``?`` or ``[`` that is no file stands for all files that it matches.
        server: A URL, a name from the config file, ``local`` for a ComfyUI that is set up and started here, or a `ServerConfig`;
            several of these share the jobs; None for the servers that the settings name.
        out: The run folder; None for ``runs/<recipe name>`` in the current folder, which takes a single recipe.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns such as ``*-s42``: of the jobs, only those whose id matches one of them; empty for all.
        skip: Patterns such as ``*-s42``: no jobs whose id matches one of them.
        templates: Folders that are searched for templates first.
        force: Whether jobs that are done are rendered again.
        policy: How to treat the servers: time limits, jobs in flight, partial jobs, retries; None for the usual.
        config: Settings; None for those of the user's config file.
        say: Takes sentences about slow preparations, such as setting up the local ComfyUI; None for silence.

    Returns:
        The run, which has begun.

    Raises:
        InputError: A recipe, a template, a workflow or an argument is wrong, or no server can do a job.
        ServerError: No server can be used.
        RunFolderError: The run folder cannot be used.
    """
    policy = policy or Policy()
    if policy.in_flight < 1:
        raise UsageError(f"in_flight must be at least 1 (got {policy.in_flight})")
    settings = config or load_config()
    refuse_bad_addresses(server, settings)
    loaded = load_all(recipes, sets=sets, sweeps=sweeps)
    path = run_folder(loaded, out)
    variants = [variant for recipe in loaded for variant in expand(recipe)]
    chosen = frozenset(select([variant.job_id for variant in variants], only=only, skip=skip))
    folders = (*templates, *settings.templates)
    # Once with any seeds, so that a mistake costs nothing, not even an empty folder.
    files = InputFiles()
    drafted = draft_all(variants, templates=folders, seed_of=seeds(variants), files=files)
    folder = RunFolder(path)
    try:
        if names := records(variants):
            drafted = draft_all(variants, templates=folders, seed_of=seeds(variants, folder.draw_seeds(names)), files=files)
        how = replace(policy, retry=policy.retry or settings.retry, outage=policy.outage or settings.outage_timeout)
        return begin(
            drafted,
            chosen,
            folder,
            connect=lambda: connect_all(server, settings, say=say),
            enlist=lambda name: enlist(name, settings, server),
            force=force,
            policy=how,
        )
    except BaseException:
        folder.close()
        raise
