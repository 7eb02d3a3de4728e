"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from comfy_runner.cli.output import print_json
from comfy_runner.errors import ComfyRunnerError

if TYPE_CHECKING:
    from comfy_runner.report.suggest import Limits

_Command = TypeVar("_Command", bound=Callable[..., Any])

# option, field of `Limits`, largest value, unit, help
_LIMITS = (
    ("--max-drift", "drift", 2, "DRIFT", "The most that a picture may drift from its original (0.3)."),
    ("--max-local-drift", "local_drift", 2, "DRIFT", "The most that any region may drift (0.65)."),
    ("--max-colour-shift", "colour_shift", None, "DISTANCE", "The most that the mean colour may move (4; 2.3 is just visible)."),
)


def run_argument(command: _Command) -> _Command:
    """Add RUN, the run folder that a command is about."""
    return click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))(command)


def json_option(text: str) -> Callable[[_Command], _Command]:
    """Add ``--json``, with which an error that ends the command is printed as a JSON object, too.

    Args:
        text: What the help says of it.
    """

    def add(command: _Command) -> _Command:
        @functools.wraps(command)
        def call(*, as_json: bool, **given: Any) -> Any:
            try:
                return command(as_json=as_json, **given)
            except ComfyRunnerError as error:
                if as_json:
                    from comfy_runner.cli.json_records import error_record

                    print_json(error_record(error))
                raise

        return click.option("--json", "as_json", is_flag=True, help=text)(cast(_Command, call))

    return add


def recipe_options(command: _Command) -> _Command:
    """Add the options of every command on recipes: ``--set``, ``--sweep``, ``--templates``."""
    command = templates_option(command)
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


def templates_option(command: _Command) -> _Command:
    """Add ``--templates``."""
    return click.option(
        "--templates",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        multiple=True,
        metavar="DIR",
        help="Look for templates here first.",
    )(command)


def only_option(command: _Command) -> _Command:
    """Add ``--only``."""
    return click.option("--only", multiple=True, metavar="GLOB", help="Only jobs whose id matches, such as '*-s42'.")(command)


def choice_options(command: _Command) -> _Command:
    """Add ``--only`` and ``--skip``."""
    return only_option(click.option("--skip", multiple=True, metavar="GLOB", help="No jobs whose id matches.")(command))


def out_option(command: _Command) -> _Command:
    """Add ``--out``."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="The run folder (runs/<recipe name>); several recipes need it.",
    )(command)


def limit_options(command: _Command) -> _Command:
    """Add the axis and the limits of a suggestion; each limit is named as a field of `Limits`."""
    for option, field, most, unit, text in reversed(_LIMITS):
        command = click.option(option, field, type=click.FloatRange(0, most), metavar=unit, help=text)(command)
    return click.option("--axis", metavar="FIELD", help="The swept field to choose a value of (upscale.denoise).")(command)


def limits_of(given: Mapping[str, float | None]) -> Limits:
    """Return the limits that `limit_options` has taken; those that were not given are the usual ones."""
    from comfy_runner import api

    return api.Limits(**{name: value for name, value in given.items() if value is not None})
