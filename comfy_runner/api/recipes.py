"""What is done with recipes: `run`, and without rendering anything `plan`, `render` (a job's graph) and `validate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from comfy_runner.api.importing import asking, loading
from comfy_runner.api.server_info import nodes
from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.engine.registry import connect, connect_all, enlist, refuse_bad_addresses
from comfy_runner.errors import Note, UsageError
from comfy_runner.graph.workflow import Workflow
from comfy_runner.planning.capabilities import check_all
from comfy_runner.planning.drafting import draft_all, draft_one
from comfy_runner.planning.inputs import InputFiles
from comfy_runner.planning.preview import preview
from comfy_runner.planning.summary import PlanSummary
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.names import slug
from comfy_runner.recipe.sources import RecipeSource, load_all
from comfy_runner.recipe.sweep.axes import Draw
from comfy_runner.recipe.sweep.expand import Variant, expand
from comfy_runner.recipe.sweep.ids import select
from comfy_runner.running.fleet_preview import preview_fleet
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.running.start import begin
from comfy_runner.store.run_folder import FolderView, RunFolder
from comfy_runner.wording import counted


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
        recipes: At least one: the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a workflow or
            a picture (docs/import.md), or a mapping with a recipe's fields; a text with ``*``, ``?`` or ``[`` that is no file
            stands for all files that it matches.
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
    folders = (*templates, *settings.templates)
    ask = asking(settings.find_servers(server), None, settings, say)
    loaded = load_all(recipes, sets=sets, sweeps=sweeps, load_one=loading(ask, folders))
    path = _run_folder(loaded, out)
    variants = [variant for recipe in loaded for variant in expand(recipe)]
    chosen = frozenset(select([variant.job_id for variant in variants], only=only, skip=skip))
    # Once with any seeds, so that a mistake costs nothing, not even an empty folder.
    files = InputFiles()
    drafted = draft_all(variants, templates=folders, seed_of=_seeds(variants), files=files)
    folder = RunFolder(path)
    try:
        if names := _records(variants):
            drafted = draft_all(variants, templates=folders, seed_of=_seeds(variants, folder.draw_seeds(names)), files=files)
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


def plan(
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
    allow_partial: bool = False,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> PlanSummary:
    """Return what `run` would do: the jobs, their order, what is done already, what it costs. Nothing is rendered or written.

    The run folder is neither made nor locked. Several recipes without `out` are planned without one.

    Args:
        recipes: At least one: the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a workflow or
            a picture (docs/import.md), or a mapping with a recipe's fields; a text with ``*``, ``?`` or ``[`` that is no file
            stands for all files that it matches.
        server: The server whose nodes, models and memory the jobs are checked against: a URL, a name from the config file,
            ``local`` or a `ServerConfig`. With several, the plan also says which server would render what, and when it would be
            done. None for no server.
        out: The run folder; None for ``runs/<recipe name>`` in the current folder, which takes a single recipe.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns such as ``*-s42``: of the jobs, only those whose id matches one of them; empty for all.
        skip: Patterns such as ``*-s42``: no jobs whose id matches one of them.
        templates: Folders that are searched for templates first.
        force: Whether jobs that are done are rendered again.
        allow_partial: Whether outputs of a job that the server, or each of several, would refuse are left out of it.
        config: Settings; None for those of the user's config file.
        say: Takes sentences about slow preparations, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: A recipe, a template, a workflow or an argument is wrong, or no server can do a job.
        ServerError: The server, or each of several, cannot be asked.
        RunFolderError: The run folder cannot be read.
    """
    settings = config or load_config()
    asked = settings.find_servers(server) if server or server == "" else ()
    folders = (*templates, *settings.templates)
    loaded = load_all(recipes, sets=sets, sweeps=sweeps, load_one=loading(asking(asked, None, settings, say), folders))
    path = _run_folder(loaded, out) if out is not None or len(loaded) == 1 else None
    variants = [variant for recipe in loaded for variant in expand(recipe)]
    chosen = frozenset(select([variant.job_id for variant in variants], only=only, skip=skip))
    drawn = FolderView(path).seeds() if path and _records(variants) else {}
    drafted = draft_all(variants, templates=folders, seed_of=_seeds(variants, drawn))
    if len(asked) > 1:
        clients = partial(connect_all, asked, settings, say=say)
        return preview_fleet(drafted, chosen, path, connect=clients, force=force, allow_partial=allow_partial)
    client = partial(connect, asked[0], settings, say=say) if asked else None
    return preview(drafted, chosen, path, connect=client, force=force, allow_partial=allow_partial)


def render(
    recipe: RecipeSource,
    *,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    only: Sequence[str] = (),
    templates: Sequence[Path] = (),
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> Workflow:
    """Return the workflow of a job, without any server; a seed that is yet to be drawn is 0.

    Args:
        recipe: The path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a workflow or a picture, or a
            mapping with a recipe's fields.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns such as ``*-s42``, which choose exactly one job of a sweep; empty where there is no sweep.
        templates: Folders that are searched for templates first.
        server: Where the nodes of a workflow are that ComfyUI's page has saved, for nothing else; None for none.
        object_info: A file with a saved answer of ``/object_info`` in its place; None for none.
        config: Settings; None for those of the user's config file.
        say: Takes sentences about slow preparations, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: The recipe or its template is wrong, or there are several jobs.
        ServerError: A server was needed and cannot be asked.
    """
    settings = config or load_config()
    folders = (*templates, *settings.templates)
    ask = asking(server, object_info, settings, say)
    variants = expand(loading(ask, folders)(recipe, sets=sets, sweeps=sweeps))
    chosen = select([variant.job_id for variant in variants], only=only, skip=())
    if len(chosen) > 1:
        what = f"the recipe has {counted(len(chosen), 'job')}, of which one can be printed"
        raise UsageError(what, hint=f"choose it: --only {chosen[0]}")
    variant = next(variant for variant in variants if variant.job_id in chosen)
    return draft_one(variant, templates=folders).planned().workflow


def validate(
    recipes: Sequence[RecipeSource],
    *,
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    templates: Sequence[Path] = (),
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[Note, ...]:
    """Check recipes as `run` does, and return what the user should know; nothing is rendered.

    Args:
        recipes: At least one: the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a workflow or
            a picture (docs/import.md), or a mapping with a recipe's fields; a text with ``*``, ``?`` or ``[`` that is no file
            stands for all files that it matches.
        server: The server whose nodes and models the jobs are checked against: a URL, a name from the config file, ``local`` or
            a `ServerConfig`; None for no server.
        object_info: A file with a saved answer of ``/object_info`` that is checked against instead; None for none.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        templates: Folders that are searched for templates first.
        config: Settings; None for those of the user's config file.
        say: Takes sentences about slow preparations, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: Something is wrong.
        ServerError: The server cannot be asked.
    """
    settings = config or load_config()
    folders = (*templates, *settings.templates)
    load_one = loading(asking(server, object_info, settings, say), folders)
    loaded = load_all(recipes, sets=sets, sweeps=sweeps, load_one=load_one)
    variants = [variant for recipe in loaded for variant in expand(recipe)]
    drafted = draft_all(variants, templates=folders, seed_of=_seeds(variants))
    notes = dict.fromkeys(drafted.notes)
    if object_info is not None or server is not None:
        notes |= dict.fromkeys(check_all(drafted.drafts, nodes(server=server, object_info=object_info, config=settings, say=say)))
    return tuple(notes)


def _run_folder(recipes: Sequence[LoadedRecipe], out: Path | str | None) -> Path:
    """Return the run folder of recipes, at least one: the one that was asked for, or ``runs/<recipe name>``."""
    if out is not None:
        return Path(out)
    if len(recipes) > 1:
        raise UsageError("several recipes share one run folder, which has to be named", hint="give --out DIR")
    return Path("runs") / slug(recipes[0].recipe.name)


def _records(variants: Sequence[Variant]) -> dict[str, None]:
    """Return what a run folder calls the random seeds that these jobs need, in their order."""
    return dict.fromkeys(variant.draw.record(variant.recipe_name) for variant in variants if variant.draw)


def _seeds(variants: Sequence[Variant], drawn: Mapping[str, int] = MappingProxyType({})) -> Callable[[Variant], int]:
    """Return what gives each job its random seed; for one that is yet to be drawn stands a number that no other job has.

    Args:
        variants: All jobs.
        drawn: The seeds that a run folder has, as it calls them.
    """
    draws = dict.fromkeys((variant.recipe_name, variant.draw) for variant in variants if variant.draw)
    stand_ins = {draw: MAX_SEED - number for number, draw in enumerate(draws)}

    def seed(variant: Variant) -> int:
        recipe, draw = variant.recipe_name, variant.draw or Draw()
        start = drawn.get(draw.record(recipe))
        return stand_ins[recipe, draw] if start is None else draw.seed(start)

    return seed
