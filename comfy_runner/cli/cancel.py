"""``comfy-runner cancel``: ends a run, and takes back what it has left on servers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import print_error, print_line, say
from comfy_runner.cli.server_options import NamedServers, servers_option
from comfy_runner.errors import ComfyRunnerError, RunFolderError, ServerError
from comfy_runner.wording import named


@click.command()
@run_argument
@servers_option("A server that needs credentials: its URL, a name from the config file, or local; repeatable.")
def cancel(folder: Path, *, servers: NamedServers) -> int:
    """End the run in the folder RUN, as Ctrl-C in its terminal would.

    A run that is live is asked to end. What a run that was killed has left on servers is taken back: waiting prompts are deleted,
    the running one is interrupted, and pictures that are finished are collected.
    """
    from comfy_runner.config import load_config
    from comfy_runner.control.cancel import cancel as end_run

    config = load_config()
    found = end_run(folder, servers=servers.named(config), config=config, say=say)
    if found.asked is not None:
        say(f"{str(found.asked) or 'the other comfy-runner'} has ended")
    states: dict[str, list[str]] = {}
    for job_id, state in found.ended.items():
        states.setdefault(state, []).append(job_id)
    for name, jobs in states.items():
        print_line(f"{len(jobs)} {name}: {named(jobs)}")
    for error in found.errors:
        print_error(error)
    if not found.asked and not found.ended and not found.errors:
        say("no run is active, and servers have nothing of it")
    return _exit_code(found.errors)


def _exit_code(errors: Iterable[ComfyRunnerError]) -> int:
    codes = {error.exit_code for error in errors}
    return next((code for code in (RunFolderError.exit_code, ServerError.exit_code) if code in codes), min(codes, default=0))
