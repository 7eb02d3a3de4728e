"""``comfy-runner index``: a gallery of run folders as a page."""

from __future__ import annotations

from pathlib import Path

import click

from comfy_runner.cli.hyperlinks import linked
from comfy_runner.cli.opening import open_option, open_page
from comfy_runner.cli.options import LocalPath
from comfy_runner.cli.output import print_notes, print_path, print_stderr
from comfy_runner.errors import Note
from comfy_runner.text_files import shown
from comfy_runner.wording import counted


@click.command()
@click.argument("folder", metavar="[DIR]", default=Path("runs"), type=LocalPath())
@click.option("--out", "target", type=LocalPath(dir_okay=False), metavar="FILE", help="The page (DIR/index.html).")
@open_option
def index(folder: Path, *, target: Path | None, opens: bool) -> None:
    """Write a page with all run folders below DIR (runs): pictures, sizes, what was swept, links to their reports.

    It looks at most three levels deep, changes nothing there, and asks no server.
    """
    from comfy_runner import api

    found = api.write_index(folder, target)
    damaged = [(run.summary.folder, run.problem) for run in found.runs if run.problem]
    print_notes(Note(why, where=shown(where), level="warning") for where, why in (*found.unreadable.items(), *damaged))
    print_path(found.page)
    print_stderr(f"{counted(len(found.runs), 'run')}: {linked(found.page)}")
    if opens:
        open_page(found.page)
