"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from comfy_runner.cli.output import say

if TYPE_CHECKING:
    from comfy_runner.config import Config, ServerConfig
    from comfy_runner.report.suggestion import Limits

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SERVER = "A URL, a name from the config file, or local"


def run_argument(command: _Command) -> _Command:
    """Add RUN, the run folder that a command is about."""
    return click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))(command)


def recipe_options(command: _Command) -> _Command:
    """Add what every command on recipes takes: overrides, axes and template folders."""
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
    """Add what chooses among jobs."""
    return only_option(click.option("--skip", multiple=True, metavar="GLOB", help="No jobs whose id matches.")(command))


def out_option(command: _Command) -> _Command:
    """Add ``--out``."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="The run folder (runs/<recipe name>); several recipes need it.",
    )(command)


def server_option(command: _Command) -> _Command:
    """Add ``--server`` with ``--cacert`` and ``--insecure``."""
    command = certificate_options(command)
    return click.option("--server", metavar="URL", help=f"{_SERVER}, which starts one here.")(command)


def object_info_option(text: str) -> Callable[[_Command], _Command]:
    """Add ``--object-info``: a saved answer in place of a server.

    Args:
        text: What it is for.
    """
    return click.option("--object-info", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=text)


def refuse_both(server: str | None, object_info: Path | None) -> None:
    """Make sure that not both a server and a saved answer are given."""
    if server is not None and object_info is not None:
        raise click.UsageError("--server and --object-info exclude each other")


def servers_option(command: _Command) -> _Command:
    """Add ``--server``, which may be given several times, with ``--cacert`` and ``--insecure``."""
    command = certificate_options(command)
    text = f"{_SERVER}, which starts one here; repeatable."
    return click.option("--server", "servers", multiple=True, metavar="URL", help=text)(command)


def credentials_options(command: _Command) -> _Command:
    """Add ``--server`` as the commands on run folders take it, which know the URLs of servers but not their credentials."""
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


def limit_options(command: _Command) -> _Command:
    """Add the axis and the limits of a suggestion; each limit is named as a field of `Limits`."""
    command = click.option(
        "--max-colour-shift",
        "colour_shift",
        type=click.FloatRange(0),
        metavar="DISTANCE",
        help="The most that the mean colour may move (4; 2.3 is just visible).",
    )(command)
    command = click.option(
        "--max-local-drift",
        "local_drift",
        type=click.FloatRange(0, 2),
        metavar="DRIFT",
        help="The most that any region may drift (0.65).",
    )(command)
    command = click.option(
        "--max-drift",
        "drift",
        type=click.FloatRange(0, 2),
        metavar="DRIFT",
        help="The most that a picture may drift from its original (0.3).",
    )(command)
    return click.option("--axis", metavar="FIELD", help="The swept field to choose a value of (upscale.denoise).")(command)


def limits_of(given: Mapping[str, float | None]) -> Limits:
    """Return the limits that `limit_options` has taken; those that were not given are the usual ones."""
    from comfy_runner import api

    return api.Limits(**{name: value for name, value in given.items() if value is not None})


def chosen_server(config: Config, *, server: str | None, cacert: Path | None, insecure: bool) -> ServerConfig:
    """Return the server that the command line names, with what it says about certificates."""
    return with_certificates([config.find_server(server)], cacert=cacert, insecure=insecure)[0]


def chosen_servers(
    config: Config, *, servers: Sequence[str | ServerConfig], cacert: Path | None, insecure: bool
) -> tuple[ServerConfig, ...]:
    """Return the servers that the command line names, or else the fleet, with what it says about certificates.

    Raises:
        UsageError: Two of them are the same server.
    """
    return with_certificates(config.find_servers(servers), cacert=cacert, insecure=insecure)


def certificate_options(command: _Command) -> _Command:
    """Add ``--cacert`` and ``--insecure``."""
    command = click.option("--insecure", is_flag=True, help="Do not check the server's certificate.")(command)
    return click.option(
        "--cacert",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="The certificate that signs the server's.",
    )(command)


def with_certificates(servers: Iterable[ServerConfig], *, cacert: Path | None, insecure: bool) -> tuple[ServerConfig, ...]:
    """Return servers with what the command line says about certificates."""
    found = tuple(
        server.model_copy(update={"cacert": cacert or server.cacert, "insecure": insecure or server.insecure}) for server in servers
    )
    for server in found:
        if server.insecure:
            say(f"warning: the certificate of {server.place} is not checked")
    return found
