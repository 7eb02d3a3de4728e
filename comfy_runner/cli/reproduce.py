"""``comfy-runner reproduce``: whether a finished job still gives the pictures that it gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.follow import follower
from comfy_runner.cli.interruption import cancelling_interrupts
from comfy_runner.cli.json_records import to_json
from comfy_runner.cli.options import (
    JobPlace,
    LocalPath,
    NamedServers,
    json_option,
    max_cost_option,
    servers_option,
    templates_option,
)
from comfy_runner.cli.output import print_json, print_lines, print_notes, say
from comfy_runner.errors import Note, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from comfy_runner.api.reproducing import Reproduced
    from comfy_runner.control.reproduced import ReproducedPicture
    from comfy_runner.running.handle import Run

VERSION = 1

_WORDS = {"same": "identical pixels", "similar": "perceptually equal", "different": "different", "missing": "different"}


@click.command()
@click.argument("source", metavar="JOB|PICTURE", type=JobPlace())
@servers_option("A URL, a name from the config file, or local, which starts one here.", several=False)
@click.option("--out", type=LocalPath(file_okay=False), metavar="DIR", help="The run folder for it (reproduced/<job>).")
@templates_option
@max_cost_option
@json_option("Print one JSON object (docs/repeat.md).")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the result and errors.")
def reproduce(source: Path | str, *, servers: NamedServers, as_json: bool, quiet: bool, **given: Any) -> int:
    """Render a finished job once more, and say whether it gives the same pictures.

    JOB is its folder in a run folder, or its job.json; PICTURE one of comfy_runner's or of ComfyUI's; both may be URLs. Each output
    has identical pixels, is perceptually equal, or different; what differs between then and now is named: versions, devices, node
    packs, the template. The server is asked to free its memory first, since what comes from its cache proves nothing. Exit code 4:
    different.
    """
    from comfy_runner import api

    with cancelling_interrupts() as begun, follower(quiet=quiet or as_json, verbose=0) as show:

        def follow(rendering: Run) -> None:
            begun[:] = [rendering]
            for event in rendering:
                show(event)

        told = None if quiet or as_json else say
        found = api.reproduce(source, server=servers.one(), config=servers.config, follow=follow, say=told, **given)
    if as_json:
        print_json({"v": VERSION, **to_json(found), "alike": found.is_alike})
    else:
        print_notes(Note(note, found.job_id, "changed") for note in found.notes)
        print_lines(_lines(found))
    return 0 if found.is_alike else VerificationError.exit_code


def _lines(found: Reproduced) -> Iterator[str]:
    for picture in found.pictures:
        yield f"{picture.expected}: {_verdict(picture)}"
        if picture.difference:
            yield f"    {picture.difference}"
    for change in found.changes:
        yield f"differs: {change}"


def _verdict(picture: ReproducedPicture) -> str:
    word = _WORDS[picture.likeness]
    if picture.reason:
        return f"{word}: {picture.reason}"
    return f"{word} (similarity {picture.similarity:.3f})" if word == _WORDS["similar"] else word
