"""The loopback side of a local server: is a port taken, which one is free, does ComfyUI answer there, and is it ours.

These questions are asked before there is a server to work with, so they do without its client (`engine.comfyui.client`).
"""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Final

from comfy_runner.errors import LocalError

HOST: Final = "127.0.0.1"


def url_of(port: int) -> str:
    """Return the URL of a server on this machine."""
    return f"http://{HOST}:{port}"


def is_taken(port: int) -> bool:
    """Tell whether something listens on a port of 127.0.0.1, or the system keeps us from listening there."""
    with socket.socket() as asking:
        asking.settimeout(1.0)
        if asking.connect_ex((HOST, port)) == 0:
            return True
    with socket.socket() as trying:
        # As the server does: connections that a former server left behind do not count.
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind((HOST, port))
        except OSError:
            return True
    return False


def choose_port(wanted: int | None, *, remembered: int | None) -> int:
    """Return the port for a new server.

    Args:
        wanted: The port that the user asks for; None for any.
        remembered: The port used last time, taken again if it is free.

    Raises:
        LocalError: If the wanted port is taken.
    """
    if wanted is not None:
        if is_taken(wanted):
            raise LocalError(
                f"port is taken by another program (got {wanted})",
                where=url_of(wanted),
                hint="choose another port, or none to get a free one",
            )
        return wanted
    if remembered is not None and not is_taken(remembered):
        return remembered
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def answers(port: int, *, folder: Path, timeout: float) -> bool:
    """Tell whether the ComfyUI of an instance answers on a port.

    Args:
        port: Where to ask.
        folder: The instance's folder. A server that says how it was started, as ComfyUI does, must know of it.
        timeout: Seconds to wait for the answer.
    """
    # Not an HTTP library: those obey proxy settings, and no proxy has a way to this machine's loopback.
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET", "/system_stats")
        response = connection.getresponse()
        stats = json.loads(response.read()) if response.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    system = stats.get("system") if isinstance(stats, dict) else None
    if not isinstance(system, dict):
        return False
    words = system.get("argv")
    return not isinstance(words, list) or any(str(word).startswith(str(folder)) for word in words)
