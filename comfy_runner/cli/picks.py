"""``comfy-runner picks``: what a person has picked of a run, as a list, as job ids, or as copies of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfy_runner.cli.formatting import aligned
from comfy_runner.cli.options import LocalPath, json_option, run_argument
from comfy_runner.cli.output import clean, one_line, print_json, print_lines, print_notes, print_path, say
from comfy_runner.errors import Note
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named

if TYPE_CHECKING:
    from comfy_runner.report.picked import PickedPicture


@click.command()
@run_argument
@click.option("--import", "imported", type=LocalPath(dir_okay=False), metavar="FILE", help="First add the picks in this file.")
@click.option("--min", "least", type=click.IntRange(1, 5), metavar="STARS", help="Only pictures with this many stars or more.")
@click.option("--ids", is_flag=True, help="Print the ids of the picked jobs, for `run --only @FILE`.")
@click.option("--copy", "target", type=LocalPath(file_okay=False), metavar="DIR", help="Copy the picked pictures there.")
@json_option("Print one JSON object (docs/choosing.md).")
def picks(folder: Path, *, imported: Path | None, least: int | None, ids: bool, target: Path | None, as_json: bool) -> None:
    """List what picks.json in the run folder RUN says of its pictures.

    A picture is picked if it has stars and is not rejected. Of pictures that were rendered again since they were judged
    nothing is said.
    """
    from comfy_runner import api
    from comfy_runner.cli.json_records import to_json

    if ids + as_json + (target is not None) > 1:
        raise click.UsageError("--ids, --copy and --json cannot be used together")
    if imported is not None:
        saved = api.import_picks(folder, imported)
        if saved.unknown:
            what = f"left out {counted(len(saved.unknown), 'picture')} that this run does not have: {named(saved.unknown)}"
            print_notes([Note(what, where=shown(imported))])
    found = api.picks(folder)
    print_notes(map(Note, found.notes))
    pictures = found.pictures if least is None and not ids else found.best(least or 1)
    if as_json:
        print_json({"v": 1, "pictures": to_json(pictures), "pairs": found.pairs, "replaced": list(found.replaced)})
    elif ids:
        print_lines(dict.fromkeys(clean(each.job_id) for each in pictures))
    elif target is not None:
        for path in api.copy_picks(folder, target, least=least or 1):
            print_path(path)
    else:
        print_lines(_list(pictures))
    if not as_json and target is None:
        say(f"{counted(len(found.best(least or 1)), 'pick')} of {counted(len(found.pictures), 'judged picture')}")


def _list(pictures: Sequence[PickedPicture]) -> list[str]:
    return aligned([(_mark(each), one_line(each.name), one_line(each.note)) for each in pictures])


def _mark(picture: PickedPicture) -> str:
    return "rejected" if picture.rejected else "★" * (picture.stars or 0)
