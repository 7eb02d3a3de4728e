"""``comfy-runner repair``: rebuilds a run folder's ledger from the sidecars of its pictures."""

from __future__ import annotations

from pathlib import Path

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import print_line, print_notes, say
from comfy_runner.errors import Note
from comfy_runner.wording import counted


@click.command()
@run_argument
def repair(folder: Path) -> None:
    """Rebuild the ledger of the run folder RUN from the sidecars of its pictures.

    The old ledger is moved aside. Pictures and sidecars are only read.
    """
    from comfy_runner.control.repair import repair as mend
    from comfy_runner.text_files import shown

    found = mend(folder)
    print_notes(Note(str(problem)) for problem in found.problems)
    print_line(f"{shown(found.ledger)}: {counted(found.jobs, 'job')}")
    say(f"the old ledger is {shown(found.aside)}" if found.aside else "there was no ledger before")
