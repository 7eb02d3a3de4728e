"""``--notify``: somebody is told when a run ends, or needs somebody. What does not arrive is a warning, and no more."""

from __future__ import annotations

import functools
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from comfy_runner.cli.closing import last_line
from comfy_runner.cli.output import print_notes
from comfy_runner.errors import ComfyRunnerError, InputError, Note
from comfy_runner.notification import SECONDS, Notice, check_target, tell
from comfy_runner.text_files import url_of

if TYPE_CHECKING:
    from comfy_runner.cli.options import NamedServers
    from comfy_runner.running.events import Event, JobResult

_Command = TypeVar("_Command", bound=Callable[..., Any])


def notify_option(command: _Command) -> _Command:
    """Add ``--notify``; the command gets it as a `Notifier`, which also tells of an error that the command ends with."""

    @functools.wraps(command)
    def call(*, notify: str | None, servers: NamedServers, dry_run: bool, **given: Any) -> Any:
        target = "" if dry_run else servers.config.notify if notify is None else notify
        notifier = Notifier(target, where=servers.config.where("notify") if notify is None else "--notify")
        try:
            return command(notifier=notifier, servers=servers, dry_run=dry_run, **given)
        except InputError:
            raise  # nothing was begun, by somebody who is there
        except ComfyRunnerError as error:
            notifier.failed(error)
            raise

    text = "Send a message at the end, or if all servers are lost: POST to a URL, or call a command (docs/runs.md)."
    return click.option("--notify", metavar="URL|COMMAND", help=text)(cast(_Command, call))


class Notifier:
    """Follows a run, and sends messages about it.

    Args:
        target: A URL or a command; empty for nobody.
        where: The option or the setting that says so.

    Raises:
        UsageError: It is neither.
    """

    def __init__(self, target: str, *, where: str) -> None:
        self._target, self._run, self._lost = target, "", False
        self._servers: dict[str, bool] = {}  # whether each takes part
        self._telling: list[threading.Thread] = []
        self._faults: list[ComfyRunnerError] = []
        if target:
            check_target(target, where=where)

    def follow(self, event: Event) -> None:
        """Take an event of the run; where no server is left, that is told while the run goes on."""
        from comfy_runner.running.events import RunStarted, ServerChanged

        if isinstance(event, RunStarted):
            self._run = _place(event.folder)
            self._servers = dict.fromkeys(event.servers, True)
        elif isinstance(event, ServerChanged):
            self._servers[event.server] = event.stage in ("back", "joined")
            if any(self._servers.values()):
                self._lost = False
            elif event.stage == "out" and not self._lost:
                self._lost = True
                self._tell(Notice("servers-lost", "none of the servers answers; the run waits for one", self._run))

    def ended(self, folder: Path, results: Sequence[JobResult], seconds: float, code: int, page: Path | None) -> None:
        """Tell that the run has ended, and wait until it is told.

        Args:
            folder: The run folder.
            results: Of its jobs.
            seconds: How long it took.
            code: What the command ends with.
            page: The report; None where there is none.
        """
        if not self._target:
            return
        counts = Counter(str(result.state) for result in results)
        text = f"{_place(folder)}: {last_line(results, seconds)}" if results else f"{_place(folder)}: no jobs"
        self._tell(Notice("ended", text, _place(folder), dict(counts), code, "" if page is None else _place(page)))
        self._wait()

    def failed(self, error: ComfyRunnerError) -> None:
        """Tell that the run could not begin, or broke off, and wait until it is told."""
        self._tell(Notice("failed", str(error.problems[0]), self._run, exit_code=error.exit_code))
        self._wait()

    def _tell(self, notice: Notice) -> None:
        def told() -> None:
            try:
                tell(self._target, notice, environment=os.environ)
            except ComfyRunnerError as error:
                self._faults.append(error)

        if self._target:
            self._telling.append(threading.Thread(target=told, daemon=True))
            self._telling[-1].start()

    def _wait(self) -> None:
        for thread in self._telling:
            thread.join(SECONDS + 1)
        said = dict.fromkeys(str(problem) for fault in self._faults for problem in fault.problems)
        print_notes(Note(f"the notification failed: {sentence}") for sentence in said)


def _place(path: Path) -> str:
    try:
        return url_of(path) or str(path.absolute())
    except FileNotFoundError:  # the current folder is gone, which is a fault of the run's own
        return str(path)
