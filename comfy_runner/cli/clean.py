"""``comfy-runner clean``: removes files of a run folder that nobody needs any more, or shows which those are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import print_line, print_notes, say
from comfy_runner.cli.server_options import NamedServers, servers_option
from comfy_runner.errors import Note
from comfy_runner.wording import counted, named, size

if TYPE_CHECKING:
    from comfy_runner.control.clean import Cleaning
    from comfy_runner.control.garbage import GarbageFiles

_KINDS = {
    "superseded": "replaced pictures and their sidecars",
    "leftovers": "half-written files of clients that were killed",
    "removed": "pictures and sidecars of jobs removed from the recipe",
    "damaged": "ledgers that a repair has moved aside",
}
_OPTIONS = {"removed": "--removed", "damaged": "--damaged"}


@click.command()
@run_argument
@click.option("--yes", is_flag=True, help="Remove them; otherwise they are only shown.")
@click.option("--removed", is_flag=True, help="Also pictures of jobs that their recipes no longer have.")
@click.option("--damaged", is_flag=True, help="Also ledgers that a repair has moved aside.")
@click.option("--server-files", is_flag=True, help="Also what was left on servers, as far as that is possible.")
@servers_option("A server that needs credentials: its URL, a name from the config file, or local; repeatable.")
def clean(folder: Path, *, servers: NamedServers, **given: bool) -> None:
    """Show which files of the run folder RUN nobody needs any more, and remove them with --yes.

    These are replaced pictures, and half-written files of clients that were killed. What is done stays done.
    """
    from comfy_runner.config import load_config
    from comfy_runner.control.clean import clean as tidy

    config = load_config()
    found = tidy(folder, servers=servers.named(config), config=config, say=say, **given)
    print_notes(Note(f"{problem}; what belongs to its job stays") for problem in found.problems)
    for line in describe(found, server_files=given["server_files"]):
        print_line(line)
    print_notes(found.notes)
    if not found.removed:
        say(
            "nothing was removed; --yes removes it"
            if _has_something(found, given["server_files"])
            else "there is nothing to remove"
        )


def describe(found: Cleaning, *, server_files: bool) -> list[str]:
    """Return what was or would be removed, and what stays, a line each."""
    done = "removed" if found.removed else "would remove"
    lines = [f"{done} {_described(files)}" for files in found.files]
    lines += [f"kept {_described(files)} (with {_OPTIONS[files.kind]})" for files in found.kept]
    option = "" if server_files else " (with --server-files)"
    verb = done if server_files else "kept"
    for there in found.remote:
        if there.local:
            count = found.removed_remote if found.removed and server_files else len(there.local)
            lines.append(f"{verb} in the local ComfyUI's folder: {counted(count, 'file')}, {size(there.local_bytes)}{option}")
        if there.prompts:
            lines.append(f"{verb} in the history of {there.url}: {len(there.prompts)} of our prompts{option}")
        if there.files:
            where = named([f"output/{folder}" for folder in there.folders])
            lines.append(
                f"on {there.url}: {counted(len(there.files), 'file')} stay under {where}; ComfyUI has no way to delete them"
            )
    return lines


def _has_something(found: Cleaning, server_files: bool) -> bool:
    return bool(found.files) or (server_files and any(there.local or there.prompts for there in found.remote))


def _described(files: GarbageFiles) -> str:
    return f"{_KINDS[files.kind]}: {counted(len(files.keys), 'file')}, {size(files.size_bytes)}"
