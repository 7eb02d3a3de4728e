"""``comfy-runner report``: a page to compare a run's pictures, and their metrics."""

from __future__ import annotations

from pathlib import Path

import click

from comfy_runner.cli.options import limit_options, limits_of, run_argument
from comfy_runner.cli.output import print_notes, print_path, say
from comfy_runner.cli.progress_bar import measuring
from comfy_runner.cli.suggestion_text import sentence
from comfy_runner.errors import Note


@click.command()
@run_argument
@limit_options
def report(folder: Path, *, axis: str | None, **limits: float | None) -> None:
    """Write report.html, metrics.json and metrics.csv into the run folder RUN.

    The page opens in a browser, without a network. It works beside a live run, of which it shows what there is.
    """
    from comfy_runner import api

    with measuring() as progress:
        found = api.write_report(folder, axis=axis, limits=limits_of(limits), progress=progress)
    print_notes(Note(note) for note in found.notes)
    for path in (found.page, found.metrics, found.table):
        if path is not None:
            print_path(path)
    if found.suggestion is not None:
        say(sentence(found.suggestion))
