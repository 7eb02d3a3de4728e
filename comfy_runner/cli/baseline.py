"""``comfy-runner baseline``: making pictures of a run what later runs are compared with, and saying what became of that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfy_runner.cli.options import RunPlace, only_option, run_argument, skip_option
from comfy_runner.cli.output import print_line, print_notes
from comfy_runner.errors import Note
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named

if TYPE_CHECKING:
    from comfy_runner.baseline.update import BaselineUpdate


@click.group()
def baseline() -> None:
    """Keep pictures that later runs are compared with.

    `run --baseline DIR` and `check RUN --baseline DIR` compare pictures with those in DIR, a folder that is fit for git.
    """


@baseline.command()
@run_argument
@click.option("--to", type=RunPlace(file_okay=False), required=True, metavar="DIR", help="The folder of the baseline, or its URL.")
@only_option
@skip_option
@click.option("--prune", is_flag=True, help="Remove jobs that the run does not have.")
def update(folder: Path, *, to: Path, only: tuple[str, ...], skip: tuple[str, ...], prune: bool) -> None:
    """Make the pictures in the run folder RUN the baseline in DIR, or renew it.

    What has the same pixels stays as it is, byte for byte. Only jobs that are done are written.
    """
    from comfy_runner import api
    from comfy_runner.cli.report import measuring

    with measuring(verb="comparing", noun="job") as progress:
        found = api.update_baseline(folder, to, only=only, skip=skip, prune=prune, progress=progress)
    print_notes(notes(found))
    print_line(sentence(found))


def sentence(found: BaselineUpdate) -> str:
    """Return what became of a baseline, such as ``baseline: 3 added, 69 unchanged in tests/pictures``."""
    parts = {"added": found.added, "changed": found.changed, "unchanged": found.unchanged, "removed": found.removed}
    told = [f"{len(jobs)} {word}" for word, jobs in parts.items() if jobs]
    return f"baseline: {', '.join(told) or 'nothing'} in {shown(found.folder)}"


def notes(found: BaselineUpdate) -> Iterator[Note]:
    """Yield what the user should know: which jobs are left out, and why, and which of the baseline the run does not have."""
    by_reason: dict[str, list[str]] = {}
    for job_id, reason in found.skipped.items():
        by_reason.setdefault(reason, []).append(job_id)
    for reason, jobs in by_reason.items():
        yield Note(f"{counted(len(jobs), 'job')} left out ({reason}): {named(jobs)}")
    if found.orphans:
        has, them = counted(len(found.orphans), "job is", "jobs are"), "it" if len(found.orphans) == 1 else "them"
        yield Note(f"{has} only in the baseline: {named(found.orphans)}; --prune removes {them}")
