"""From what the user says of a server to a client for it; ``local`` is set up and started when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from comfy_runner.comfyui.address import Address, parse_address
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.config import Config, ServerConfig
from comfy_runner.errors import UsageError

if TYPE_CHECKING:
    from comfy_runner.comfyui.local import LocalOptions

LOCAL = "local"


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


def refuse_bad_address(server: str | ServerConfig | None, config: Config) -> None:
    """Make sure of an address before anything else is done: a mistyped one is a mistake also where nothing has to be rendered.

    Raises:
        UsageError: It, or its certificate, is wrong.
    """
    found = config.find_server(server)
    if found.url != LOCAL:
        _address(found)


def local_options(config: Config) -> LocalOptions:
    """Return the options of the managed local ComfyUI from the settings."""
    from comfy_runner.comfyui.local import LocalOptions, default_home  # only when a local ComfyUI is wanted

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
    from comfy_runner.comfyui.local import start

    return start(local_options(config), say=say).url
