"""``comfy-runner mcp``: the tools of this program for agents, over stdio or HTTP (docs/agents.md)."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

import click

from comfy_runner.cli.options import LocalPath, max_cost_option
from comfy_runner.cli.output import say
from comfy_runner.errors import UsageError
from comfy_runner.text_files import reason_of

_ENDING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else []))
_EXTRA = "pip install 'comfy-runner[mcp]'"


@click.command()
@click.option(
    "--folder",
    type=LocalPath(file_okay=False, exists=True),
    required=True,
    metavar="DIR",
    help="The folder to work in: no path outside it is read or written.",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="URL",
    help="A URL, a name from the config file, or local; repeatable. Runs use no others.",
)
@click.option("--allow-paid", is_flag=True, help="Allow nodes that call paid services.")
@max_cost_option
@click.option(
    "--http",
    "port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve on this port of 127.0.0.1 instead of stdio; 0 for any free port.",
)
def mcp(folder: Path, *, servers: tuple[str, ...], allow_paid: bool, max_cost: float | None, port: int | None) -> None:
    """Serve tools to agents by the Model Context Protocol.

    They are recipes, describe, validate, plan, run, status, results, suggest and cancel. It speaks on stdin and stdout, and ends
    when stdin does. Runs are processes of their own, which go on without it.
    """
    if importlib.util.find_spec("mcp") is None:
        raise UsageError("the package mcp is not installed", hint=_EXTRA)
    from comfy_runner.agents.server import mcp_server
    from comfy_runner.agents.serving import serve_http
    from comfy_runner.agents.workplace import Workplace
    from comfy_runner.config import load_config

    config = load_config()
    config.find_servers(servers or None)  # what is wrong with them is told at once
    root = Path(os.path.realpath(folder))
    try:
        os.chdir(root)
    except OSError as error:
        raise UsageError(f"cannot be used: {reason_of(error)}", where="--folder") from error
    server = mcp_server(Workplace(root, servers, config, allows_paid=allow_paid, max_cost=max_cost))
    if port is None:
        # Its thread reads stdin, which nothing interrupts; there is nothing to clean up, since runs go on without it.
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        server.run("stdio")
    else:
        serve_http(server, port, say=say)
