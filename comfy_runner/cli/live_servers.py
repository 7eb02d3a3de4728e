"""The live view of a run on several servers: a line for each of them. The lines that go above it are in `follow`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from comfy_runner.cli.formatting import short_names
from comfy_runner.cli.output import clean
from comfy_runner.running import events
from comfy_runner.wording import counted

_OTHER_LINES = 4  # the bar of all jobs, the line for what does not fit, the one that is printed above, the cursor's
_WIDEST_DOING = 32
_PERCENT = 4
_SHORTEST_BAR = 5


@dataclass(slots=True)
class _Job:
    doing: str = "submitted"
    fraction: float = 0.0


@dataclass(slots=True)
class _Server:
    """What is known of a server: its jobs in the order in which it took them, the one that runs, and why it is left alone."""

    name: str
    jobs: dict[str, _Job] = field(default_factory=dict)
    running: str = ""
    done: int = 0
    stage: str = "up"
    reason: str = ""
    until: float = 0.0

    @property
    def current(self) -> str:
        """Return the job that runs; empty where there is none."""
        return self.running if self.running in self.jobs else next(iter(self.jobs), "")

    def mark(self, now: float) -> str:
        """Return the words that stand in place of a job; empty where there is a job."""
        if self.stage == "out":
            return out_of_order(self.reason, self.until - now)
        return "" if self.jobs else "idle"

    @property
    def count(self) -> str:
        """Return how many jobs it has done, and whether it gets more."""
        return f"{self.done} done{', draining' if self.stage == 'draining' else ''}"


class ServerLines:
    """A line for each server of a run, with what it does now; it can be printed while another thread follows the run.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._servers: dict[str, _Server] = {}
        self._server_of: dict[str, _Server] = {}
        self._lock = Lock()

    def follow(self, event: events.Event) -> None:
        """Take an event of the run."""
        with self._lock:
            match event:
                case events.RunStarted():
                    for name in event.servers:
                        self._server(name)
                case events.ServerChanged():
                    self._changed(event)
                case events.JobSubmitted(job_id, _, name):
                    self._remove(job_id)
                    server = self._server_of[job_id] = self._server(name)
                    server.jobs[job_id] = _Job()
                case events.JobWaiting(job_id, ahead) if job_id in self._server_of:
                    self._server_of[job_id].jobs[job_id].doing = f"waits behind {ahead}"
                case events.JobProgressed(job_id, node, step, steps, fraction) if job_id in self._server_of:
                    server = self._server_of[job_id]
                    server.running, server.jobs[job_id] = job_id, _Job(worked_on(node, step, steps), fraction)
                case events.JobRetried(job_id):
                    self._remove(job_id)
                case events.JobFinished(result):
                    self._remove(result.job_id)
                    if result.server and result.state == "done":
                        self._server(result.server).done += 1

    def _server(self, name: str) -> _Server:
        return self._servers.setdefault(name, _Server(name))

    def _changed(self, event: events.ServerChanged) -> None:
        server = self._server(event.server)
        server.stage = event.stage if event.stage in ("out", "draining") else "up"
        if event.stage == "out":
            server.reason, server.until = reason(event), self._clock() + event.seconds
            for job_id in list(server.jobs):  # others do them
                self._remove(job_id)

    def _remove(self, job_id: str) -> None:
        server = self._server_of.pop(job_id, None)
        if server is not None:
            del server.jobs[job_id]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            # A server that is drained goes when it has nothing more to do.
            servers = [server for server in self._servers.values() if server.jobs or server.stage != "draining"]
            room = max(1, console.height - _OTHER_LINES)
            shown, hidden = servers[:room], servers[room:]
            names = short_names([clean(server.name) for server in shown])
            name_width = max(map(len, names.values()), default=0)
            count_width = max((len(server.count) for server in shown), default=0)
            width = max(1, options.max_width - name_width - count_width - 2)
            lines: list[Table | Text] = []
            for server in shown:
                line = _grid(name_width, width, count_width)
                line.add_row(_cell(names[clean(server.name)]), self._middle(server, width), _cell(server.count))
                lines.append(line)
            if hidden:
                running = sum(bool(server.jobs) for server in hidden)
                lines.append(_cell(f"and {counted(len(hidden), 'more server')}: {running} running"))
        yield from lines

    def _middle(self, server: _Server, width: int) -> Table | Text:
        mark = server.mark(self._clock())
        if mark:
            return _cell(mark)
        # Of fixed widths, so that nothing jumps when the next job has a longer name.
        rest = max(4, width - _PERCENT - 3)
        job_width, doing_width = rest * 2 // 5, min(rest * 2 // 5, _WIDEST_DOING)
        bar_width = rest - job_width - doing_width
        bars = [bar_width]
        if bar_width < _SHORTEST_BAR:
            job_width, doing_width, bars = (rest + 1) // 2, rest // 2 + 1, []
        job_id = server.current
        job = server.jobs[job_id]
        grid = _grid(job_width, *bars, _PERCENT, doing_width)
        shown = [ProgressBar(total=1.0, completed=job.fraction, width=bar) for bar in bars]
        grid.add_row(_cell(shortened(clean(job_id), job_width)), *shown, _cell(f"{job.fraction:>4.0%}"), _cell(job.doing))
        return grid


def out_of_order(why: str, seconds: float) -> str:
    """Return in words that a server is out of order, why, and in how many seconds it is tried again."""
    again = f", tried again in {max(1, round(seconds))} s" if seconds > 0 else ""
    return f"out of order{again}{f': {why}' if why else ''}"


def reason(event: events.ServerChanged) -> str:
    """Return why a server is out of order, without its name; empty where nobody knows."""
    return clean(event.error.problems[0].what) if event.error is not None else ""


def worked_on(node: str, step: int, steps: int) -> str:
    """Return in words which node of a job runs, and at which step it is."""
    return f"{clean(node)}{f' {step}/{steps}' if steps else ''}"


def shortened(job_id: str, room: int) -> str:
    """Return an id that leaves room for others; its end tells neighbours apart."""
    return job_id if len(job_id) <= room else f"{job_id[: room // 3]}…{job_id[-(room - room // 3 - 1) :]}"


def _cell(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _grid(*widths: int) -> Table:
    grid = Table.grid(padding=(0, 1))
    for width in widths:
        grid.add_column(width=width, no_wrap=True)
    return grid
