"""The facade: recipes in, events and results out. It wires the rooms together and knows nothing of terminals.

::

    from comfy_runner import run

    with run(["quickstart"], server="local") as rendering:
        for event in rendering:
            print(event)
    print(rendering.results())
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_runner.comfyui.address import Address, parse_address
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.errors import Note, UsageError
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.jobs import Job, job
from comfy_runner.recipe.load import LoadedRecipe, from_mapping, load
from comfy_runner.recipe.names import slug
from comfy_runner.runs.coordinate import Coordinator, Policy, Task
from comfy_runner.runs.events import RunStarted
from comfy_runner.runs.folder import RunFolder
from comfy_runner.runs.plan import PlannedJob, fit_all, plan_job, refuse_clashes, space_needed
from comfy_runner.runs.run import Run
from comfy_runner.textfile import read, shown
from comfy_runner.workflow.graph import Workflow
from comfy_runner.workflow.object_info import ObjectInfo

if TYPE_CHECKING:
    from comfy_runner.comfyui.local import LocalOptions

Source = str | Path | Mapping[str, Any]
"""A recipe: the path of a file or sidecar, the name of a shipped recipe, or a mapping with a recipe's fields."""

LOCAL = "local"
_LARGEST_JSON = 256 * 1024 * 1024


def run(
    recipes: Sequence[Source],
    *,
    server: str | ServerConfig | None = None,
    out: Path | str | None = None,
    sets: Sequence[str] = (),
    templates: Sequence[Path] = (),
    force: bool = False,
    policy: Policy | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Render recipes on a ComfyUI server.

    Everything is checked before anything is rendered; jobs that the run folder shows as done are not rendered again.

    Args:
        recipes: At least one.
        server: A URL, a name from the config file, ``local``, or all about a server; None for the configured one.
        out: The run folder; None for ``runs/<recipe name>`` in the current folder, which takes a single recipe.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        templates: Folders that are searched for templates first.
        force: Whether to render jobs that are done already, too.
        policy: How to treat the server: time limits, jobs in flight, partial jobs; None for the usual.
        config: Settings; None for the user's own.
        say: Takes sentences about slow preparations, such as setting up the local ComfyUI.

    Returns:
        The run, which has begun.

    Raises:
        InputError: A recipe, a template, a workflow or an argument is wrong.
        ServerError: The server cannot be used.
        RunFolderError: The run folder cannot be used.
    """
    policy = policy or Policy()
    if policy.in_flight < 1:
        raise UsageError(f"in_flight must be at least 1 (got {policy.in_flight})")
    settings = config or load_config()
    _refuse_bad_address(server, settings)
    loaded = _load_all(recipes, sets)
    folders = (*templates, *settings.templates)
    path = _run_folder(loaded, out)
    # Once with any seed, so that a mistake costs nothing, not even an empty folder.
    planned = [
        plan_job(job(recipe, seed=MAX_SEED - number if recipe.needs_seed else None), templates=folders)
        for number, recipe in enumerate(loaded)
    ]
    refuse_clashes(planned)
    folder = RunFolder(path)
    try:
        jobs = [
            plan_job(_seeded(recipe, folder), templates=folders) if recipe.needs_seed else known
            for recipe, known in zip(loaded, planned, strict=True)
        ]
        refuse_clashes(jobs)
        return _begin(jobs, folder, settings, server=server, force=force, policy=policy, say=say)
    except BaseException:
        folder.close()
        raise


def render(recipe: Source, *, sets: Sequence[str] = (), templates: Sequence[Path] = (), config: Config | None = None) -> Workflow:
    """Return the workflow of a recipe, without any server; a seed that is yet to be drawn is 0.

    Raises:
        InputError: The recipe or its template is wrong.
    """
    return _planned(_load(recipe, sets), templates=templates, config=config or load_config()).workflow


def validate(
    recipes: Sequence[Source],
    *,
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    sets: Sequence[str] = (),
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
        templates: As for `run`.
        config: As for `run`.
        say: As for `run`.

    Raises:
        InputError: Something is wrong.
        ServerError: The server cannot be asked.
    """
    settings = config or load_config()
    planned = [_planned(loaded, templates=templates, config=settings) for loaded in _load_all(recipes, sets)]
    if object_info is not None:
        planned = fit_all(planned, _saved_object_info(object_info))
    elif server is not None:
        http = connect(server, settings, say=say)
        planned = fit_all(planned, ObjectInfo(http.object_info(), source=http.address.url))
    return tuple(note for known in planned for note in known.notes)


def connect(server: str | ServerConfig | None, config: Config, *, say: Callable[[str], None] | None = None) -> ComfyHttp:
    """Return a client for a server, which is not asked anything yet; ``local`` is set up and started when needed.

    Raises:
        UsageError: The address or its certificate is wrong.
        LocalError: The local ComfyUI cannot be set up or started.
    """
    found = config.find_server(server)
    if found.url == LOCAL:
        return ComfyHttp(parse_address(_local_url(config, say or (lambda _sentence: None))))
    return ComfyHttp(_address(found))


def _address(server: ServerConfig) -> Address:
    cacert = server.cacert
    if cacert is not None and not cacert.is_file():
        raise UsageError("no such file", where=str(cacert), hint="--cacert takes the file of a certificate in PEM format")
    return parse_address(
        server.url,
        headers=server.headers,
        query=server.query,
        cacert=str(cacert or ""),
        insecure=server.insecure,
    )


def _refuse_bad_address(server: str | ServerConfig | None, config: Config) -> None:
    """A mistyped address is the command line's mistake also where nothing has to be rendered."""
    found = config.find_server(server)
    if found.url != LOCAL:
        _address(found)


def _begin(
    jobs: Sequence[PlannedJob],
    folder: RunFolder,
    config: Config,
    *,
    server: str | ServerConfig | None,
    force: bool,
    policy: Policy,
    say: Callable[[str], None] | None,
) -> Run:
    # Also where everything is rendered again: a damaged sidecar has to show before, not after.
    found = {known.job_id: folder.standing(known) for known in jobs}
    standing = {} if force else found
    todo = [known for known in jobs if len(standing.get(known.job_id, ())) < len(known.outputs)]
    folder.require_space(sum(space_needed(known, standing=standing.get(known.job_id, {})) for known in todo))
    http = connect(server, config, say=say) if todo else None
    about: dict[str, str] = {}
    if http is not None:
        about = _about(http)
        info = ObjectInfo(http.object_info(), source=http.address.url)
        todo = fit_all(todo, info, allow_partial=policy.allow_partial)
    notes = dict.fromkeys(note for known in (*jobs, *todo) for note in known.notes)
    started = RunStarted(
        folder.path, about.get("url", ""), tuple(known.job_id for known in jobs), len(jobs) - len(todo), tuple(notes)
    )
    if http is None:
        return Run(folder, jobs, started)
    tasks = [Task(known, standing.get(known.job_id, {})) for known in todo]
    return Run(folder, jobs, started, partial(Coordinator, folder, tasks, http=http, server=about, policy=policy))


def _load_all(recipes: Sequence[Source], sets: Sequence[str]) -> list[LoadedRecipe]:
    if not recipes:
        raise UsageError("no recipe is given", hint="comfy-runner run quickstart")
    return [_load(recipe, sets) for recipe in recipes]


def _load(recipe: Source, sets: Sequence[str]) -> LoadedRecipe:
    if isinstance(recipe, Mapping):
        return from_mapping(recipe, sets=sets)
    if str(recipe).endswith(".json"):
        return from_mapping(_recipe_of_sidecar(Path(recipe)), sets=sets)
    return load(recipe, sets=sets)


def _recipe_of_sidecar(path: Path) -> Mapping[str, Any]:
    data = _read_json(path)
    recipe = data.get("recipe") if isinstance(data, dict) else None
    if not isinstance(recipe, dict):
        raise UsageError("is not a job's sidecar", where=shown(path), hint="give a recipe, or the job.json of a run folder")
    return recipe


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read(path, error=UsageError, most=_LARGEST_JSON))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is not JSON: {error}", where=shown(path)) from error


def _saved_object_info(path: Path) -> ObjectInfo:
    return ObjectInfo(_read_json(path), source=shown(path))


def _planned(recipe: LoadedRecipe, *, templates: Sequence[Path], config: Config) -> PlannedJob:
    return plan_job(job(recipe, seed=0 if recipe.needs_seed else None), templates=(*templates, *config.templates))


def _run_folder(recipes: Sequence[LoadedRecipe], out: Path | str | None) -> Path:
    if out is not None:
        return Path(out)
    if len(recipes) > 1:
        raise UsageError("several recipes share one run folder, which has to be named", hint="give --out DIR")
    return Path("runs") / slug(recipes[0].recipe.name)


def _seeded(recipe: LoadedRecipe, folder: RunFolder) -> Job:
    return job(recipe, seed=folder.seed(slug(recipe.recipe.name)))


def _about(http: ComfyHttp) -> dict[str, str]:
    stats = http.system_stats()
    system = stats["system"]
    devices = stats.get("devices")
    names = [str(device.get("name")) for device in devices if isinstance(device, dict)] if isinstance(devices, list) else []
    return {
        "url": http.address.url,
        "comfyui": str(system.get("comfyui_version") or "unknown"),
        "python": str(system.get("python_version") or "unknown"),
        "pytorch": str(system.get("pytorch_version") or "unknown"),
        "devices": ", ".join(names),
    }


def _local_url(config: Config, say: Callable[[str], None]) -> str:
    from comfy_runner.comfyui.local import start  # only when a local ComfyUI is wanted

    return start(local_options(config), say=say).url


def local_options(config: Config) -> LocalOptions:
    """Return the options of the managed local ComfyUI from the settings."""
    from comfy_runner.comfyui.local import LocalOptions, default_home

    return LocalOptions(
        home=config.local.home or default_home(),
        comfyui=config.local.comfyui,
        python=config.local.python,
        models=config.local.models,
        pip_args=config.local.pip_args,
    )
