"""Search for the best values of fields: render a few, and let their measures decide which ones come next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

from comfy_runner.api.search_jobs import SearchJobs
from comfy_runner.api.search_results import FindPlan, SearchResult, SearchStep, line
from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.engine.registry import refuse_bad_addresses
from comfy_runner.errors import JobFailed
from comfy_runner.recipe.sources import RecipeSource
from comfy_runner.report.found import write_search
from comfy_runner.report.measure_run import require_metrics
from comfy_runner.running.events import Event
from comfy_runner.running.policy import Policy
from comfy_runner.search.proposals import require_optuna


def plan_find(
    recipe: RecipeSource,
    *,
    over: str | Sequence[str] | None = None,
    max_drift: float | None = None,
    tolerance: float | None = None,
    jobs: int | None = None,
    server: str | ServerConfig | Sequence[str | ServerConfig] | None = None,
    out: Path | str | None = None,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    templates: Sequence[Path] = (),
    config: Config | None = None,
    calibrated: bool = False,
) -> FindPlan:
    """Return the search that `find` would begin. Nothing is rendered or written, and no server is needed.

    Args:
        recipe: One recipe: its path, the name of a shipped one, or a mapping with its fields. Its own
            sweep gives the series.
        over: The field and its values, such as ``upscale.denoise=0.3:0.8``, or several of these; None for what the recipe says
            under ``find``.
        max_drift: The most that a picture may drift, above 0; None for what the recipe says, or 0.3.
        tolerance: The smallest difference between values that matters, above 0; None for what the recipe says, or 0.02, or 1
            between whole numbers. With several fields, those with whole ends always use every whole number.
        jobs: The most jobs that are rendered, at least 1; None for what the recipe says, or the usual, as for `find`.
        server: Asked only for the nodes of a workflow that ComfyUI's page has saved.
        out: The run folder; None for ``runs/<recipe name>``.
        sets: Overrides for the recipe, such as ``upscale.sampler.steps=20``.
        sweeps: Axes of the series, such as ``seed=1,2,3``.
        templates: Folders that are searched for templates first.
        config: Settings; None for the user's config file.
        calibrated: Whether limits that neither an argument nor the recipe sets come from the user's calibration for its checkpoint
            (`keep_calibration`) instead of the defaults.

    Raises:
        InputError: The recipe or an argument is wrong.
        RunFolderError: The run folder cannot be read.
    """
    settings = config or load_config()
    return SearchJobs(
        recipe,
        over,
        max_drift,
        tolerance,
        jobs,
        server=server,
        out=out,
        sets=sets,
        sweeps=sweeps,
        templates=templates,
        config=settings,
        calibrated=calibrated,
    ).plan()


def find(
    recipe: RecipeSource,
    *,
    over: str | Sequence[str] | None = None,
    max_drift: float | None = None,
    tolerance: float | None = None,
    jobs: int | None = None,
    server: str | ServerConfig | Sequence[str | ServerConfig] | None = None,
    out: Path | str | None = None,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    templates: Sequence[Path] = (),
    policy: Policy | None = None,
    config: Config | None = None,
    calibrated: bool = False,
    say: Callable[[str], None] | None = None,
    told: Callable[[Sequence[SearchStep]], None] = lambda _steps: None,
    following: Callable[[], AbstractContextManager[Callable[[Event], None]]] = lambda: nullcontext(lambda _event: None),
) -> SearchResult:
    """Find the values of fields that give the most real detail while the composition is kept, without rendering all of them.

    Pictures that the run folder already has are used. The same call continues an interrupted search, and takes the same path,
    because the next value depends only on the measures so far.

    Args:
        recipe: One recipe, as for `run`. Its own sweep, for example of seeds, gives the series; the value has to suit all of them.
        over: The field and its values, such as ``upscale.denoise=0.3:0.8``, with a step of its own (``0.3:0.8:0.05``) or as a list
            (``0.3,0.5,0.8``), or several of these; None for what the recipe says under ``find``. Names can be searched together
            with another field (``upscale.method=bicubic,area``).
        max_drift: The most that a picture may drift, above 0; None for what the recipe says, or 0.3.
        tolerance: The smallest difference between values that matters, above 0; None for what the recipe says, or 0.02, or 1
            between whole numbers. With several fields, those with whole ends always use every whole number.
        jobs: The most jobs that are rendered, at least 1; None for what the recipe says, or 24, and for a single field a
            part of the sweep: 4 of 9 values, 8 of 26 or of 40. It is never more than half of all jobs.
        server: As for `run`.
        out: The run folder; None for ``runs/<recipe name>``.
        sets: Overrides for the recipe, such as ``upscale.sampler.steps=20``.
        sweeps: Axes of the series, such as ``seed=1,2,3``.
        templates: Folders that are searched for templates first.
        policy: How to treat the servers; None for the defaults.
        config: Settings; None for the user's config file.
        calibrated: Whether limits that neither an argument nor the recipe sets come from the user's calibration for its checkpoint
            (`keep_calibration`) instead of the defaults.
        say: Called with a sentence about each slow preparation; None for silence.
        told: Called with the steps that were rendered together, after each round.
        following: Returns a context manager that yields a callable for the events of a run.

    Raises:
        InputError: The recipe or an argument is wrong, or measuring is not possible.
        ServerError: No server can be used.
        RunFolderError: The run folder cannot be used.
        JobFailed: A job failed.
        VerificationError: A picture cannot be measured.
    """
    require_metrics()
    settings = config or load_config()
    refuse_bad_addresses(server, settings)
    search = SearchJobs(
        recipe,
        over,
        max_drift,
        tolerance,
        jobs,
        server=server,
        out=out,
        sets=sets,
        sweeps=sweeps,
        templates=templates,
        config=settings,
        calibrated=calibrated,
    )
    if len(search.fields) > 1:
        require_optuna()
    plan, had, shown_steps = search.plan(), search.had(), 0
    while True:
        measured = search.measured()
        way = search.way(had, measured)
        steps = [search.step(place, way.known[place]) for place in way.steps]
        if len(steps) > shown_steps:
            told(steps[shown_steps:])
            shown_steps = len(steps)
        if not way.waits:
            break
        search.refuse_unmeasured(way.waits)
        with search.render(way.waits, policy=policy or Policy(), say=say) as rendering, following() as take:
            for event in rendering:
                take(event)
        results = rendering.results()
        errors = [
            result.error or JobFailed(f"is {result.state}", where=result.job_id) for result in results if result.state != "done"
        ]
        if errors:
            raise errors[0]
    found = search.found(plan, way, tuple(steps))
    path = [asdict(step) for step in steps]
    write_search(search.folder, search.key, search.begun, found=line(found), chosen=found.values or None, path=path)
    return found
