"""Serving the tools over HTTP: on this machine's loopback, at an address that nobody guesses."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

import uvicorn
from mcp.server.mcpserver import MCPServer

from comfy_runner.errors import UsageError
from comfy_runner.text_files import reason_of

_LOOPBACK = "127.0.0.1"
_GRACE_SECONDS = 1


def serve_http(server: MCPServer, port: int, *, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. Requests by names that others could have resolve to this machine are refused by the SDK.

    Args:
        server: The server.
        port: The port; 0 for any that is free.
        say: Takes the address, once it is listened on.

    Raises:
        UsageError: Nothing can listen there.
    """
    try:
        listening = socket.create_server((_LOOPBACK, port))
    except OSError as error:
        where, hint = f"{_LOOPBACK}:{port}", "choose another --http PORT"
        raise UsageError(f"cannot be used for listening ({reason_of(error)})", where=where, hint=hint) from error
    # Others of this machine can reach the port: only who knows the address is served.
    path = f"/{secrets.token_urlsafe(32)}/mcp"
    with listening:
        app = server.streamable_http_app(streamable_http_path=path, host=_LOOPBACK)
        config = uvicorn.Config(
            app, log_config=None, log_level="critical", access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS
        )
        say(f"mcp: http://{_LOOPBACK}:{listening.getsockname()[1]}{path}")
        uvicorn.Server(config).run([listening])
