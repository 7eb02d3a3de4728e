"""The jobs of a run: their run folder, their seeds and graphs, and how the run begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from comfy_runner.api.model_fetching import FetchOptions, PlanModels
from comfy_runner.api.run_dates import record_date
from comfy_runner.check.expected import Expected, expected_of
from comfy_runner.config import LOCAL, Config, ServerConfig
from comfy_runner.engine.interface import EngineSupply
from comfy_runner.engine.registry import Given, ServerSupply, local_options
from comfy_runner.errors import UsageError
from comfy_runner.gates.foreseen import unmeasurable
from comfy_runner.planning.draft import Plan
from comfy_runner.planning.drafting import draft_all
from comfy_runner.planning.inputs import InputFiles
from comfy_runner.planning.models import unnamed_models
from comfy_runner.planning.shards import plan_of_shard
from comfy_runner.ray_options import RayOptions
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.names import slug
from comfy_runner.recipe.sweep.axes import Draw
from comfy_runner.recipe.sweep.expand import Variant
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.running.start import begin
from comfy_runner.shard import Shard
from comfy_runner.store.lease import newest_lease
from comfy_runner.store.registry import local_part, open_store
from comfy_runner.store.run_folder import SERVER_LOGS, FolderView, RunFolder
from comfy_runner.store.status import is_run_folder
from comfy_runner.text_files import shown, url_of


def run_folder(recipes: Sequence[LoadedRecipe], out: Path | str | None, shard: Shard | None = None) -> Path:
    """Return the run folder of one or several recipes: the requested one, or ``runs/<recipe name>``.

    Args:
        recipes: The recipes.
        out: The requested folder, or the folder that contains those of all shards; None for the default.
        shard: The shard that the folder is for; None for a whole run.

    Raises:
        UsageError: Several recipes have no common folder, or shards would be inside a run folder.
        RunFolderError: The store of the shards does not answer.
    """
    if out is None and len(recipes) > 1:
        raise UsageError("several recipes share one run folder, which has to be named", hint="give --out DIR")
    name = slug(recipes[0].recipe.name)
    if shard is None:
        return Path("runs") / name if out is None else local_part(out)
    parent = Path("runs") / f"{name}-shards" if out is None else local_part(out)
    url = url_of(parent)
    if newest_lease(open_store(parent)) if url else is_run_folder(parent):
        raise UsageError("is a run folder, which cannot hold those of shards", where=shown(parent), hint="give another --out DIR")
    return local_part(f"{url}/{shard.folder}") if url else parent / shard.folder


def draft_jobs(variants: Sequence[Variant], path: Path | None, *, templates: Sequence[Path]) -> Plan:
    """Return the drafts of jobs, with the random seeds that the run folder has already drawn. The folder need not exist.

    Args:
        variants: The jobs.
        path: The run folder; None for none.
        templates: All folders that are searched for templates.

    Raises:
        InputError: A recipe or a template is wrong.
        RunFolderError: The run folder cannot be read.
    """
    drawn = FolderView(path).seeds() if path and _records(variants) else {}
    return draft_all(variants, templates=templates, seed_of=_seeds(variants, drawn))


def begin_jobs(
    variants: Sequence[Variant],
    chosen: frozenset[str],
    path: Path,
    *,
    server: str | ServerConfig | Sequence[str | ServerConfig] | None,
    templates: Sequence[Path],
    policy: Policy,
    config: Config,
    ray: RayOptions | None = None,
    force: bool = False,
    shard: Shard | None = None,
    say: Callable[[str], None] | None = None,
    models: FetchOptions | None = None,
) -> Run:
    """Begin a run of known jobs, as `run` does for the jobs of recipes.

    Args:
        variants: All jobs of the run folder.
        chosen: The ids of the jobs to do now.
        path: The run folder.
        server: As for `run`.
        templates: All folders that are searched for templates.
        policy: How to treat the servers.
        config: Settings.
        ray: As for `run`.
        force: Whether finished jobs are rendered again.
        shard: The part of them to do; None for all.
        say: Called with a sentence about each slow preparation; None for silence.
        models: Whether models are fetched, and who is told; None for the settings.

    Raises:
        InputError: A recipe or a template is wrong, or no server can do a job.
        ServerError: No server can be used.
        RunFolderError: The run folder cannot be used.
    """
    expected = expected_of(variants, config)
    # Once with any seeds, so that a mistake costs nothing, not even an empty folder.
    files = InputFiles()
    drafted = draft_all(variants, templates=templates, seed_of=_seeds(variants), files=files)
    if shard is not None:
        drafted, dealt = plan_of_shard(drafted, chosen, shard)
        chosen = dealt[shard.index - 1].job_ids
    plan_models = PlanModels(config, models or FetchOptions(), say)
    folder, supply = RunFolder(path), _supply(server, ray, config, path, plan_models, say=say)
    try:
        if shard is not None:
            folder.record_shard(shard, chosen)
        record_date(variants, folder)
        if names := _records(variants):
            drafted = draft_all(variants, templates=templates, seed_of=_seeds(variants, folder.draw_seeds(names)), files=files)
        how = replace(policy, retry=policy.retry or config.retry, outage=policy.outage or config.outage_timeout)
        return begin(
            with_notes(drafted, expected),
            chosen,
            folder,
            supply=supply,
            expect=plan_models.expect if ray is not None or names_local(server, config) else None,
            expected=expected,
            force=force,
            policy=how,
        )
    except BaseException:
        supply.close()
        folder.close()
        raise


def names_local(server: Given, config: Config) -> bool:
    """Return whether one of the requested servers is ``local``, the ComfyUI that is set up and started here.

    Args:
        server: The requested servers, as for `run`.
        config: Settings, which may name servers.
    """
    return any(found.url == LOCAL for found in config.find_servers(server))


def with_notes(plan: Plan, expected: Mapping[str, Expected]) -> Plan:
    """Return a plan with further notes: expectations that cannot be checked, and models that no job needs.

    Args:
        plan: The plan.
        expected: The expectations for its jobs, by job id.
    """
    return replace(plan, notes=(*plan.notes, *unmeasurable(plan.drafts, expected), *unnamed_models(plan.drafts)))


def _supply(
    server: Given, ray: RayOptions | None, config: Config, folder: Path, models: PlanModels, *, say: Callable[[str], None] | None
) -> EngineSupply:
    servers = ServerSupply(server, config, models=models, say=say)
    if ray is None:
        return servers
    from comfy_runner.engine.ray_actors.supply import RayActors  # only where Ray is wanted

    options = local_options(config)
    logs = folder / SERVER_LOGS
    return RayActors(ray, options, logs=logs, models=lambda: models.order, others=servers, with_others=bool(server), say=say)


def _records(variants: Sequence[Variant]) -> dict[str, None]:
    """Return the names under which a run folder records the random seeds of these jobs, in order."""
    return dict.fromkeys(variant.draw.record(variant.recipe_name) for variant in variants if variant.draw)


def _seeds(variants: Sequence[Variant], drawn: Mapping[str, int] = MappingProxyType({})) -> Callable[[Variant], int]:
    """Return a function from a job to its random seed; until a seed is drawn, a unique number stands in for it.

    Args:
        variants: All jobs.
        drawn: The seeds in a run folder, by their names there.
    """
    draws = dict.fromkeys((variant.recipe_name, variant.draw) for variant in variants if variant.draw)
    stand_ins = {draw: MAX_SEED - number for number, draw in enumerate(draws)}

    def seed(variant: Variant) -> int:
        recipe, draw = variant.recipe_name, variant.draw or Draw()
        start = drawn.get(draw.record(recipe))
        return stand_ins[recipe, draw] if start is None else draw.seed(start)

    return seed
