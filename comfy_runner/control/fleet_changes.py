"""Changing which servers a live run uses, from outside: it is asked to, and says what became of it."""

from __future__ import annotations

import time
from pathlib import Path

from comfy_runner.config import harmless
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.store.control_files import FleetAction, answer_to, request_fleet, withdraw
from comfy_runner.store.local import folder_errors
from comfy_runner.store.lock import holder
from comfy_runner.store.refresh import require_reachable
from comfy_runner.store.registry import local_part
from comfy_runner.store.status import require_run
from comfy_runner.text_files import shown

WAIT_SECONDS = 30.0
"""How long a live run may take to answer."""

_POLL_SECONDS = 0.1


def change_fleet(path: Path | str, action: FleetAction, server: str, *, seconds: float = WAIT_SECONDS) -> None:
    """Have a live run use a server too, or give one nothing more; returns once the run has taken note.

    A server that is added gets work as soon as it answers; one that is drained finishes what it has.

    Args:
        path: The run folder.
        action: ``add`` or ``drain``.
        server: Its URL, or its name in the config file of the run's user.
        seconds: How long to wait for the run.

    Raises:
        UsageError: The run does not know such a server, its address is wrong, or there is a password or a token in it.
        RunFolderError: It is no run folder, nobody works in it, or who does so is on another machine, or does not answer.
    """
    folder = local_part(path)
    if harmless(server) != server:
        what = f"a password or a token is never written to a run folder (got one for {harmless(server)})"
        hint = "the run takes it from its own command line or config file: give the URL without it, or a name from that file"
        raise UsageError(what, hint=hint)
    require_reachable(folder)
    require_run(folder)
    if holder(folder) is None:
        hint = "start one with several servers: comfy-runner run RECIPE --server URL --server URL"
        raise RunFolderError("no run is active in it", where=shown(folder), hint=hint)
    with folder_errors(folder):
        request = request_fleet(folder, action, server)
    until = time.monotonic() + seconds
    try:
        while (answer := answer_to(request)) is None:
            if holder(folder) is None:
                raise RunFolderError("the run ended before it took note", where=shown(folder))
            if time.monotonic() > until:
                what = f"the run was asked, but does not answer (waited {seconds:g} s)"
                raise RunFolderError(what, where=shown(folder), hint="it may not have begun yet: run the same command again")
            time.sleep(_POLL_SECONDS)
    finally:
        withdraw(request)
    if answer:
        raise UsageError(answer, hint=f"comfy-runner fleet {action} RUN takes a URL, or a name from the config file")
