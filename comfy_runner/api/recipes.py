"""Functions of recipes: `run` renders them; `plan`, `render` (the graph of a job) and `validate` only look at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from comfy_runner.api.importing import asking, loading
from comfy_runner.api.jobs import begin_jobs, draft_jobs, names_local, run_folder, with_notes
from comfy_runner.api.model_fetching import FetchOptions, PlanModels
from comfy_runner.api.run_dates import dated
from comfy_runner.api.server_info import nodes
from comfy_runner.check.expected import expected_of
from comfy_runner.config import Config, ServerConfig, load_config, which_shard
from comfy_runner.engine.interface import NamedEngine
from comfy_runner.engine.registry import connect_all, refuse_bad_addresses
from comfy_runner.errors import Note, UsageError
from comfy_runner.graph.workflow import Workflow
from comfy_runner.model_files.fetch import Tell
from comfy_runner.planning.capabilities import check_all
from comfy_runner.planning.drafting import draft_one
from comfy_runner.planning.preview import preview
from comfy_runner.planning.shards import DealtShard, plan_of_shard, with_deal
from comfy_runner.planning.summary import PlanSummary
from comfy_runner.ray_options import RayOptions
from comfy_runner.recipe.sources import RecipeSource, load_all
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.recipe.sweep.ids import select
from comfy_runner.running.fleet_preview import preview_fleet
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.wording import counted


def run(
    recipes: Sequence[RecipeSource],
    *,
    server: str | ServerConfig | Sequence[str | ServerConfig] | None = None,
    ray: RayOptions | None = None,
    out: Path | str | None = None,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    templates: Sequence[Path] = (),
    force: bool = False,
    shard: str | None = None,
    fetch_models: bool = False,
    policy: Policy | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
    fetching: Tell | None = None,
) -> Run:
    """Render recipes on ComfyUI servers.

    Everything is checked before anything is rendered. An existing run folder is continued: finished jobs are not rendered again,
    jobs that an earlier process has submitted are collected, and jobs that have changed are rendered again.

    Args:
        recipes: At least one. Each is the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a
            workflow or a picture (docs/import.md), or a mapping with a recipe's fields. A text with ``*``, ``?`` or ``[`` that is
            not the name of a file means all files that it matches.
        server: A URL, a name from the config file, ``local`` for a ComfyUI that is set up and started here, or a `ServerConfig`;
            several of them share the jobs. None for the servers in the settings, or, with `ray`, for no servers.
        ray: The Ray actors that render the jobs (docs/ray.md); None for no Ray.
        out: The run folder; None for ``runs/<recipe name>`` in the current folder, if there is only one recipe. For a shard, the
            folder that contains the run folders of all shards; None for ``runs/<recipe name>-shards``.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns such as ``*-s42``; only jobs whose id matches one of them are chosen; empty for all.
        skip: Patterns such as ``*-s42``; jobs whose id matches one of them are left out.
        templates: Folders that are searched for templates first.
        force: Whether finished jobs are rendered again.
        shard: The part of the jobs to render: ``3/8`` for the third of eight, ``auto`` for the one that Slurm, Kubernetes, GitLab
            or SkyPilot assigns, ``auto/8`` if these do not say how many there are; None for all.
        fetch_models: Whether models that ``local`` lacks are fetched, if a recipe names their source and the settings allow its
            host. The settings can also turn this on.
        policy: How to treat the servers: time limits, jobs in flight, partial jobs, retries; None for the defaults.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.
        fetching: Called with the progress of each model that is being fetched; None for nothing.

    Returns:
        The run, already begun.

    Raises:
        InputError: A recipe, a template, a workflow or an argument is wrong, or no server can do a job.
        ServerError: No server can be used.
        RunFolderError: The run folder cannot be used.
    """
    policy = policy or Policy()
    if policy.in_flight < 1:
        raise UsageError(f"in_flight must be at least 1 (got {policy.in_flight})")
    settings = config or load_config()
    if ray is not None:
        from comfy_runner.engine.ray_actors.connection import require_ray

        require_ray()
    if ray is None or server:
        refuse_bad_addresses(server, settings)
    folders = (*templates, *settings.templates)
    ask = asking(settings.find_servers(server) if ray is None or server else None, None, settings, say)
    part = None if shard is None else which_shard(shard)
    loaded = load_all(recipes, sets=sets, sweeps=sweeps, load_one=loading(ask, folders))
    path = run_folder(loaded, out, part)
    variants = [variant for recipe in dated(loaded, path) for variant in expand(recipe)]
    chosen = frozenset(select([variant.job_id for variant in variants], only=only, skip=skip))
    return begin_jobs(
        *(variants, chosen, path),
        server=server,
        ray=ray,
        templates=folders,
        force=force,
        shard=part,
        policy=policy,
        config=settings,
        say=say,
        models=FetchOptions(fetch_models, fetching),
    )


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
    shard: str | None = None,
    allow_partial: bool = False,
    fetch_models: bool = False,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> PlanSummary:
    """Return what `run` would do: the jobs, their order, which are finished, and the cost. Nothing is rendered or written.

    The run folder is neither created nor locked. Several recipes without `out` are planned without a run folder.

    Args:
        recipes: At least one. Each is the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a
            workflow or a picture (docs/import.md), or a mapping with a recipe's fields. A text with ``*``, ``?`` or ``[`` that is
            not the name of a file means all files that it matches.
        server: The server whose nodes, models and memory the jobs are checked against: a URL, a name from the config file,
            ``local`` or a `ServerConfig`. With several, the plan also says which server would render what, and when it would
            finish. None for no server.
        out: The run folder; None for ``runs/<recipe name>`` in the current folder, if there is only one recipe. For a shard, the
            folder that contains the run folders of all shards; None for ``runs/<recipe name>-shards``.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns such as ``*-s42``; only jobs whose id matches one of them are chosen; empty for all.
        skip: Patterns such as ``*-s42``; jobs whose id matches one of them are left out.
        templates: Folders that are searched for templates first.
        force: Whether finished jobs are rendered again.
        shard: The part of the jobs to plan: ``3/8`` for the third of eight, ``auto`` for the one that Slurm, Kubernetes, GitLab or
            SkyPilot assigns, ``auto/8`` if these do not say how many there are; None for all. The plan also lists the jobs of the
            other shards.
        allow_partial: Whether a job is planned without the outputs that every server would refuse.
        fetch_models: Whether the run would fetch models that ``local`` lacks and whose source a recipe names. `say` is told which
            ones.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: A recipe, a template, a workflow or an argument is wrong, or no server can do a job.
        ServerError: No server answers.
        RunFolderError: The run folder cannot be read.
    """
    settings = config or load_config()
    asked = settings.find_servers(server) if server or server == "" else ()
    folders = (*templates, *settings.templates)
    part = None if shard is None else which_shard(shard)
    loaded = load_all(recipes, sets=sets, sweeps=sweeps, load_one=loading(asking(asked, None, settings, say), folders))
    path = run_folder(loaded, out, part) if out is not None or len(loaded) == 1 else None
    variants = [variant for recipe in dated(loaded, path) for variant in expand(recipe)]
    chosen = frozenset(select([variant.job_id for variant in variants], only=only, skip=skip))
    drafted = with_notes(draft_jobs(variants, path, templates=folders), expected_of(variants, settings))
    dealt: tuple[DealtShard, ...] = ()
    if part is not None:
        drafted, dealt = plan_of_shard(drafted, chosen, part)
        chosen = dealt[part.index - 1].job_ids
    plan_models = PlanModels(settings, FetchOptions(fetch_models), say)

    def connected() -> list[NamedEngine]:
        engines = connect_all(asked, settings, say=say)
        if names_local(asked, settings):
            plan_models.expect([draft for draft in drafted.drafts if draft.job_id in chosen])
            plan_models.foresee(engines)
        return engines

    if len(asked) > 1:
        summary = preview_fleet(drafted, chosen, path, connect=connected, force=force, allow_partial=allow_partial)
    else:
        client = (lambda: connected()[0]) if asked else None
        summary = preview(drafted, chosen, path, connect=client, force=force, allow_partial=allow_partial)
    if part is not None:
        return with_deal(summary, drafted, dealt, part)
    return replace(summary, is_searched=len(loaded) == 1 and loaded[0].recipe.find is not None)


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
    """Return the workflow of a job. No server is needed. A random seed that has not been drawn yet is 0.

    Args:
        recipe: The path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a workflow or a picture, or a
            mapping with a recipe's fields.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns such as ``*-s42`` that choose exactly one job of a sweep; empty if there is no sweep.
        templates: Folders that are searched for templates first.
        server: The server whose nodes are needed to convert a workflow that ComfyUI's page has saved; not used for anything else.
            None for none.
        object_info: A file with a saved answer of ``/object_info``, used instead of the server; None for none.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: The recipe or its template is wrong, or several jobs are chosen.
        ServerError: A server is needed, and does not answer.
    """
    settings = config or load_config()
    folders = (*templates, *settings.templates)
    ask = asking(server, object_info, settings, say)
    variants = expand(loading(ask, folders)(recipe, sets=sets, sweeps=sweeps))
    chosen = select([variant.job_id for variant in variants], only=only, skip=())
    if len(chosen) > 1:
        what = f"the recipe has {counted(len(chosen), 'job')}, but only one can be printed"
        raise UsageError(what, hint=f"choose one: --only {chosen[0]}")
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
    """Check recipes as `run` does, and return notes for the user. Nothing is rendered.

    Args:
        recipes: At least one. Each is the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a
            workflow or a picture (docs/import.md), or a mapping with a recipe's fields. A text with ``*``, ``?`` or ``[`` that is
            not the name of a file means all files that it matches.
        server: The server whose nodes and models the jobs are checked against: a URL, a name from the config file, ``local`` or
            a `ServerConfig`; None for no server.
        object_info: A file with a saved answer of ``/object_info``, used instead of the server; None for none.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        templates: Folders that are searched for templates first.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: A recipe, a template or an argument is wrong.
        ServerError: The server does not answer, or refuses.
    """
    settings = config or load_config()
    folders = (*templates, *settings.templates)
    load_one = loading(asking(server, object_info, settings, say), folders)
    loaded = load_all(recipes, sets=sets, sweeps=sweeps, load_one=load_one)
    variants = [variant for recipe in loaded for variant in expand(recipe)]
    drafted = draft_jobs(variants, None, templates=folders)
    notes = dict.fromkeys(with_notes(drafted, expected_of(variants, settings)).notes)
    if object_info is not None or server is not None:
        if object_info is None and names_local(server, settings):
            (local,) = connect_all(server, settings, say=say)
            plan_models = PlanModels(settings, FetchOptions(), say)
            plan_models.expect(drafted.drafts)
            plan_models.foresee([local])
            info = local.engine.object_info()
        else:
            info = nodes(server=server, object_info=object_info, config=settings, say=say)
        notes |= dict.fromkeys(check_all(drafted.drafts, info))
    return tuple(notes)
