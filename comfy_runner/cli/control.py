"""Commands that act on a live or past run from outside: ``fleet``, ``cancel``, ``clean`` and ``repair``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfy_runner.cli import exit_codes
from comfy_runner.cli.options import NamedServers, run_argument, servers_option
from comfy_runner.cli.output import print_error, print_line, print_lines, print_notes, say
from comfy_runner.errors import Note
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named, size

if TYPE_CHECKING:
    from comfy_runner.control.clean import Cleaning
    from comfy_runner.control.garbage import GarbageFiles
    from comfy_runner.store.control_files import FleetAction

_CREDENTIALS = "A server that needs credentials: its URL, a name from the config file, or local; repeatable."

_KINDS = {
    "superseded": "replaced pictures and their sidecars",
    "leftovers": "half-written files of clients that were killed",
    "removed": "pictures and sidecars of jobs removed from the recipe",
    "damaged": "ledgers that a repair has moved aside",
}
_OPTIONS = {"removed": "--removed", "damaged": "--damaged"}


@click.group(no_args_is_help=True)
def fleet() -> None:
    """Change which servers a live run uses; RUN is its folder, URL a server's address or its name in the config file."""


@fleet.command()
@run_argument
@click.argument("url", metavar="URL")
def add(folder: Path, *, url: str) -> None:
    """Have the run in RUN use one more server, as soon as that answers."""
    _change(folder, "add", url)
    say(f"{url} joins as soon as it answers")


@fleet.command()
@run_argument
@click.argument("url", metavar="URL")
def drain(folder: Path, *, url: str) -> None:
    """Have the run in RUN give a server nothing more; what it has is finished."""
    _change(folder, "drain", url)
    say(f"{url} finishes what it has, and gets nothing more")


def _change(folder: Path, action: FleetAction, url: str) -> None:
    from comfy_runner.control.fleet_changes import change_fleet

    change_fleet(folder, action, url)


@click.command()
@run_argument
@servers_option(_CREDENTIALS)
def cancel(folder: Path, *, servers: NamedServers) -> int:
    """End the run in the folder RUN, as Ctrl-C in its terminal would.

    A run that is live is asked to end. What a run that was killed has left on servers is withdrawn: waiting prompts are deleted,
    the running one is interrupted, and pictures that are finished are collected.
    """
    from comfy_runner.control.cancel import cancel as end_run

    found = end_run(folder, servers=servers.named(), config=servers.config, say=say)
    if found.asked is not None:
        say(f"{str(found.asked) or 'the other comfy-runner'} has ended")
    states: dict[str, list[str]] = {}
    for job_id, state in found.ended.items():
        states.setdefault(state, []).append(job_id)
    print_lines(f"{len(jobs)} {name}: {named(jobs)}" for name, jobs in states.items())
    for error in found.errors:
        print_error(error)
    if not found.asked and not found.ended and not found.errors:
        say("no run is active, and servers have none of its prompts")
    return exit_codes.of_errors(found.errors)


@click.command()
@run_argument
def repair(folder: Path) -> None:
    """Rebuild the ledger of the run folder RUN from the sidecars of its pictures.

    The old ledger is moved aside. Pictures and sidecars are only read.
    """
    from comfy_runner.control.repair import repair as mend

    found = mend(folder)
    print_notes(Note(str(problem)) for problem in found.problems)
    print_line(f"{shown(found.ledger)}: {counted(found.jobs, 'job')}")
    say(f"the old ledger is {shown(found.aside)}" if found.aside else "there was no ledger before")


@click.command()
@run_argument
@click.option("--yes", is_flag=True, help="Remove them; otherwise they are only shown.")
@click.option("--removed", is_flag=True, help="Also pictures of jobs that their recipes no longer have.")
@click.option("--damaged", is_flag=True, help="Also ledgers that a repair has moved aside.")
@click.option("--server-files", is_flag=True, help="Also what was left on servers, as far as that is possible.")
@servers_option(_CREDENTIALS)
def clean(folder: Path, *, servers: NamedServers, **given: bool) -> None:
    """Show which files of the run folder RUN are no longer needed, and remove them with --yes.

    These are replaced pictures, and half-written files of clients that were killed. Finished jobs stay as they are.
    """
    from comfy_runner.control.clean import clean as tidy

    found = tidy(folder, servers=servers.named(), config=servers.config, say=say, **given)
    print_notes(Note(f"{problem}; the files of its job are kept") for problem in found.problems)
    print_lines(_cleaned(found, server_files=given["server_files"]))
    print_notes(found.notes)
    if not found.removed:
        say(
            "nothing was removed; --yes removes it"
            if _has_something(found, given["server_files"])
            else "there is nothing to remove"
        )


def _cleaned(found: Cleaning, *, server_files: bool) -> list[str]:
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
            stay = counted(len(there.files), "file stays", "files stay")
            where = named([f"output/{folder}" for folder in there.folders])
            lines.append(f"on {there.url}: {stay} under {where}; ComfyUI has no way to delete them")
    return lines


def _has_something(found: Cleaning, server_files: bool) -> bool:
    return bool(found.files) or (server_files and any(there.local or there.prompts for there in found.remote))


def _described(files: GarbageFiles) -> str:
    return f"{_KINDS[files.kind]}: {counted(len(files.keys), 'file')}, {size(files.size_bytes)}"
