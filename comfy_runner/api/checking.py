"""Finished runs checked against what is expected of them. Nothing is rendered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from comfy_runner.api.importing import asking, loading
from comfy_runner.api.recipes import plan
from comfy_runner.baseline.folder import read_baseline
from comfy_runner.check.expected import Expected, expected_of
from comfy_runner.check.results import CheckedJob, CheckedRun, Outcome
from comfy_runner.config import Config, load_config
from comfy_runner.errors import ComfyRunnerError, InputError, UsageError
from comfy_runner.gates.check_folder import check_folder
from comfy_runner.recipe.sources import RecipeSource, load_all
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.report.failed_checks import remember
from comfy_runner.running.handle import Run
from comfy_runner.store.registry import local_part

_NOTHING_NEW = (
    "nothing was rendered, because the run folder already has all of these pictures: what the server would render now is "
    "unknown; --force renders them again, another --out renders them in a separate folder"
)


def check_run(
    run: Run | Path | str,
    recipes: Sequence[RecipeSource] = (),
    *,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    templates: Sequence[Path] = (),
    config: Config | None = None,
    baseline: Path | str | None = None,
    write_missing: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CheckedRun:
    """Check a run against the expectations for its jobs: `expect` in the recipes, which overrides `expect` in the settings.

    The next report that is written shows the failures.

    Args:
        run: A run folder, which may be in use, or a `Run` that has ended and knows its recipes.
        recipes: The recipes of the run folder, as for `run`. Their present expectations apply, and all their jobs are checked, also
            those that the folder lacks. Empty for the expectations in the sidecars.
        sets: Overrides for every recipe, such as ``expect.drift.max=0.2``.
        sweeps: Axes for every recipe, the same as when it was rendered.
        only: Patterns such as ``*-s42``; only jobs whose id matches one of them are chosen; empty for all.
        skip: Patterns such as ``*-s42``; jobs whose id matches one of them are left out.
        templates: Folders that are searched for templates first, if a recipe is a picture.
        config: Settings; None for the user's config file.
        baseline: The folder or URL of a baseline that pictures are compared with; None for none. A folder that does not exist is an
            empty baseline. Pictures that differ are put beside the expected ones in ``comparison_files`` of the run folder.
        write_missing: Whether pictures that the baseline lacks are added to it and pass; otherwise they fail.
        progress: Called with the number of pairs of pictures measured so far, and with their total; None for nothing.

    Returns:
        Every job with its findings, and the findings about the whole run.

    Raises:
        InputError: A recipe or an argument is wrong, a metric or check of an installed package cannot be used, or the baseline is
            damaged.
        RunFolderError: The folder is not a run folder, cannot be read, or has a damaged sidecar; or the comparisons with the
            baseline cannot be written.
    """
    settings = config or load_config()
    if not recipes and (sets or sweeps):
        raise UsageError("overrides change recipes, but none is given", hint="name the recipe behind the run folder")
    known = None if baseline is None else read_baseline(local_part(baseline))
    folder = run.folder if isinstance(run, Run) else local_part(run)
    expected: dict[str, Expected] | None = None
    if recipes:
        expected = _expected(recipes, sets, sweeps, templates, settings)
    elif isinstance(run, Run):
        expected = dict(run.expected)
    reasons = _reasons(run) if isinstance(run, Run) else {}
    checked = check_folder(
        folder,
        expected,
        only=only,
        skip=skip,
        reasons=reasons,
        config=settings,
        baseline=known,
        write_missing=write_missing,
        progress=progress,
    )
    if known is not None and isinstance(run, Run) and _rendered_nothing(run):
        checked = replace(checked, notes=(*checked.notes, _NOTHING_NEW))
    remember(checked)
    return checked


def unbegun_run(
    recipes: Sequence[RecipeSource],
    error: ComfyRunnerError,
    *,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    templates: Sequence[Path] = (),
    config: Config | None = None,
    **given: Any,
) -> CheckedRun:
    """Return the result of a run that could not begin, for example because no server answered: all its jobs have failed.

    Args:
        recipes: The recipes, as for `run`.
        error: Why it could not begin. If a recipe is wrong, its jobs are unknown, and each recipe counts as one job.
        sets: Overrides for every recipe, such as ``expect.drift.max=0.2``.
        sweeps: Axes for every recipe.
        templates: Folders that are searched for templates first.
        config: Settings; None for the user's config file.
        given: Further arguments of `plan`, except `server`.

    Raises:
        InputError: A recipe or an argument is wrong.
        ServerError: A server is needed to know what the jobs are.
        RunFolderError: The run folder cannot be read.
    """
    if isinstance(error, InputError):
        return CheckedRun(folder=Path(), jobs=tuple(_wrong_recipes(recipes, error)))
    settings = config or load_config()
    planned = plan(recipes, sets=sets, sweeps=sweeps, templates=templates, config=settings, **given)
    expected = _expected(recipes, sets, sweeps, templates, settings)
    states = {row.job_id: row.state for row in planned.jobs}
    jobs = []
    for each in (each for job_id, each in expected.items() if job_id in states):
        is_done = states[each.job_id] == "done"
        jobs.append(
            CheckedJob(
                job_id=each.job_id,
                recipe=each.recipe,
                file=each.file,
                line=each.line,
                outcome=Outcome.SKIPPED if is_done else Outcome.ERROR,
                problem="is done, but was not checked" if is_done else str(error.problems[0]),
                exit_code=error.exit_code,
            )
        )
    return CheckedRun(folder=planned.folder or Path(), jobs=tuple(jobs))


def _wrong_recipes(recipes: Sequence[RecipeSource], error: InputError) -> Iterator[CheckedJob]:
    """Yield each recipe as a job that could not be done for what is wrong in it; where that is elsewhere, none could."""
    names = [str(recipe) if isinstance(recipe, (str, Path)) else "recipe" for recipe in recipes]
    found = {name: [each for each in error.problems if _line_in(name, each.where)] for name in names}
    is_told = any(found.values())
    for name, own in found.items():
        problems = own if is_told else error.problems
        yield CheckedJob(
            job_id=name,
            recipe=Path(name).stem,
            file=name if own else "",
            line=_line_in(name, own[0].where) if own else 0,
            outcome=Outcome.ERROR if problems else Outcome.SKIPPED,
            problem="; ".join(map(str, problems)) or "was not begun, because another recipe is wrong",
            exit_code=error.exit_code,
        )


def _line_in(file: str, where: str) -> int:
    """Return the line of a file that a place names, from 1; 0 where it is in another file."""
    if where != file and not where.startswith(f"{file}:"):
        return 0
    line = where.removeprefix(file)[1:].partition(":")[0]
    return int(line) if line.isascii() and line.isdecimal() else 1


def _expected(
    recipes: Sequence[RecipeSource], sets: Sequence[str], sweeps: Sequence[str], templates: Sequence[Path], config: Config
) -> dict[str, Expected]:
    """Return what recipes expect of each of their jobs."""
    load_one = loading(asking((), None, config, None), (*templates, *config.templates))
    loaded = load_all(recipes, sets=sets, sweeps=sweeps, load_one=load_one)
    return expected_of((variant for recipe in loaded for variant in expand(recipe)), config)


def _rendered_nothing(run: Run) -> bool:
    """Return whether all jobs of a run that has ended were done before, in its run folder."""
    with contextlib.suppress(ComfyRunnerError):
        results = run.results()
        return bool(results) and all(result.was_done for result in results)
    return False


def _reasons(run: Run) -> dict[str, str]:
    """Return why a run could not do jobs, by their ids; of one that is still on its server, the ledger does not say."""
    with contextlib.suppress(ComfyRunnerError):  # the run itself has failed, which its caller knows
        return {result.job_id: str(result.error.problems[0]) for result in run.results() if result.error is not None}
    return {}
