"""The live view of a run: how far all jobs are and how long they will still take, then a line for each job or each server.

What has ended is printed above it, by `comfy_runner.cli.follow`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from comfy_runner.cli.live_servers import ServerLines, shortened, worked_on
from comfy_runner.cli.output import clean
from comfy_runner.running import events
from comfy_runner.running.run_progress import RunProgress
from comfy_runner.wording import duration

_ALL = "all jobs"
_PERCENT = 4
_GAPS = 3
_WIDEST_DOING = 38
_SHORTEST_BAR, _LONGEST_BAR = 8, 30


@dataclass(slots=True)
class _Job:
    doing: str = "submitted"
    fraction: float = 0.0


class _Row(NamedTuple):
    """A line.

    Attributes:
        name: What it is about.
        fraction: The share that is done.
        doing: What is said of it, the longest text first; the first that there is room for is shown.
    """

    name: str
    fraction: float
    doing: tuple[str, ...]


class RunView:
    """What is shown of a run; it can be rendered while another thread follows the run.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._progress = RunProgress(clock)
        self._server_lines = ServerLines(clock)
        self._servers: set[str] = set()
        self._jobs: dict[str, _Job] = {}
        self._lock = Lock()

    def follow(self, event: events.Event) -> None:
        """Take an event of the run."""
        self._server_lines.follow(event)
        with self._lock:
            self._progress.follow(event)
            match event:
                case events.RunStarted():
                    self._servers.update(event.servers)
                case events.ServerChanged():
                    self._servers.add(event.server)
                case events.JobSubmitted(job_id):
                    self._jobs.pop(job_id, None)  # where the server had lost it
                    self._jobs[job_id] = _Job()
                case events.JobWaiting(job_id, ahead) if job_id in self._jobs:
                    self._jobs[job_id].doing = f"waits behind {ahead}"
                case events.JobProgressed(job_id, node, step, steps, fraction) if job_id in self._jobs:
                    self._jobs[job_id] = _Job(worked_on(node, step, steps), fraction)
                case events.JobRetried(job_id):
                    self._jobs.pop(job_id, None)
                case events.JobFinished(result):
                    self._jobs.pop(result.job_id, None)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            several = len(self._servers) > 1
            rows = [*self._whole(), *(() if several else self._running())]
        if rows:
            yield _table(rows, options.max_width)
        if several:
            yield self._server_lines

    def _whole(self) -> Iterator[_Row]:
        """Yield the line of all jobs, where there are several."""
        progress = self._progress
        if progress.jobs > 1:
            count = f"{progress.finished} of {progress.jobs}"
            took, left = duration(self._clock() - progress.began), self._left()
            told = (f"{count}, {took}, about {left} left", f"{count}, {left} left") if left else (f"{count}, {took}",)
            yield _Row(_ALL, progress.share, (*told, count))

    def _running(self) -> Iterator[_Row]:
        """Yield the lines of the jobs that the server has."""
        left = self._left() if self._progress.jobs == 1 else ""
        for job_id, job in self._jobs.items():
            seconds = self._progress.running_seconds(job_id)
            # What waits has taken no time yet.
            took = f", {duration(seconds)}" if seconds is not None and seconds >= 1 else ""
            told = (f"{job.doing}{took}, about {left} left",) if left and took else ()
            yield _Row(clean(job_id), job.fraction, (*told, f"{job.doing}{took}", job.doing))

    def _left(self) -> str:
        seconds = self._progress.seconds_left
        return "" if seconds is None else duration(seconds)


def _table(rows: list[_Row], width: int) -> Table:
    """Return lines whose columns do not move when what is said changes; without bars where the terminal is too narrow."""
    longest = max(len(row.name) for row in rows)
    doing = min(_WIDEST_DOING, width // 2)
    name = min(longest, (width - doing) * 3 // 5)
    # Terminals break lines again when they become narrower, and lines that are shorter than that stay whole.
    bar = min(_LONGEST_BAR, width - name - doing - _PERCENT - _GAPS)
    if bar < _SHORTEST_BAR:
        name = min(longest, max(len(_ALL), width // 3))
        doing, bar = max(1, width - name - 1), 0
    grid = Table.grid(padding=(0, 1))
    for column in (name, bar, _PERCENT, doing) if bar else (name, doing):
        grid.add_column(width=column, no_wrap=True)
    for row in rows:
        said = next((text for text in row.doing if len(text) <= doing), row.doing[-1])
        cells = (ProgressBar(total=1.0, completed=row.fraction, width=bar), f"{row.fraction:>4.0%}") if bar else ()
        grid.add_row(_cell(shortened(row.name, name)), *cells, _cell(said))
    return grid


def _cell(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")
