"""``comfy-runner convert``: a workflow as ComfyUI's page saves it, as the graph that a server runs (docs/import.md)."""

from __future__ import annotations

from pathlib import Path

import click

from comfy_runner.cli.options import LocalPath, NamedServers, server_or_file_option
from comfy_runner.cli.output import print_json, print_notes, say
from comfy_runner.errors import UsageError
from comfy_runner.text_files import reason_of, shown
from comfy_runner.wording import counted


@click.command()
@click.argument("file", type=LocalPath())
@server_or_file_option()
@click.option("--out", type=LocalPath(dir_okay=False), metavar="FILE", help="Write to this file instead of stdout.")
@click.option("--force", is_flag=True, help="Overwrite that file.")
def convert(file: Path, *, servers: NamedServers, object_info: Path | None, out: Path | None, force: bool) -> None:
    """Print FILE, a workflow as ComfyUI's page saves it, in ComfyUI's API format.

    FILE is JSON, or a picture that holds the workflow. The server, or its saved answer, says what its nodes take. What cannot be
    converted for certain is refused, with the node and the reason.
    """
    from comfy_runner import api
    from comfy_runner.atomic_files import write_as_named

    if str(out) == "-":
        out = None
    if out is not None and _is_one_file(out, file):
        hint = "give another --out; a graph lacks, for example, the positions of nodes on the page, which would be lost"
        raise UsageError("is the workflow itself", where=shown(out), hint=hint)
    if out is not None and out.exists() and not force:
        raise UsageError("already exists", where=shown(out), hint="give another --out, or --force to overwrite it")
    chosen = servers.one() if servers.names else None
    found = api.convert_workflow(file, server=chosen, object_info=object_info, config=servers.config, say=say)
    print_notes(found.notes)
    text = found.workflow.to_json()
    if out is None:
        print_json(text)
        return
    try:
        write_as_named(out, f"{text}\n".encode("utf-8", "surrogatepass"))
    except OSError as error:
        what = f"cannot be written: {reason_of(error)}"
        raise UsageError(what, where=shown(out), hint="choose another folder with --out") from error
    say(f"wrote {shown(out)}: {counted(len(found.workflow.nodes), 'node')}, {found.origin}")


def _is_one_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there, or cannot be looked at, which is told where it is opened
        return False
