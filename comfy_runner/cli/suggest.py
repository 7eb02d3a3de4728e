"""``comfy-runner suggest``: the denoise value with the most detail that keeps the picture (docs/metrics.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from comfy_runner.cli.options import limit_options, limits_of, run_argument
from comfy_runner.cli.output import errors_as_json, print_json, print_line
from comfy_runner.cli.progress_bar import measuring
from comfy_runner.cli.suggestion_text import describe


@click.command()
@run_argument
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/metrics.md).")
def suggest(folder: Path, *, axis: str | None, as_json: bool, **limits: float | None) -> None:
    """Name the denoise value with the most real detail whose drift stays under the limit, from the pictures in RUN.

    Every value is shown, with why it is not the one. It works for any swept field, by --axis.
    """
    from comfy_runner import api

    with errors_as_json(as_json), measuring() as progress:
        found = api.suggest(folder, axis=axis, limits=limits_of(limits), progress=progress)
    if as_json:
        from comfy_runner.report.export import suggestion_json

        print_json(json.dumps(suggestion_json(found)))
        return
    for line in describe(found, width=shutil.get_terminal_size().columns):
        print_line(line)
