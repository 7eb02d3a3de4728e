"""Engines of servers that a run folder names by the URL that it recorded.

A run folder may come from anywhere. So credentials go only to servers that the user names: on the command line, in the config file,
as the default server. Others are asked without any.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence

from comfy_runner.config import LOCAL, Config, ServerConfig
from comfy_runner.engine.interface import Engine
from comfy_runner.engine.registry import connect
from comfy_runner.errors import ComfyRunnerError, RunFolderError, UsageError


def recorded_engines(
    urls: Collection[str],
    named: Sequence[str | ServerConfig],
    config: Config,
    *,
    say: Callable[[str], None] | None = None,
) -> dict[str, Engine]:
    """Return an engine for each URL; no server is asked anything yet.

    Args:
        urls: As `Address.url` gives them.
        named: Servers that the user names for this: names, URLs, or all about them; ``local`` is started when it is needed.
        config: Settings, for all other servers that the user knows.
        say: Takes sentences about slow preparations.

    Raises:
        UsageError: The address or the certificate of a named server is wrong.
        LocalError: The local ComfyUI is named and cannot be started.
        RunFolderError: A URL is none.
    """
    if not urls:
        return {}
    given = [connect(server, config, say=say) for server in named]
    known = [engine for server in config.known_servers() for engine in _engine(server, config)]
    found = {engine.url: engine for engine in reversed([*given, *known])}
    return {url: found.get(url) or _without_credentials(url, config) for url in urls}


def _engine(server: ServerConfig, config: Config) -> list[Engine]:
    # A mistake in the config file about a server that is not wanted here keeps nobody from anything.
    with contextlib.suppress(ComfyRunnerError):
        return [] if server.url == LOCAL else [connect(server, config)]
    return []


def _without_credentials(url: str, config: Config) -> Engine:
    try:
        # Not even `local`, which would start one.
        if "://" not in url:
            raise UsageError("not a URL")
        return connect(ServerConfig(url=url), config)
    except UsageError as error:
        raise RunFolderError(f"the run folder names an impossible server (got {url!r})") from error
