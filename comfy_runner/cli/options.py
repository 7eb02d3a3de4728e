"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from comfy_runner.cli.talk import say

if TYPE_CHECKING:
    from comfy_runner.config import Config, ServerConfig

_Command = TypeVar("_Command", bound=Callable[..., Any])


def recipe_options(command: _Command) -> _Command:
    """Add what every command on recipes takes: overrides, axes and template folders."""
    command = click.option(
        "--templates",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        multiple=True,
        metavar="DIR",
        help="Look for templates here first.",
    )(command)
    command = click.option(
        "--sweep",
        "sweeps",
        multiple=True,
        metavar="FIELD=VALUES",
        help="Sweep a field: seed=1,2,3 or upscale.denoise=0.45:0.70:0.05.",
    )(command)
    return click.option(
        "--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Override a field, such as upscale.denoise=0.6."
    )(command)


def only_option(command: _Command) -> _Command:
    """Add ``--only``."""
    return click.option("--only", multiple=True, metavar="GLOB", help="Only jobs whose id fits, such as '*-s42'.")(command)


def choice_options(command: _Command) -> _Command:
    """Add what chooses among jobs."""
    return only_option(click.option("--skip", multiple=True, metavar="GLOB", help="No jobs whose id fits.")(command))


def out_option(command: _Command) -> _Command:
    """Add ``--out``."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="The run folder (runs/<recipe name>); several recipes need it.",
    )(command)


def server_option(command: _Command) -> _Command:
    """Add ``--server`` and what opens its doors."""
    command = click.option("--insecure", is_flag=True, help="Do not check the server's certificate.")(command)
    command = click.option(
        "--cacert",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="The certificate that signs the server's.",
    )(command)
    return click.option("--server", metavar="URL", help="A URL, a name from the config file, or local, which starts one here.")(
        command
    )


def chosen_server(config: Config, *, server: str | None, cacert: Path | None, insecure: bool) -> ServerConfig:
    """Return the server that the command line names, with what it says about certificates."""
    found = config.find_server(server)
    changes = {"cacert": cacert or found.cacert, "insecure": insecure or found.insecure}
    if changes["insecure"]:
        say(f"warning: the certificate of {found.url} is not checked")
    return found.model_copy(update=changes)
