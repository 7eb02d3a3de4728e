"""``comfy-runner sheet``: a run's pictures as one labelled grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import print_notes, print_path
from comfy_runner.cli.progress_bar import measuring
from comfy_runner.errors import Note
from comfy_runner.wording import named


@click.command()
@run_argument
@click.option("--rows", metavar="FIELD", help="The swept field of the rows (all that are not the columns').")
@click.option("--columns", metavar="FIELD", help="The swept field of the columns (upscale.denoise).")
@click.option(
    "--cell", type=click.IntRange(1, 4096), default=384, show_default=True, metavar="PIXELS", help="Longer side of a picture."
)
@click.option("--out", "target", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="The PNG (RUN/sheet.png).")
def sheet(folder: Path, *, target: Path | None, **given: Any) -> None:
    """Draw the pictures of the run folder RUN as one labelled grid, the original in the first column."""
    from comfy_runner import api

    with measuring() as progress:
        found = api.draw_sheet(folder, target=target, progress=progress, **given)
    print_notes(found.notes)
    if found.left_out:
        print_notes([Note(f"{len(found.left_out)} jobs have no upscaled picture: {named(found.left_out)}")])
    for path in found.paths:
        print_path(path)
