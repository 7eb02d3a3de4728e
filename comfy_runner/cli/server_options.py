"""Options that name servers, and the servers that a command line means by them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.output import say

if TYPE_CHECKING:
    from comfy_runner.config import Config, ServerConfig

_Command = Callable[..., Any]
_SERVER = "A URL, a name from the config file, or local"


@dataclass(frozen=True)
class NamedServers:
    """The servers that a command line names, what it says about their certificates, and the settings that they are looked up in.

    Attributes:
        names: URLs, names from the config file, ``local``; empty where none is named.
        cacert: The certificate that signs theirs; None where that is not said.
        insecure: Whether their certificates are not checked.
    """

    names: tuple[str, ...]
    cacert: Path | None
    insecure: bool

    @functools.cached_property
    def config(self) -> Config:
        """The user's settings."""
        from comfy_runner.config import load_config

        return load_config()

    def one(self) -> ServerConfig:
        """Return the server that is named, or else the default one."""
        return self._certified([self.config.find_server(self.names[0] if self.names else None)])[0]

    def fleet(self) -> tuple[ServerConfig, ...]:
        """Return the servers that are named, or else those that the settings use.

        Raises:
            UsageError: Two of them are the same server.
        """
        return self._certified(self.config.find_servers(self.names))

    def known(self) -> tuple[ServerConfig, ...]:
        """Return all servers of the settings, whether they are used or not."""
        return self._certified(self.config.known_servers())

    def named(self) -> tuple[ServerConfig, ...]:
        """Return the servers that are named, and no others."""
        return self._certified([self.config.find_server(name) for name in self.names])

    def refuse_beside(self, object_info: Path | None) -> None:
        """Make sure that not both a server and a saved answer are given.

        Raises:
            UsageError: Of click: both are.
        """
        if self.names and object_info is not None:
            raise click.UsageError("--server and --object-info exclude each other")

    def _certified(self, servers: Iterable[ServerConfig]) -> tuple[ServerConfig, ...]:
        found = tuple(
            server.model_copy(update={"cacert": self.cacert or server.cacert, "insecure": self.insecure or server.insecure})
            for server in servers
        )
        for server in found:
            if server.insecure:
                say(f"warning: the certificate of {server.place} is not checked")
        return found


def server_option(command: _Command) -> _Command:
    """Add ``--server``, which names one, with ``--cacert`` and ``--insecure``."""
    return _server_options(command, f"{_SERVER}, which starts one here.", several=False)


def servers_option(text: str = f"{_SERVER}, which starts one here; repeatable.") -> Callable[[_Command], _Command]:
    """Add ``--server``, which may be given several times, with ``--cacert`` and ``--insecure``.

    Args:
        text: What the help says of ``--server``.
    """
    return lambda command: _server_options(command, text, several=True)


def object_info_option(text: str) -> Callable[[_Command], _Command]:
    """Add ``--object-info``: a saved answer in place of a server.

    Args:
        text: What it is for.
    """
    return click.option("--object-info", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=text)


def _server_options(command: _Command, text: str, *, several: bool) -> _Command:
    """Add the options to a command; it gets them as one argument, ``servers``, a `NamedServers`."""

    @functools.wraps(command)
    def call(*, server: Any, cacert: Path | None, insecure: bool, **given: Any) -> Any:
        names = server if several else () if server is None else (server,)
        return command(servers=NamedServers(names, cacert, insecure), **given)

    call = click.option("--insecure", is_flag=True, help="Do not check the server's certificate.")(call)
    certificate = click.Path(path_type=Path, dir_okay=False, exists=True)
    call = click.option("--cacert", type=certificate, metavar="FILE", help="The certificate that signs the server's.")(call)
    return click.option("--server", multiple=several, metavar="URL", help=text)(call)
