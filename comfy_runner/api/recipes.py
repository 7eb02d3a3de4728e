"""What is done with recipes: `run`, and without rendering anything `plan`, `render` (a job's graph) and `validate`."""

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

    Everything is checked before anything is rendered. A run folder is continued: jobs that it shows as done are not rendered again,
    those that an earlier process has submitted are taken up, those that have changed are rendered again.

    Args:
        recipes: At least one: the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a workflow or
            a picture (docs/import.md), or a mapping with a recipe's fields; a text with ``*``, ``?`` or ``[`` that is no file
            stands for all files that it matches.
        server: A URL, a name from the config file, ``local`` for a ComfyUI that is set up and started here, or a `ServerConfig`;
            several of these share the jobs; None for the servers that the settings name, or for none beside `ray`.
        ray: The actors of Ray that the jobs are rendered on (docs/ray.md); None for no Ray.
        out: The run folder; None for ``runs/<recipe name>`` in the current folder, which takes a single recipe. Of a shard it is
            the folder that holds the run folders of all shards; None for ``runs/<recipe name>-shards``.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns such as ``*-s42``: of the jobs, only those whose id matches one of them; empty for all.
        skip: Patterns such as ``*-s42``: no jobs whose id matches one of them.
        templates: Folders that are searched for templates first.
        force: Whether jobs that are done are rendered again.
        shard: Which part of the jobs is done: ``3/8`` for the third of eight, ``auto`` for the one that Slurm, Kubernetes, GitLab
            or SkyPilot name, ``auto/8`` where these do not say how many there are; None for all.
        fetch_models: Whether models that recipes have sources for, and that ``local`` lacks, are fetched from the hosts that the
            settings allow; also where these say so.
        policy: How to treat the servers: time limits, jobs in flight, partial jobs, retries; None for the usual.
        config: Settings; None for those of the user's config file.
        say: Takes sentences about slow preparations, such as setting up the local ComfyUI; None for silence.
        fetching: Is told how far each model has come that is fetched; None for nobody.

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
    """Return what `run` would do: the jobs, their order, what is done already, what it costs. Nothing is rendered or written.

    The run folder is neither made nor locked. Several recipes without `out` are planned without one.

    Args:
        recipes: At least one: the path of a recipe, the name of a shipped one, the ``job.json`` of a finished job, a workflow or
            a picture (docs/import.md), or a mapping with a recipe's fields; a text with ``*``, ``?`` or ``[`` that is no file
            stands for all files that it matches.
        server: The server whose nodes, models and memory the jobs are checked against: a URL, a name from the config file,
            ``local`` or a `ServerConfig`. With several, the plan also says which server would render what, and when it would be
            done. None for no server.
        out: The run folder; None for ``runs/<recipe name>`` in the current folder, which takes a single recipe. Of a shard it is
            the folder that holds the run folders of all shards; None for ``runs/<recipe name>-shards``.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns such as ``*-s42``: of the jobs, only those whose id matches one of them; empty for all.
        skip: Patterns such as ``*-s42``: no jobs whose id matches one of them.
        templates: Folders that are searched for templates first.
        force: Whether jobs that are done are rendered again.
        shard: Which part of the jobs is planned: ``3/8`` for the third of eight, ``auto`` for the one that Slurm, Kubernetes,
            GitLab or SkyPilot name, ``auto/8`` where these do not say how many there are; None for all. The plan also says what
            each of the others has.
        allow_partial: Whether outputs of a job that the server, or each of several, would refuse are left out of it.
        fetch_models: Whether a run would fetch models that recipes have sources for, and that ``local`` lacks; what it would fetch
            is said.
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
