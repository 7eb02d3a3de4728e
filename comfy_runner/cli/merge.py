"""``comfy-runner merge``: one run folder of the shards of a run (docs/shards.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfy_runner.cli.json_records import to_json
from comfy_runner.cli.options import RunPlace, json_option
from comfy_runner.cli.output import print_json, print_notes, print_path, say
from comfy_runner.errors import Note
from comfy_runner.wording import counted, size

if TYPE_CHECKING:
    from comfy_runner.control.merge import MergedRun

VERSION = 1

_WORTH_SAYING = 500  # jobs; fewer are copied in a moment


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="RUN...", type=RunPlace())
@click.option(
    "--to",
    "target",
    required=True,
    type=RunPlace(file_okay=False),
    metavar="DIR",
    help="The run folder to make, or to complete; a path or a URL.",
)
@click.option("--partial", is_flag=True, help="Merge what is there, even if shards are missing or have not ended.")
@json_option("Print one JSON object (docs/shards.md).")
def merge(folders: tuple[Path, ...], *, target: Path, partial: bool, as_json: bool) -> None:
    """Merge run folders that are parts of one plan, such as the shards of a run, into one.

    RUN is the run folder of a shard, or a folder that holds all of them; both can be URLs. They are only read. Run the same command
    again to add what has come since.
    """
    from comfy_runner import api
    from comfy_runner.cli.report import measuring

    with measuring(quiet=as_json, verb="merging", noun="job", worth_saying=_WORTH_SAYING) as progress:
        found = api.merge(folders, target, partial=partial, progress=progress)
    if as_json:
        print_json({"v": VERSION, **to_json(found)})
        return
    print_notes(Note(lacking) for lacking in found.lacking)
    print_path(found.folder)
    say(_summary(found))


def _summary(found: MergedRun) -> str:
    states = ", ".join(f"{number} {state}" for state, number in found.counts.items() if number) or "no jobs"
    kept = f", {found.kept} already there" if found.kept else ""
    copied = f"{counted(found.copied, 'job')} copied ({size(found.size_bytes)}){kept}"
    judged = f"; picks of {counted(found.judged, 'picture')}" if found.judged else ""
    return f"{counted(len(found.sources), 'run folder')}: {copied}; now {states}{judged}"
