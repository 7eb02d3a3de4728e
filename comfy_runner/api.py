"""The facade: recipes in, events and results out. It wires the rooms together and knows nothing of terminals.

::

    from comfy_runner import run

    with run(["quickstart"], server="local") as rendering:
        for event in rendering:
            print(event)
    print(rendering.results())
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.errors import Note, UsageError
from comfy_runner.folder.folder import RunFolder
from comfy_runner.folder.view import FolderView
from comfy_runner.plans.drafts import draft_all
from comfy_runner.plans.fitting import fit_all
from comfy_runner.plans.inputs import InputFiles
from comfy_runner.plans.preview import preview
from comfy_runner.plans.stock import stock, stock_of
from comfy_runner.plans.summary import PlanSummary
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.names import slug
from comfy_runner.recipe.select import select
from comfy_runner.recipe.sources import Source, load_all, load_source, read_json
from comfy_runner.recipe.variants import Variant, expand
from comfy_runner.report import looking, writing
from comfy_runner.report.measures import Measures
from comfy_runner.report.sheet.sheet import Sheet
from comfy_runner.report.suggestion import Limits, Suggestion
from comfy_runner.report.writing import Report
from comfy_runner.runs.begin import begin
from comfy_runner.runs.fleet_preview import preview_fleet
from comfy_runner.runs.policy import Policy
from comfy_runner.runs.run import Run
from comfy_runner.runs.servers import connect, connect_all, enlist, local_options, refuse_bad_addresses
from comfy_runner.runs.standing import Standing, ask_all
from comfy_runner.textfile import shown
from comfy_runner.workflow.catalogue import Listing
from comfy_runner.workflow.graph import Workflow
from comfy_runner.workflow.object_info import ObjectInfo

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

__all__ = [
    "Limits",
    "Listing",
    "Measures",
    "PlanSummary",
    "Report",
    "Sheet",
    "Source",
    "Standing",
    "Suggestion",
    "connect",
    "draw_sheet",
    "local_options",
    "measure",
    "models",
    "nodes",
    "plan",
    "render",
    "run",
    "servers",
    "suggest",
    "validate",
    "write_report",
]


def run(
    recipes: Sequence[Source],
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
        recipes: At least one; a text with ``*``, ``?`` or ``[`` that is no file stands for all files that it fits.
        server: A URL, a name from the config file, ``local``, or all about a server; several of these share the jobs; None for
            the configured ones.
        out: The run folder; None for ``runs/<recipe name>`` in the current folder, which takes a single recipe.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        only: Patterns of the ids of the jobs to render; none for all.
        skip: Patterns of the ids of jobs that are left alone.
        templates: Folders that are searched for templates first.
        force: Whether to render jobs that are done already, too.
        policy: How to treat the servers: time limits, jobs in flight, partial jobs, retries; None for the usual.
        config: Settings; None for the user's own.
        say: Takes sentences about slow preparations, such as setting up the local ComfyUI.

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
    path = _run_folder(loaded, out)
    variants = [variant for recipe in loaded for variant in expand(recipe)]
    chosen = frozenset(select([variant.job_id for variant in variants], only=only, skip=skip))
    folders = (*templates, *settings.templates)
    # Once with any seeds, so that a mistake costs nothing, not even an empty folder.
    files = InputFiles()
    drafted = draft_all(variants, templates=folders, seed_of=_stand_in_seeds(variants), files=files)
    folder = RunFolder(path)
    try:
        if any(variant.needs_seed for variant in variants):
            drafted = draft_all(variants, templates=folders, seed_of=lambda variant: folder.seed(_name_of(variant)), files=files)
        how = replace(policy, retry=policy.retry or settings.retry)
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
    recipes: Sequence[Source],
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
    """Tell what `run` would do: the jobs, their order, what is done already, what it costs. Nothing is rendered or written.

    The run folder is neither made nor locked. Several recipes without `out` are planned without one.

    Args:
        recipes: As for `run`.
        server: Whose nodes, models and memory to check against; of several, also who would do what, and when it would be done;
            None for no server.
        out: As for `run`.
        sets: As for `run`.
        sweeps: As for `run`.
        only: As for `run`.
        skip: As for `run`.
        templates: As for `run`.
        force: As for `run`.
        allow_partial: Whether what the server, or each of several, would refuse of a job is left out of it.
        config: As for `run`.
        say: As for `run`.

    Raises:
        InputError: A recipe, a template, a workflow or an argument is wrong, or no server can do a job.
        ServerError: The server, or each of several, cannot be asked.
        RunFolderError: The run folder cannot be read.
    """
    settings = config or load_config()
    asked = settings.find_servers(server) if server or server == "" else ()
    loaded = load_all(recipes, sets=sets, sweeps=sweeps)
    path = _run_folder(loaded, out) if out is not None or len(loaded) == 1 else None
    variants = [variant for recipe in loaded for variant in expand(recipe)]
    chosen = frozenset(select([variant.job_id for variant in variants], only=only, skip=skip))
    drawn = FolderView(path).seeds() if path and any(variant.needs_seed for variant in variants) else {}
    stand_in = _stand_in_seeds(variants)
    drafted = draft_all(
        variants,
        templates=(*templates, *settings.templates),
        seed_of=lambda variant: drawn.get(_name_of(variant), stand_in(variant)),
    )
    if len(asked) > 1:
        doors = partial(connect_all, asked, settings, say=say)
        return preview_fleet(drafted, chosen, path, connect=doors, force=force, allow_partial=allow_partial)
    client = partial(connect, asked[0], settings, say=say) if asked else None
    return preview(drafted, chosen, path, connect=client, force=force, allow_partial=allow_partial)


def render(
    recipe: Source,
    *,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    only: Sequence[str] = (),
    templates: Sequence[Path] = (),
    config: Config | None = None,
) -> Workflow:
    """Return the workflow of a job, without any server; a seed that is yet to be drawn is 0.

    Args:
        recipe: The recipe.
        sets: As for `run`.
        sweeps: As for `run`.
        only: Patterns of which exactly one job of a sweep is to fit.
        templates: As for `run`.
        config: As for `run`.

    Raises:
        InputError: The recipe or its template is wrong, or there are several jobs.
    """
    variants = expand(load_source(recipe, sets=sets, sweeps=sweeps))
    chosen = select([variant.job_id for variant in variants], only=only, skip=())
    if len(chosen) > 1:
        what = f"the recipe has {len(chosen)} jobs, of which one can be printed"
        raise UsageError(what, hint=f"choose it: --only {chosen[0]}")
    variant = next(variant for variant in variants if variant.job_id in chosen)
    folders = (*templates, *(config or load_config()).templates)
    return draft_all([variant], templates=folders, seed_of=lambda _variant: 0).drafts[0].planned().workflow


def validate(
    recipes: Sequence[Source],
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
        recipes: At least one.
        server: Whose nodes and models to check against; None for no server.
        object_info: A saved answer of ``/object_info`` to check against instead.
        sets: As for `run`.
        sweeps: As for `run`.
        templates: As for `run`.
        config: As for `run`.
        say: As for `run`.

    Raises:
        InputError: Something is wrong.
        ServerError: The server cannot be asked.
    """
    settings = config or load_config()
    variants = [variant for recipe in load_all(recipes, sets=sets, sweeps=sweeps) for variant in expand(recipe)]
    drafted = draft_all(variants, templates=(*templates, *settings.templates), seed_of=_stand_in_seeds(variants))
    notes = dict.fromkeys(drafted.notes)
    if object_info is not None or server is not None:
        notes |= dict.fromkeys(fit_all(drafted.drafts, _asked(server, object_info, settings, say)[0]))
    return tuple(notes)


def servers(
    given: str | ServerConfig | Sequence[str | ServerConfig] | None = None, *, config: Config | None = None
) -> tuple[Standing, ...]:
    """Tell how servers stand: whether they answer and how quickly, what they are, their queues, their checkpoints.

    All are asked at the same time, for ten seconds at most. A server that cannot be asked has its error in its standing, and
    ``local`` is neither set up nor started.

    Args:
        given: URLs, names from the config file, ``local``, or all about servers; None for all that the settings name.
        config: As for `run`.

    Raises:
        ConfigError: The settings cannot be read.
        UsageError: A server is given twice, or what is given is no address.
    """
    settings = config or load_config()
    if not given and given != "":
        return ask_all(settings.known_servers(), settings)
    chosen = settings.find_servers(given)
    refuse_bad_addresses(chosen, settings)
    return ask_all(chosen, settings)


def models(
    kind: str | None = None,
    *,
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[Listing, ...]:
    """List what a server lets recipes choose from: its models by their kinds, samplers, schedulers, upscale methods.

    Args:
        kind: The only kind that is wanted, such as ``loras``; None for all.
        server: A URL, a name from the config file, or ``local``, which is started when needed; None for that of the settings.
        object_info: A saved answer of ``/object_info`` to look into instead.
        config: As for `run`.
        say: As for `run`.

    Raises:
        UsageError: The server lists nothing of that kind.
        ServerError: The server cannot be asked.
    """
    info, http = _asked(server, object_info, config or load_config(), say)
    return stock(info, http, say=say or (lambda _sentence: None)) if kind is None else (stock_of(kind, info, http),)


def nodes(
    *,
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> ObjectInfo:
    """Return what a server says of its node classes; all as for `models`."""
    return _asked(server, object_info, config or load_config(), say)[0]


def write_report(
    run_folder: Path | str,
    *,
    axis: str | None = None,
    limits: Limits | None = None,
    metrics: Mapping[str, Metric] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write ``report.html``, ``metrics.json`` and ``metrics.csv`` into a run folder, which may be in use.

    Without the extra ``comfy-runner[report]`` nothing is measured, and there is only the page.

    Args:
        run_folder: The run folder.
        axis: The axis of the suggestion; None for denoise, or else the only one that is no seed.
        limits: What a picture may have at most to be suggested; None for the usual.
        metrics: Metrics of your own, by name; None for those that installed packages announce (docs/metrics.md).
        progress: Told how many of how many pairs of pictures have been measured.

    Raises:
        UsageError: There is no such axis, or a metric of your own cannot be used.
        RunFolderError: It is no run folder, cannot be read or cannot be written.
    """
    return writing.write_report(Path(run_folder), axis=axis, limits=limits, custom=metrics, progress=progress)


def suggest(
    run_folder: Path | str,
    *,
    axis: str | None = None,
    limits: Limits | None = None,
    metrics: Mapping[str, Metric] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Suggestion:
    """Return which value of an axis gives the most real detail while the composition is kept, with the whole trade-off.

    Args:
        run_folder: As for `write_report`.
        axis: As for `write_report`.
        limits: As for `write_report`.
        metrics: As for `write_report`.
        progress: As for `write_report`.

    Raises:
        UsageError: There is no such axis, or none to choose from, or measuring is not possible.
        RunFolderError: It is no run folder, or cannot be read.
    """
    return looking.suggest_value(Path(run_folder), axis=axis, limits=limits, custom=metrics, progress=progress)


def draw_sheet(
    run_folder: Path | str,
    *,
    rows: str | None = None,
    columns: str | None = None,
    cell: int = 384,
    target: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sheet:
    """Draw the pictures of a run as one labelled grid, a PNG.

    Args:
        run_folder: As for `write_report`.
        rows: The axis of the rows; None for all that are not the columns'.
        columns: The axis of the columns; None for denoise, or else the last.
        cell: The longer side of the largest picture in the sheet, in pixels.
        target: The file; None for ``sheet.png`` in the run folder.
        progress: As for `write_report`.

    Raises:
        UsageError: There is no such axis, or the target is no place for a sheet.
        RunFolderError: It is no run folder, cannot be read or cannot be written.
    """
    where = None if target is None else Path(target)
    return looking.draw(Path(run_folder), rows=rows, columns=columns, cell=cell, target=where, progress=progress)


def measure(original: Path | str, upscaled: Path | str, *, metrics: Mapping[str, Metric] | None = None) -> Measures:
    """Measure an upscaled picture against its original; any two PNG, JPEG or WebP files will do.

    Args:
        original: The picture of the first pass.
        upscaled: The picture of the second pass, of the same aspect.
        metrics: As for `write_report`, but None for none.

    Raises:
        UsageError: Measuring is not possible.
        VerificationError: A file is no whole picture, or the two cannot be compared.
    """
    return looking.measure_pair(Path(original), Path(upscaled), metrics or {})


def _asked(
    server: str | ServerConfig | None, object_info: Path | None, config: Config, say: Callable[[str], None] | None
) -> tuple[ObjectInfo, ComfyHttp | None]:
    """Return what is known of nodes, and the server that says it; None for a saved answer."""
    if object_info is not None:
        return ObjectInfo(read_json(object_info), source=shown(object_info)), None
    http = connect(server, config, say=say)
    return ObjectInfo(http.object_info(), source=http.address.url), http


def _run_folder(recipes: Sequence[LoadedRecipe], out: Path | str | None) -> Path:
    if out is not None:
        return Path(out)
    if len(recipes) > 1:
        raise UsageError("several recipes share one run folder, which has to be named", hint="give --out DIR")
    return Path("runs") / slug(recipes[0].recipe.name)


def _name_of(variant: Variant) -> str:
    return slug(variant.loaded.recipe.name)


def _stand_in_seeds(variants: Sequence[Variant]) -> Callable[[Variant], int]:
    """Return seeds, one for each recipe, for those that are yet to be drawn."""
    names = dict.fromkeys(map(_name_of, variants))
    seeds = {name: MAX_SEED - number for number, name in enumerate(names)}
    return lambda variant: seeds[_name_of(variant)]
