"""Ending a run from outside: a live one is asked to end; what a dead one has left on servers is taken back.

Nothing that a server has finished is thrown away, and what belongs to others is not touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.control.recorded_servers import recorded_engines
from comfy_runner.engine.interface import NamedEngine
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import ComfyRunnerError, RunFolderError, ServerError, UsageError
from comfy_runner.graph.cost import StepTable
from comfy_runner.running.candidates import Candidate, Examiner
from comfy_runner.running.coordinator import Coordinator
from comfy_runner.running.messages import Cancel
from comfy_runner.running.policy import Policy
from comfy_runner.running.state import Work
from comfy_runner.store.control_files import clear_requests, request_cancel
from comfy_runner.store.local import folder_errors
from comfy_runner.store.lock import Holder, holder
from comfy_runner.store.refresh import require_reachable
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import State
from comfy_runner.store.status import require_run
from comfy_runner.text_files import shown
from comfy_runner.wording import counted

WAIT_SECONDS = 30.0
"""How long a live run may take to end, and a server to let go of a prompt."""

_WITH_CLOSING = 1.5  # a live run waits as long itself for its servers to let go, and has to end after that
_POLL_SECONDS = 0.1
_ASK_AGAIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What became of a run that was to end.

    Attributes:
        asked: The process that ran, and has ended on our request; None where none did.
        ended: How the jobs stand that were on servers without anybody following them, by job id.
        errors: Why others are left as they are.
    """

    asked: Holder | None
    ended: dict[str, State] = field(default_factory=dict)
    errors: tuple[ComfyRunnerError, ...] = ()


def cancel(
    path: Path | str,
    *,
    servers: Sequence[str | ServerConfig] = (),
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
    seconds: float = WAIT_SECONDS,
    timeouts: Timeouts | None = None,
) -> Cancellation:
    """End a run: its process, if there is one, and then what it has left on servers.

    Args:
        path: The run folder.
        servers: Servers that need credentials which the config file does not have; others are asked too.
        config: Settings; None for the user's own.
        say: Takes sentences about what goes on.
        seconds: How long a live run may take to end, and a server to let go of a prompt.
        timeouts: All other waiting for servers.

    Raises:
        RunFolderError: It is no run folder, it is live on another machine, its ledger is damaged, or its process does not end.
        UsageError: The address of a named server is wrong.
    """
    folder_path, tell = local_part(path), say or _nobody
    require_reachable(folder_path)
    require_run(folder_path)
    asked = _end_live_run(folder_path, tell, seconds * _WITH_CLOSING)
    folder = RunFolder(folder_path)
    ended: dict[str, State] = {}
    errors: list[ComfyRunnerError] = []
    try:
        submissions = folder.ledger.open_submissions()
        urls = list(dict.fromkeys(submission.server for submission in submissions))
        for url, engine in recorded_engines(urls, servers, config or load_config(), say=tell).items():
            ours = [submission for submission in submissions if submission.server == url]
            tell(f"{counted(len(ours), 'prompt')} of this run may be on {url}")
            try:
                engine.info()
            except ServerError as error:
                errors.append(error)
                continue
            # A run that has nothing to do but to take these back. Without a websocket: the server would tell of our progress the
            # process that is gone.
            coordinator = Coordinator(
                folder,
                Work((), StepTable(), open=ours),
                candidates=[Candidate(url, engine)],
                examiner=Examiner(()),
                supply=_NoMore(),
                emit=lambda _event: None,
                policy=Policy(websocket=False, timeouts=timeouts or Timeouts()),
                take_back=Cancel("cancelled", seconds),
            )
            coordinator.run()
            ended |= coordinator.ended
            errors += coordinator.kept
    finally:
        folder.close()
    return Cancellation(asked, ended, tuple(errors))


class _NoMore:
    """No engine joins where nothing is rendered."""

    def connect(self) -> Sequence[NamedEngine]:
        return ()

    def newcomers(self) -> Sequence[NamedEngine]:
        return ()

    def enlist(self, server: str) -> NamedEngine:
        raise UsageError("nothing is rendered here", where=server)

    def close(self) -> None:
        pass


def _end_live_run(path: Path, say: Callable[[str], None], seconds: float) -> Holder | None:
    """Ask the process that works in a run folder to end, and wait for that; return which it was."""
    live = holder(path)
    if live is None:
        return None
    say(f"asking {_name(live)} to end")
    until = time.monotonic() + seconds
    ask_at = time.monotonic()
    try:
        while _is_same(holder(path), live):
            now = time.monotonic()
            if now >= until:
                what = f"{_name(live)} was asked to end, but is still running (waited {seconds:g} s)"
                hint = "it may wait for its server: run the same command again, or end the process"
                raise RunFolderError(what, where=shown(path), hint=hint)
            if now >= ask_at:
                # A run that has just begun drops what was asked before.
                with folder_errors(path):
                    request_cancel(path)
                ask_at = now + _ASK_AGAIN_SECONDS
            time.sleep(_POLL_SECONDS)
    finally:
        clear_requests(path)
    return live


def _is_same(found: Holder | None, live: Holder) -> bool:
    # Who takes or releases the lock has no note beside it for an instant.
    return found is not None and (found == live or not found.pid or not live.pid)


def _name(live: Holder) -> str:
    return str(live) or "another comfy-runner"


def _nobody(_: str) -> None:
    """Take a sentence that nobody asked for."""
