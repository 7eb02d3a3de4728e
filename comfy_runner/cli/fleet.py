"""``comfy-runner fleet``: which servers a live run uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import say

if TYPE_CHECKING:
    from comfy_runner.store.control_files import FleetAction


@click.group(no_args_is_help=True)
def fleet() -> None:
    """Change which servers a live run uses; RUN is its folder, URL a server's address or its name in the config file."""


@fleet.command()
@run_argument
@click.argument("url", metavar="URL")
def add(folder: Path, *, url: str) -> None:
    """Have the run in RUN use one more server, as soon as that answers."""
    _change(folder, "add", url)
    say(f"{url} takes part as soon as it answers")


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
