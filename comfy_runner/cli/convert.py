"""``comfy-runner convert``: a workflow as ComfyUI's page saves it, as the graph that a server runs (docs/import.md)."""

from __future__ import annotations

from pathlib import Path

import click

from comfy_runner.cli.options import NamedServers, server_or_file_option
from comfy_runner.cli.output import print_json, print_notes, say
from comfy_runner.errors import UsageError
from comfy_runner.text_files import shown
from comfy_runner.wording import counted


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@server_or_file_option()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there, not to stdout.")
@click.option("--force", is_flag=True, help="Overwrite that file.")
def convert(file: Path, *, servers: NamedServers, object_info: Path | None, out: Path | None, force: bool) -> None:
    """Print FILE, a workflow as ComfyUI's page saves it, in ComfyUI's API format.

    FILE is JSON, or a picture that holds the workflow. The server, or its saved answer, says what its nodes take. What cannot be
    converted for certain is refused, with the node and the reason.
    """
    from comfy_runner import api
    from comfy_runner.atomic_files import write_atomically

    if out is not None and out.exists() and not force:
        raise UsageError("is there already", where=shown(out), hint="give another --out, or --force to overwrite it")
    chosen = servers.one() if servers.names else None
    found = api.convert_workflow(file, server=chosen, object_info=object_info, config=servers.config, say=say)
    print_notes(found.notes)
    text = found.workflow.to_json()
    if out is None:
        print_json(text)
        return
    try:
        write_atomically(out, f"{text}\n".encode("utf-8", "surrogatepass"))
    except OSError as error:
        what = f"cannot be written: {(error.strerror or str(error)).lower()}"
        raise UsageError(what, where=shown(out), hint="choose another folder with --out") from error
    say(f"wrote {shown(out)}: {counted(len(found.workflow.nodes), 'node')}, {found.origin}")
