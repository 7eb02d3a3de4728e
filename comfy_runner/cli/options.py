"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def recipe_options(command: _Command) -> _Command:
    """Add what every command on recipes takes: overrides and template folders."""
    command = click.option(
        "--templates",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        multiple=True,
        metavar="DIR",
        help="Look for templates here first.",
    )(command)
    return click.option(
        "--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Override a field, such as upscale.denoise=0.6."
    )(command)


def server_option(command: _Command) -> _Command:
    """Add ``--server``."""
    return click.option("--server", metavar="URL", help="A URL, a name from the config file, or local, which starts one here.")(
        command
    )
