"""What servers have printed that a run has started itself, as those of its actors on Ray: kept in its folder on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from comfy_runner.engine.local.state_files import tail
from comfy_runner.errors import UsageError
from comfy_runner.recipe.names import slug
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import SERVER_LOGS
from comfy_runner.store.status import require_run
from comfy_runner.text_files import shown
from comfy_runner.wording import did_you_mean


@dataclass(frozen=True, slots=True)
class ServerLog:
    """The end of a server's log.

    Attributes:
        name: What its file is called: the server's name in lower case, with dashes.
        text: Its last lines.
    """

    name: str
    text: str


def server_logs(path: Path | str, server: str = "", *, lines: int = 50) -> tuple[ServerLog, ...]:
    """Return the ends of the logs of a run's servers, in the order of their names.

    Args:
        path: The run folder; of one at a URL, what this machine has of it.
        server: The only one that is wanted, as the run calls it; empty for all.
        lines: How many of its last lines, of each.

    Raises:
        RunFolderError: It is no run folder.
        UsageError: There are none, or none of this name.
    """
    folder = local_part(path)
    require_run(folder)
    logs = {log.stem: log for log in sorted((folder / SERVER_LOGS).glob("*.log"))}
    if not logs:
        raise UsageError("has no server logs", where=shown(folder), hint="only runs on Ray (docs/ray.md) start their own servers")
    name = slug(server)
    if server and name not in logs:
        raise UsageError(f"has no log of this server (got {server})", where=shown(folder), hint=did_you_mean(name, logs))
    return tuple(ServerLog(each, tail(log, lines=lines)) for each, log in logs.items() if not server or each == name)
