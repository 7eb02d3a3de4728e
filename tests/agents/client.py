"""A client of the MCP server, by the official SDK: what an agent's program is to it.

``python -m tests.agents.client FOLDER SERVER RECIPE`` begins a run, says so, and stays there until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent

ENVIRONMENT = {"COMFY_RUNNER_CONFIG": os.devnull, "COMFY_RUNNER_REPORT": "0"}
_UNTIL_ENDED = 60


@asynccontextmanager
async def connected(folder: Path, *options: str) -> AsyncIterator[Client]:
    """Yield a client of a server over stdio that works in a folder."""
    args = ["-m", "comfy_runner", "mcp", "--folder", str(folder), *options]
    async with Client(stdio_client(StdioServerParameters(command=sys.executable, args=args, env=ENVIRONMENT))) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return what a tool says, which must not be an error."""
    found = await client.call_tool(tool, arguments)
    assert not found.is_error, said(found)
    told = json.loads(said(found))
    assert isinstance(told, dict)
    return told


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """Return the error that a tool answers with."""
    found = await client.call_tool(tool, arguments)
    assert found.is_error, said(found)
    return said(found)


async def ended(client: Client, folder: str) -> tuple[dict[str, Any], list[float | None]]:
    """Return the status of a run when it has ended, and of how many jobs each notification on the way told."""
    totals: list[float | None] = []

    async def follow(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - the SDK's names
        totals.append(total)

    found = await client.call_tool("status", {"folder": folder, "wait_seconds": _UNTIL_ENDED}, progress_callback=follow)
    told = json.loads(said(found))
    assert isinstance(told, dict)
    return told, totals


def said(found: CallToolResult) -> str:
    """Return the first text of an answer."""
    return next(part.text for part in found.content if isinstance(part, TextContent))


async def _begin(folder: str, server: str, recipe: str) -> None:
    async with connected(Path(folder), "--server", server) as client:
        await call(client, "run", recipe=recipe)
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_begin(*sys.argv[1:]))
