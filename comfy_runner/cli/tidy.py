"""The commands that put run folders in order: cancel what runs, clean what nobody needs, repair a ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from comfy_runner.cli.options import chosen_server
from comfy_runner.cli.output import complain, put, say, tell
from comfy_runner.cli.runs import named, run_argument
from comfy_runner.errors import ComfyRunnerError, Note, RunFolderError, ServerError

if TYPE_CHECKING:
    from comfy_runner.config import Config, ServerConfig
    from comfy_runner.control.clean import Cleaning
    from comfy_runner.control.garbage import Heap

_Command = TypeVar("_Command", bound=Callable[..., Any])
_KINDS = {
    "superseded": "replaced pictures and their sidecars",
    "leftovers": "half files of clients that were killed",
    "removed": "pictures and sidecars of jobs removed from the recipe",
    "damaged": "ledgers that a repair has moved aside",
}
_OPTIONS = {"removed": "--removed", "damaged": "--damaged"}


def _servers_options(command: _Command) -> _Command:
    command = click.option("--insecure", is_flag=True, help="Do not check the certificates of these servers.")(command)
    command = click.option(
        "--cacert",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="The certificate that signs theirs.",
    )(command)
    return click.option(
        "--server",
        "servers",
        multiple=True,
        metavar="URL",
        help="A server that needs credentials: its URL, a name from the config file, or local; repeatable.",
    )(command)


@click.command()
@run_argument
@_servers_options
def cancel(folder: Path, *, servers: tuple[str, ...], cacert: Path | None, insecure: bool) -> int:
    """End the run in the folder RUN, as Ctrl-C in its terminal would.

    A run that is live is asked to end. What a run that was killed has left on servers is taken back: waiting prompts are deleted,
    the running one is interrupted, and pictures that are finished are collected.
    """
    from comfy_runner.config import load_config
    from comfy_runner.control.cancel import cancel as end_run

    config = load_config()
    chosen = _chosen(config, servers, cacert=cacert, insecure=insecure)
    found = end_run(folder, servers=chosen, config=config, say=say)
    if found.asked is not None:
        say(f"{str(found.asked) or 'the other comfy-runner'} has ended")
    states: dict[str, list[str]] = {}
    for job_id, state in found.ended.items():
        states.setdefault(state, []).append(job_id)
    for name, jobs in states.items():
        put(f"{len(jobs)} {name}: {named(jobs)}")
    for error in found.errors:
        complain(error)
    if not found.asked and not found.ended and not found.errors:
        say("nobody works on it, and servers have nothing of it")
    return _exit_code(found.errors)


@click.command()
@run_argument
@click.option("--yes", is_flag=True, help="Remove it; otherwise it is only shown.")
@click.option("--removed", is_flag=True, help="Also pictures of jobs that their recipes no longer have.")
@click.option("--damaged", is_flag=True, help="Also ledgers that a repair has moved aside.")
@click.option("--server-files", is_flag=True, help="Also what was left on servers, as far as that is possible.")
@_servers_options
def clean(folder: Path, *, servers: tuple[str, ...], cacert: Path | None, insecure: bool, **given: bool) -> None:
    """Show what nobody needs any more in the run folder RUN, and remove it with --yes.

    That is replaced pictures, and half files of clients that were killed. What is done stays done.
    """
    from comfy_runner.config import load_config
    from comfy_runner.control.clean import clean as tidy

    config = load_config()
    chosen = _chosen(config, servers, cacert=cacert, insecure=insecure)
    found = tidy(folder, servers=chosen, config=config, say=say, **given)
    tell(Note(f"{problem}; what belongs to its job stays") for problem in found.problems)
    for line in describe(found, server_files=given["server_files"]):
        put(line)
    tell(found.notes)
    if not found.removed:
        say(
            "nothing was removed; --yes removes it"
            if _has_something(found, given["server_files"])
            else "there is nothing to remove"
        )


@click.command()
@run_argument
def repair(folder: Path) -> None:
    """Make the ledger of the run folder RUN anew from the sidecars of its pictures.

    The old ledger is moved aside. Pictures and sidecars are only read.
    """
    from comfy_runner.control.repair import repair as mend
    from comfy_runner.text_files import shown

    found = mend(folder)
    tell(Note(str(problem)) for problem in found.problems)
    put(f"{shown(found.ledger)}: {found.jobs} {'job' if found.jobs == 1 else 'jobs'}")
    say(f"the old ledger is {shown(found.aside)}" if found.aside else "there was no ledger before")


def describe(found: Cleaning, *, server_files: bool) -> list[str]:
    """Return what was or would be removed, and what stays, a line each."""
    done = "removed" if found.removed else "would remove"
    lines = [f"{done} {_heap(heap)}" for heap in found.heaps]
    lines += [f"kept {_heap(heap)} (with {_OPTIONS[heap.kind]})" for heap in found.kept]
    option = "" if server_files else " (with --server-files)"
    verb = done if server_files else "kept"
    for there in found.abroad:
        if there.local:
            count = found.removed_abroad if found.removed and server_files else len(there.local)
            lines.append(f"{verb} in the local ComfyUI's folder: {_files(count)}, {_size(there.local_bytes)}{option}")
        if there.prompts:
            lines.append(f"{verb} in the history of {there.url}: {len(there.prompts)} of our prompts{option}")
        if there.files:
            where = named([f"output/{folder}" for folder in there.folders])
            lines.append(f"on {there.url}: {_files(len(there.files))} stay under {where}; ComfyUI has no way to delete them")
    return lines


def _has_something(found: Cleaning, server_files: bool) -> bool:
    return bool(found.heaps) or (server_files and any(there.local or there.prompts for there in found.abroad))


def _heap(heap: Heap) -> str:
    return f"{_KINDS[heap.kind]}: {_files(len(heap.paths))}, {_size(heap.size_bytes)}"


def _files(count: int) -> str:
    return f"{count} {'file' if count == 1 else 'files'}"


def _size(count: int) -> str:
    return f"{count / 1024:.1f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"


def _chosen(config: Config, servers: Iterable[str], *, cacert: Path | None, insecure: bool) -> list[ServerConfig]:
    return [chosen_server(config, server=server, cacert=cacert, insecure=insecure) for server in servers]


def _exit_code(errors: Iterable[ComfyRunnerError]) -> int:
    codes = {error.exit_code for error in errors}
    return next((code for code in (RunFolderError.exit_code, ServerError.exit_code) if code in codes), min(codes, default=0))
