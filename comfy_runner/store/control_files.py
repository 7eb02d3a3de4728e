"""What other processes ask of a live run: small files in its folder, which the run looks for every second.

A file works for every user of the folder, on every system and across machines, where a signal does not. A server is asked for by
what the user calls it, never with its credentials: those the run knows from its own config file.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from comfy_runner.atomic_files import open_plain, write_atomically

_CANCEL = ".cancel"
_FLEET = ".fleet-"
_ASKED, _ANSWERED = ".asked", ".answered"
_MOST_BYTES = 10_000

FleetAction = Literal["add", "drain"]
_ACTIONS: tuple[FleetAction, ...] = get_args(FleetAction)


@dataclass(frozen=True, slots=True)
class FleetRequest:
    """What a run is asked to do with a server.

    Attributes:
        path: The file that says so.
        action: Whether the server is to take part, or to get nothing more.
        server: What the user calls it.
    """

    path: Path
    action: FleetAction
    server: str


def request_cancel(folder: Path) -> None:
    """Ask the process that runs in this folder to end as Ctrl-C would make it.

    Raises:
        OSError: The folder cannot be written.
    """
    write_atomically(folder / _CANCEL, b"", durable=False)


def wants_cancel(folder: Path) -> bool:
    """Return whether the run is to end; told once."""
    try:
        (folder / _CANCEL).unlink()
    except OSError:
        return False
    return True


def request_fleet(folder: Path, action: FleetAction, server: str) -> FleetRequest:
    """Ask the process that runs in this folder to add or drain a server.

    Raises:
        OSError: The folder cannot be written.
    """
    request = FleetRequest(folder / f"{_FLEET}{uuid.uuid4()}{_ASKED}", action, server)
    write_atomically(request.path, json.dumps({"action": action, "server": server}).encode(), durable=False)
    return request


def fleet_requests(folder: Path) -> Iterator[FleetRequest]:
    """Yield what is asked of the run, each once; what is no such request is removed."""
    for path in _of_fleet(folder):
        if not path.name.endswith(_ASKED):
            continue
        found = _read(path)
        with contextlib.suppress(OSError):
            path.unlink()
        server = found.get("server")
        for action in _ACTIONS:
            if found.get("action") == action and isinstance(server, str):
                yield FleetRequest(path, action, server)


def answer(request: FleetRequest, error: str = "") -> None:
    """Tell the process that asked what became of it; nothing where the folder cannot be written.

    Args:
        request: What was asked.
        error: Why it is not done; empty where it is.
    """
    with contextlib.suppress(OSError):
        write_atomically(request.path.with_suffix(_ANSWERED), json.dumps({"error": error}).encode(), durable=False)


def answer_to(request: FleetRequest) -> str | None:
    """Return why a request was not done, empty where it was; None while it was not answered. Told once."""
    path = request.path.with_suffix(_ANSWERED)
    found = _read(path)
    if not found:
        return None
    withdraw(request)
    return str(found.get("error", ""))


def withdraw(request: FleetRequest) -> None:
    """Ask for it no longer."""
    for path in (request.path, request.path.with_suffix(_ANSWERED)):
        with contextlib.suppress(OSError):
            path.unlink()


def clear_requests(folder: Path) -> None:
    """Remove what was asked of an earlier run."""
    for path in (folder / _CANCEL, *_of_fleet(folder)):
        with contextlib.suppress(OSError):
            path.unlink()


def _of_fleet(folder: Path) -> list[Path]:
    """Return the files of requests and answers; none where the folder cannot be read, since somebody has just moved it."""
    with contextlib.suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.name.startswith(_FLEET))
    return []


def _read(path: Path) -> dict[str, Any]:
    try:
        with open_plain(path) as file:
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
