"""From what the user says of a server to a client for it; ``local`` is set up and started when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from comfy_runner.config import LOCAL, Config, ServerConfig
from comfy_runner.engine.comfyui.address import Address, parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.errors import UsageError
from comfy_runner.running.probe import Door

if TYPE_CHECKING:
    from comfy_runner.engine.local import LocalOptions

__all__ = ["LOCAL", "connect", "connect_all", "enlist", "local_options", "refuse_bad_addresses"]

Given = str | ServerConfig | Sequence[str | ServerConfig] | None
"""Servers as a caller gives them: one, several, or None for those of the settings."""


def connect(server: str | ServerConfig | None, config: Config, *, say: Callable[[str], None] | None = None) -> ComfyHttp:
    """Return a client for a server, which is not asked anything yet; ``local`` is set up and started when needed.

    Raises:
        UsageError: The address or its certificate is wrong.
        LocalError: The local ComfyUI cannot be set up or started.
    """
    found = config.find_server(server)
    if found.url == LOCAL:
        return ComfyHttp(parse_address(_local_url(config, say or (lambda _sentence: None))))
    return ComfyHttp(_address(found))


def connect_all(servers: Given, config: Config, *, say: Callable[[str], None] | None = None) -> list[Door]:
    """Return the servers of a run, which are not asked anything yet; ``local`` is set up and started when needed.

    Args:
        servers: The servers; None for those of the settings.
        config: Settings.
        say: Takes sentences about slow preparations.

    Raises:
        UsageError: An address or a certificate is wrong, or two of them are the same server.
        LocalError: The local ComfyUI cannot be set up or started.
    """
    doors = [_door(server, connect(server, config, say=say)) for server in config.find_servers(servers)]
    known = [name for door in doors for name in dict.fromkeys((door.name, door.url))]
    twice = next((name for number, name in enumerate(known) if name in known[:number]), None)
    if twice is not None:
        raise UsageError(f"a server is given twice (got {twice})", hint="give each server once")
    return doors


def enlist(server: str, config: Config, given: Given) -> Door:
    """Return a server that is to be added to a live run, or drained, by what somebody who can write into its folder calls it.

    So credentials go only to servers that the settings, or the run's own command line, name.

    Raises:
        UsageError: The address is wrong, or is ``local``.
    """
    if server == LOCAL and not config.servers.get(LOCAL):
        raise UsageError("a local ComfyUI is not started in a live run", hint="comfy-runner local start, then give its URL")
    known = [*config.known_servers(), *config.find_servers(given)]
    asked = config.servers[server] if server in config.servers else ServerConfig(url=server)
    found = next((each for each in known if server == each.name or (each.url != LOCAL and each.place == asked.place)), asked)
    return _door(found, ComfyHttp(_address(found)))


def refuse_bad_addresses(servers: Given, config: Config) -> None:
    """Make sure of addresses before anything else is done: a mistyped one is a mistake also where nothing has to be rendered.

    Raises:
        UsageError: One, or its certificate, is wrong, or two are the same server.
    """
    for found in config.find_servers(servers):
        if found.url != LOCAL:
            _address(found)


def _door(server: ServerConfig, http: ComfyHttp) -> Door:
    return Door(server.name or http.address.url, http, server.in_flight)


def local_options(config: Config) -> LocalOptions:
    """Return the options of the managed local ComfyUI from the settings."""
    from comfy_runner.engine.local import LocalOptions, default_home  # only when a local ComfyUI is wanted

    return LocalOptions(
        home=config.local.home or default_home(),
        comfyui=config.local.comfyui,
        python=config.local.python,
        models=config.local.models,
        pip_args=config.local.pip_args,
    )


def _address(server: ServerConfig) -> Address:
    cacert = server.cacert
    if cacert is not None and not cacert.is_file():
        raise UsageError("no such file", where=str(cacert), hint="--cacert takes the file of a certificate in PEM format")
    return parse_address(
        server.url,
        headers=server.headers,
        query=server.query,
        cacert=str(cacert or ""),
        insecure=server.insecure,
    )


def _local_url(config: Config, say: Callable[[str], None]) -> str:
    from comfy_runner.engine.local import start

    return start(local_options(config), say=say).url
