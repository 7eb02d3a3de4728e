"""``comfy-runner check``: a finished run checked against what its recipes expect.

`run` does the same at its end: the options are the same, and what was found is told alike. A further option is a line of `_OPTIONS`
and an attribute of `Checking`; `Checking.check` or `Checking.write` does what it says.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from comfy_runner.atomic_files import is_device
from comfy_runner.cli import ci_files, exit_codes
from comfy_runner.cli.ci_files import CiFile
from comfy_runner.cli.json_records import VERSION, to_json
from comfy_runner.cli.options import RunPlace, json_option, only_option, recipe_options, run_argument, skip_option
from comfy_runner.cli.output import print_json, print_lines, print_notes
from comfy_runner.errors import ComfyRunnerError, Note, UsageError
from comfy_runner.wording import counted, named

if TYPE_CHECKING:
    from comfy_runner.check.interface import Finding
    from comfy_runner.check.results import CheckedJob, CheckedRun
    from comfy_runner.running.handle import Run

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option(
        "--baseline",
        type=RunPlace(file_okay=False),
        metavar="DIR",
        help="Compare the pictures with those in DIR (docs/ci.md); new ones are added unless CI is set.",
    ),
    click.option("--junit", type=CiFile("<?xml"), metavar="FILE", help="Write JUnit's XML, for CI systems (docs/ci.md)."),
    click.option("--summary", type=CiFile("## "), metavar="FILE", help="Write a summary in Markdown."),
    click.option("--code-quality", type=CiFile("["), metavar="FILE", help="Write GitLab's code quality report."),
)
_FILES = ("junit", "summary", "code_quality")
_MOST_TOLD = 50  # of one kind; who wants all of them has --json


@dataclass(frozen=True, slots=True)
class Checking:
    """What a command line says of checking.

    Attributes:
        baseline: The folder of the baseline; None for none.
        junit: Where JUnit's XML goes; None for no such file.
        summary: Where a summary in Markdown goes; likewise.
        code_quality: Where GitLab's code quality report goes; likewise.
    """

    baseline: Path | None
    junit: Path | None
    summary: Path | None
    code_quality: Path | None

    @property
    def is_asked(self) -> bool:
        """Whether the command line, or GitHub's way of being told, asks for it, whatever the recipes expect."""
        return ci_files.is_read_by_github() or any(getattr(self, each.name) for each in fields(self))

    def refuse_one_file(self) -> None:
        """Refuse several files at one place, of which only the last would be left.

        Raises:
            UsageError: Two of them are the same.
        """
        given = {f"--{name.replace('_', '-')}": path for name in _FILES if (path := getattr(self, name)) is not None}
        for (one, path), (other, second) in combinations(given.items(), 2):
            if os.path.realpath(path) == os.path.realpath(second) and not is_device(path):
                raise UsageError("cannot be written to the same file", where=f"{one} and {other}", hint="name two files")

    def foresee(self, job_ids: Sequence[str]) -> Iterator[Note]:
        """Yield what can be told of checking jobs before they are rendered.

        Raises:
            InputError: The baseline cannot be used.
        """
        if self.baseline is not None:
            from comfy_runner.baseline.folder import read_baseline
            from comfy_runner.gates.foreseen import without_baseline

            yield from without_baseline(job_ids, read_baseline(self.baseline), write_missing=not ci_files.is_in_ci())

    def check(self, run: Run | Path, recipes: Sequence[str] = (), **given: Any) -> CheckedRun:
        """Return what becomes of a run.

        Args:
            run: The run, or its folder.
            recipes: As for `comfy_runner.check_run`.
            given: Further arguments of it.
        """
        from comfy_runner import api
        from comfy_runner.cli.report import measuring

        quiet = given.pop("quiet", False)
        with measuring(quiet=quiet) as progress:
            missing = not ci_files.is_in_ci()
            return api.check_run(run, recipes, baseline=self.baseline, write_missing=missing, progress=progress, **given)

    def write_unbegun(self, recipes: Sequence[str], error: ComfyRunnerError, **given: Any) -> None:
        """Write the files that are asked for of a run that could not begin, as far as its jobs can be known.

        Args:
            recipes: As for `comfy_runner.run`.
            error: Why it could not begin.
            given: Further arguments of `comfy_runner.plan`.
        """
        from comfy_runner import api

        if self.is_asked:
            with contextlib.suppress(ComfyRunnerError):  # the error itself is what is told
                self.write(api.unbegun_run(recipes, error, **given))

    def write(self, checked: CheckedRun) -> int:
        """Write the files that the command line asks for; return an exit code, 0 if all is well."""
        return ci_files.write(checked, junit=self.junit, summary=self.summary, code_quality=self.code_quality)


def check_options(command: _Command) -> _Command:
    """Add the options of checking; the command gets them as one argument, ``checking``, a `Checking`."""

    @functools.wraps(command)
    def call(**given: Any) -> Any:
        checking = Checking(**{each.name: given.pop(each.name) for each in fields(Checking)})
        checking.refuse_one_file()
        return command(checking=checking, **given)

    found: Callable[..., Any] = call
    for option in reversed(_OPTIONS):
        found = option(found)
    return cast(_Command, found)


@click.command()
@run_argument
@click.argument("recipes", nargs=-1, metavar="[RECIPE]...")
@check_options
@recipe_options
@only_option
@skip_option
@json_option("Print one JSON object (docs/ci-formats.md).")
def check(folder: Path, *, recipes: tuple[str, ...], checking: Checking, as_json: bool, **given: Any) -> int:
    """Check the run folder RUN against what is expected of its jobs, without rendering anything.

    Expectations are written in recipes, under expect. With RECIPE, those that it has now are used, and only its jobs are checked;
    without, those that the jobs' sidecars recorded. The exit code is 4 if something is not as expected, and 1 or 3 if a job could
    not be done.
    """
    checked = checking.check(folder, recipes, quiet=as_json, **given)
    unwritten = checking.write(checked)
    if as_json:
        print_json({"v": VERSION, **to_json(checked)})
    else:
        print_notes(notes_of(checked))
        print_lines(lines(checked))
    return exit_codes.of_check(checked) or unwritten


def notes_of(checked: CheckedRun) -> Iterator[Note]:
    """Yield what people are to know besides: the notes, and which jobs the baseline has alone."""
    yield from map(Note, checked.notes)
    if checked.orphans:
        has = counted(len(checked.orphans), "job is", "jobs are")
        yield Note(
            f"{has} only in the baseline: {named(checked.orphans)}; baseline update --prune removes what the run does not have"
        )


def lines(checked: CheckedRun) -> Iterator[str]:
    """Yield what people are to know, a line each: first what could not be done, then what is not as expected, then the sums."""
    yield from _told("ERROR", [_line(job) for job in checked.jobs if job.outcome == "error"])
    yield from _told("SKIPPED", [_line(job) for job in checked.jobs if job.outcome == "skipped"])
    yield from _told("FAILED", [_finding_line(found) for found in checked.failures])
    by_check: dict[str, list[str]] = {}
    for job in checked.jobs:
        for found in job.failures:
            by_check.setdefault(found.check, []).append(_finding_line(found))
    for told in by_check.values():
        yield from _told("FAILED", told)
    yield summary(checked)


def summary(checked: CheckedRun) -> str:
    """Return how many jobs ended how, such as ``checked 72 jobs: 1 could not be done, 2 failed, 69 passed``."""
    from comfy_runner.check.formats.lines import headline

    return f"checked {headline(checked)}"


def _told(word: str, told: Sequence[str]) -> Iterator[str]:
    for line in told[:_MOST_TOLD]:
        yield f"{word} {line}"
    if len(told) > _MOST_TOLD:
        yield f"{word} and {len(told) - _MOST_TOLD} more like this; --json has them all"


def _line(job: CheckedJob) -> str:
    return f"{job.job_id}: {job.problem}"


def _finding_line(found: Finding) -> str:
    who = " ".join(filter(None, (found.job_id, found.role)))
    return (f"{who}: " if who else "") + found.message + (f" ({found.where})" if found.where else "")
