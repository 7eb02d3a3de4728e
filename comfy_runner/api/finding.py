"""The best values of fields, searched for: a few are rendered, and what is measured of them decides which come next."""

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
    """Return what `find` would have before it; nothing is rendered or written, and no server is needed.

    Args:
        recipe: One recipe: its path, the name of a shipped one, or a mapping with its fields. What it sweeps besides are series.
        over: The field and its values, such as ``upscale.denoise=0.3:0.8``, or several of these; None for what the recipe says
            under ``find``.
        max_drift: The most that a picture may drift, above 0; None for what the recipe says, or 0.3.
        tolerance: How far apart the values are that are told apart, above 0; None for what the recipe says, or 0.02, or 1 between
            whole numbers. Of several fields, those with whole ends take each whole number in any case.
        jobs: The most jobs that are rendered, at least 1; None for what the recipe says, or the usual, as for `find`.
        server: Asked only for the nodes of a workflow that ComfyUI's page has saved.
        out: The run folder; None for ``runs/<recipe name>``.
        sets: Overrides for the recipe, such as ``upscale.sampler.steps=20``.
        sweeps: Axes of the series, such as ``seed=1,2,3``.
        templates: Folders that are searched for templates first.
        config: Settings; None for those of the user's config file.
        calibrated: Whether limits that neither an argument nor the recipe gives are those that the user keeps for its checkpoint
            (`keep_calibration`), rather than the usual ones.

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

    What the run folder has already counts. The same call goes on where an earlier one was interrupted, on the same path: what is
    rendered next depends on nothing but what was measured.

    Args:
        recipe: One recipe, as for `run`. What it sweeps besides, such as seeds, are series that the value has to suit alike.
        over: The field and its values, such as ``upscale.denoise=0.3:0.8``, with a step of its own (``0.3:0.8:0.05``) or as a list
            (``0.3,0.5,0.8``), or several of these; None for what the recipe says under ``find``. Names can be searched beside
            another field (``upscale.method=bicubic,area``).
        max_drift: The most that a picture may drift, above 0; None for what the recipe says, or 0.3.
        tolerance: How far apart the values are that are told apart, above 0; None for what the recipe says, or 0.02, or 1 between
            whole numbers. Of several fields, those with whole ends take each whole number in any case.
        jobs: The most jobs that are rendered, at least 1; None for what the recipe says, or 24 and of one field a part
            of the sweep: 4 of 9 values, 8 of 26 and of 40. It is never more than half of all.
        server: As for `run`.
        out: The run folder; None for ``runs/<recipe name>``.
        sets: Overrides for the recipe, such as ``upscale.sampler.steps=20``.
        sweeps: Axes of the series, such as ``seed=1,2,3``.
        templates: Folders that are searched for templates first.
        policy: How to treat the servers; None for the usual.
        config: Settings; None for those of the user's config file.
        calibrated: Whether limits that neither an argument nor the recipe gives are those that the user keeps for its checkpoint
            (`keep_calibration`), rather than the usual ones.
        say: Takes sentences about slow preparations; None for silence.
        told: Takes the steps that were done together, each time.
        following: Makes what takes the events of a run.

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
