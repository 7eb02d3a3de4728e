"""The live view of a run on several servers: a line for each of them. The lines that go above it are in `follow`."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from comfy_runner.cli.formatting import short_names
from comfy_runner.cli.output import clean
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running import events
from comfy_runner.running.server_jobs import FleetJobs, JobOnServer, ServerJobs
from comfy_runner.wording import counted

_OTHER_LINES = 4  # the bar of all jobs, the line for what does not fit, the one that is printed above, the cursor's
_WIDEST_DOING = 32
_PERCENT = 4
_SHORTEST_BAR = 5


class ServerLines:
    """A line for each server of a run, with what it does now; it can be printed while another thread follows the run.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fleet = FleetJobs(clock)
        self._lock = Lock()

    def follow(self, event: events.Event) -> None:
        """Take an event of the run."""
        with self._lock:
            self._fleet.follow(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            # A server that is drained goes when it has nothing more to do.
            servers = [server for server in self._fleet.servers.values() if server.jobs or server.stage != "draining"]
            room = max(1, console.height - _OTHER_LINES)
            shown, hidden = servers[:room], servers[room:]
            names = short_names([clean(server.name) for server in shown])
            name_width = max(map(len, names.values()), default=0)
            count_width = max((len(_count(server)) for server in shown), default=0)
            width = max(1, options.max_width - name_width - count_width - 2)
            lines: list[Table | Text] = []
            for server in shown:
                line = _grid(name_width, width, count_width)
                line.add_row(_cell(names[clean(server.name)]), self._middle(server, width), _cell(_count(server)))
                lines.append(line)
            if hidden:
                running = sum(bool(server.jobs) for server in hidden)
                lines.append(_cell(f"and {counted(len(hidden), 'more server')}: {running} running"))
        yield from lines

    def _middle(self, server: ServerJobs, width: int) -> Table | Text:
        mark = _mark(server, self._clock())
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
        grid.add_row(_cell(shortened(clean(job_id), job_width)), *shown, _cell(f"{job.fraction:>4.0%}"), _cell(_doing(job)))
        return grid


def _mark(server: ServerJobs, now: float) -> str:
    """Return the words that stand in place of a job; empty where there is a job."""
    if server.stage == "out":
        return out_of_order(_why(server.error), server.until - now)
    return "" if server.jobs else "idle"


def _count(server: ServerJobs) -> str:
    """Return how many jobs a server has done, and whether it gets more."""
    return f"{server.done} done{', draining' if server.stage == 'draining' else ''}"


def _doing(job: JobOnServer) -> str:
    if job.node:
        return worked_on(job.node, job.step, job.steps)
    return "submitted" if job.ahead is None else f"waits behind {job.ahead}"


def out_of_order(why: str, seconds: float) -> str:
    """Return in words that a server is out of order, why, and in how many seconds it is tried again."""
    again = f", tried again in {max(1, round(seconds))} s" if seconds > 0 else ""
    return f"out of order{again}{f': {why}' if why else ''}"


def reason(event: events.ServerChanged) -> str:
    """Return why a server is out of order, without its name; empty where nobody knows."""
    return _why(event.error)


def _why(error: ComfyRunnerError | None) -> str:
    return clean(error.problems[0].what) if error is not None else ""


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
