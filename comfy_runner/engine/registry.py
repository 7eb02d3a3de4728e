"""Connects to the servers that the user names; the scheme of the address decides which kind of engine is used.

An address with ``http``, ``https`` or no scheme is the URL of a ComfyUI. ``local`` is a ComfyUI that is installed and started on
this machine when it is needed. ``ray`` is the scheme that ledgers use for the Ray actors of a run, which ended with the run.
Installed packages add schemes as entry points of the group ``comfy_runner.engines``: for the scheme ``farm``, a package writes
``farm = "my_package:connect"`` under ``[project.entry-points."comfy_runner.engines"]``, where `connect` is a `Connect`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from comfy_runner.config import LOCAL, Config, ServerConfig, ca_bundle
from comfy_runner.engine.comfyui.address import Address, is_loopback, parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.cloud import HOST, CloudHttp
from comfy_runner.engine.comfyui.engine import ComfyUIEngine
from comfy_runner.engine.interface import NO_KEY, Engine, NamedEngine
from comfy_runner.engine.ray_actors.ended import SCHEME, EndedActor
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.engine.waiting import wait_until_up
from comfy_runner.errors import LocalError, UsageError
from comfy_runner.plugins import plugins

if TYPE_CHECKING:
    from comfy_runner.engine.local import LocalOptions

GROUP: Final = "comfy_runner.engines"

Given = str | ServerConfig | Sequence[str | ServerConfig] | None
"""Servers as a caller gives them: one, several, or None for the servers in the settings."""


class Connect(Protocol):
    """Makes engines of one scheme."""

    def __call__(self, server: ServerConfig, *, requests: RequestTimeouts | None = None) -> Engine:
        """Return the engine at an address, without sending it a request.

        Args:
            server: The address, with its credentials and certificate.
            requests: The time limits of a single request; None for the defaults.

        Raises:
            UsageError: The address is not valid.
        """
        ...


def connect(
    server: str | ServerConfig | None,
    config: Config,
    *,
    say: Callable[[str], None] | None = None,
    start: bool = True,
    requests: RequestTimeouts | None = None,
) -> Engine:
    """Return the engine of a server, without sending it a request.

    Args:
        server: A URL, a name from the settings, ``local``, or the settings of one server; None for the server in the settings.
        config: The settings.
        say: Receives sentences about slow preparations.
        start: Whether to install and start ``local`` if it is not running.
        requests: The time limits of a single request; None for the defaults.

    Raises:
        UsageError: The address or its certificate is wrong.
        LocalError: The local ComfyUI cannot be installed or started, or it is not running and `start` is false.
    """
    found = config.find_server(server)
    if found.url == LOCAL:
        url = _started(config, say or (lambda _sentence: None)) if start else _running(config)
        return ComfyUIEngine(ComfyHttp(parse_address(url), timeouts=requests, api_key=_key(found, config)))
    scheme = found.url.strip().partition("://")[0].lower() if "://" in found.url else "http"
    if scheme == SCHEME:
        return EndedActor(found.url)
    make: Connect = (plugins(GROUP, "engine", only=scheme) if scheme not in ("http", "https") else {}).get(scheme, _comfyui)
    return make(found.model_copy(update={"comfy_api_key": _key(found, config)}), requests=requests)


def _comfyui(server: ServerConfig, *, requests: RequestTimeouts | None = None) -> Engine:
    address, key = _address(server), server.comfy_api_key or ""
    if server.cloud or urlsplit(address.url).hostname == HOST:
        if not key:
            raise UsageError("Comfy Cloud takes jobs only with an API key", where=address.url, hint=NO_KEY)
        return ComfyUIEngine(CloudHttp(address, timeouts=requests, api_key=key), url=address.url, has_websocket=False)
    return ComfyUIEngine(ComfyHttp(address, timeouts=requests, api_key=key))


def _key(server: ServerConfig, config: Config) -> str:
    """Return the API key to send to a server: its own, or the one in the settings if nobody on the way can read it."""
    if server.comfy_api_key is not None:
        return server.comfy_api_key
    return config.comfy_api_key if _is_private(server) else ""


def _is_private(server: ServerConfig) -> bool:
    if server.url == LOCAL:
        return True
    scheme = server.place.partition("://")[0]
    return (scheme == "https" and not server.insecure) or (scheme in ("http", "https") and is_loopback(server.place))


def _key_hint(server: ServerConfig, config: Config) -> str:
    """Return how the user gives a server an API key; empty if it has one."""
    if _key(server, config):
        return ""
    if not config.comfy_api_key or server.comfy_api_key is not None:
        return NO_KEY
    what = "whose certificate is not checked" if server.insecure else "without TLS"
    return f"yours is not sent {what}, unless the config file has comfy_api_key for this very server"


def connect_all(servers: Given, config: Config, *, say: Callable[[str], None] | None = None) -> list[NamedEngine]:
    """Return the engines of a run.

    This installs and starts ``local`` if necessary, and waits for the other servers as long as `Config.wait` allows.

    Args:
        servers: The servers; None for the servers in the settings.
        config: The settings.
        say: Receives sentences about slow preparations.

    Raises:
        UsageError: An address or a certificate is wrong, or two of them are the same server.
        LocalError: The local ComfyUI cannot be installed or started.
    """
    found = [_named(server, connect(server, config, say=say), config) for server in config.find_servers(servers)]
    known = [name for each in found for name in dict.fromkeys((each.name, each.engine.url))]
    twice = next((name for number, name in enumerate(known) if name in known[:number]), None)
    if twice is not None:
        raise UsageError(f"a server is given twice (got {twice})", hint="give each server once")
    wait_until_up([each.engine for each in found], config.wait, say=say)
    return found


def enlist(server: str, config: Config, given: Given) -> NamedEngine:
    """Return the server that a request in the run folder asks to add to a live run, or to drain.

    Anybody who can write into the run folder can name a server here. Credentials and the API key are therefore sent only to servers
    that the settings or the command line of the run name.

    Args:
        server: The server's name or address.
        config: The settings.
        given: The servers on the command line of the run.

    Raises:
        UsageError: The address is wrong, or is ``local``.
    """
    if server == LOCAL and not config.servers.get(LOCAL):
        raise UsageError("a local ComfyUI cannot be started during a live run", hint="comfy-runner local start, then give its URL")
    known = [*config.known_servers(), *config.find_servers(given)]
    asked = config.servers[server] if server in config.servers else ServerConfig(url=server, comfy_api_key="")
    found = next((each for each in known if server == each.name or (each.url != LOCAL and each.place == asked.place)), asked)
    return _named(found, connect(found, config, start=False), config)


class ModelProvider(Protocol):
    """Downloads the models that recipes name for the local ComfyUI."""

    def provide(self, engines: Sequence[NamedEngine]) -> None:
        """Download the models if the local ComfyUI is one of the engines."""
        ...

    def close(self) -> None:
        """Release the models, which are no longer used."""
        ...


class ServerSupply:
    """An `EngineSupply` of servers that are already running, and of the local one.

    Args:
        servers: The servers; None for the servers in the settings.
        config: The settings.
        models: Downloads models for the local ComfyUI; it is closed with the supply.
        say: Receives sentences about slow preparations; None to discard them.
    """

    def __init__(self, servers: Given, config: Config, *, models: ModelProvider, say: Callable[[str], None] | None = None) -> None:
        self._servers, self._config, self._models, self._say = servers, config, models, say

    def connect(self) -> list[NamedEngine]:
        """See `connect_all`; this also downloads the models that the local ComfyUI lacks."""
        found = connect_all(self._servers, self._config, say=self._say)
        self._models.provide(found)
        return found

    def newcomers(self) -> tuple[NamedEngine, ...]:
        """Return nothing, because servers join a live run only if somebody names them."""
        return ()

    def enlist(self, server: str) -> NamedEngine:
        """See `enlist`."""
        return enlist(server, self._config, self._servers)

    def close(self) -> None:
        """Release the models; the servers continue to run."""
        self._models.close()


def refuse_bad_addresses(servers: Given, config: Config) -> None:
    """Check the addresses of servers first, because a mistyped one is an error even if there is nothing to render.

    Raises:
        UsageError: An address or its certificate is wrong, or two of them are the same server.
    """
    for found in config.find_servers(servers):
        if found.url != LOCAL:
            connect(found, config)


def _named(server: ServerConfig, engine: Engine, config: Config) -> NamedEngine:
    return NamedEngine(server.name or engine.url, engine, server.in_flight, _key_hint(server, config))


def local_options(config: Config) -> LocalOptions:
    """Return the options for the managed local ComfyUI that the settings contain."""
    from comfy_runner.engine.local import LocalOptions, default_home  # only when a local ComfyUI is wanted

    return LocalOptions(
        home=config.local.home or default_home(),
        comfyui=config.local.comfyui,
        python=config.local.python,
        models=config.local.models,
        pip_args=config.local.pip_args,
    )


def local_url(config: Config) -> str:
    """Return the URL of the managed local ComfyUI; empty if it is not running."""
    from comfy_runner.engine.local import status

    return status(local_options(config)).url or ""


def _address(server: ServerConfig) -> Address:
    cacert = server.cacert
    if cacert is not None and not cacert.is_file():
        raise UsageError("no such file", where=str(cacert), hint="--cacert takes a certificate file in PEM format")
    return parse_address(
        server.url,
        headers=server.headers,
        query=server.query,
        cacert=str(cacert or ca_bundle()),
        insecure=server.insecure,
    )


def _started(config: Config, say: Callable[[str], None]) -> str:
    from comfy_runner.engine.local import start

    return start(local_options(config), say=say).url


def _running(config: Config) -> str:
    url = local_url(config)
    if not url:
        raise LocalError("not running", where=LOCAL, hint="comfy-runner local start starts it, and so does a run that needs it")
    return url
