"""Following a run on stderr: a live view on a terminal, plain lines elsewhere, silence if asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from comfy_runner.cli.talk import clean, say, tell, worded
from comfy_runner.runs.events import (
    Event,
    JobFinished,
    JobProgressed,
    JobResult,
    JobRetried,
    JobSubmitted,
    JobWaiting,
    RunStarted,
)

Follow = Callable[[Event], None]


@contextmanager
def follower(*, quiet: bool, verbose: int) -> Iterator[Follow]:
    """Yield what takes the events of a run, fitted to the terminal."""
    console = Console(stderr=True, markup=False, highlight=False)
    if quiet:
        yield lambda _event: None
    elif sys.stderr.isatty() and not console.is_dumb_terminal:
        with _LiveView(console) as view:
            yield view.follow
    else:
        yield _PlainLines(verbose).follow


class _PlainLines:
    """A line per thing that happens; progress only where a node begins, or every step with -v."""

    def __init__(self, verbose: int) -> None:
        self._verbose = verbose
        self._nodes: dict[str, str] = {}

    def follow(self, event: Event) -> None:
        match event:
            case RunStarted():
                tell(event.notes)
                say(_opening(event))
            case JobSubmitted(job_id, prompt_id):
                say(f"{job_id}: submitted" + (f" as {prompt_id}" if self._verbose else ""))
            case JobWaiting(job_id, ahead):
                say(f"{job_id}: waits behind {ahead}")
            case JobProgressed(job_id, node, step, steps, fraction):
                if self._verbose or self._nodes.get(job_id) != node:
                    self._nodes[job_id] = node
                    say(f"{job_id}: {node}{f' {step}/{steps}' if steps else ''} ({fraction:.0%})")
            case JobRetried(job_id, _, what):
                say(f"{job_id}: tried again: {what}")
            case JobFinished(result):
                say(_closing(result))


class _LiveView:
    """A bar for the run and one for each job that is on the server; lines go above them."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[doing]}", markup=False),
            console=console,
            transient=True,
        )
        self._bars: dict[str, TaskID] = {}
        self._whole: TaskID | None = None
        self._finished = self._jobs = 0

    def __enter__(self) -> _LiveView:
        self._progress.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def follow(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._print(*(worded(note) for note in event.notes), clean(_opening(event)))
                if len(event.jobs) > 1:
                    self._finished, self._jobs = event.done, len(event.jobs)
                    doing = f"{event.done} of {len(event.jobs)}"
                    self._whole = self._progress.add_task("all jobs", total=len(event.jobs), completed=event.done, doing=doing)
            case JobSubmitted(job_id, _):
                self._bars[job_id] = self._progress.add_task(self._short(clean(job_id)), total=1.0, doing="submitted")
            case JobWaiting(job_id, ahead):
                self._doing(job_id, f"waits behind {ahead}")
            case JobProgressed(job_id, node, step, steps, fraction):
                self._doing(job_id, f"{clean(node)}{f' {step}/{steps}' if steps else ''}", completed=fraction)
            case JobRetried(job_id, _, what):
                self._remove(job_id)
                self._print(clean(f"{job_id}: tried again: {what}"))
            case JobFinished(result):
                self._remove(result.job_id)
                if self._whole is not None:
                    self._progress.advance(self._whole)
                    self._finished += 1
                    self._progress.update(self._whole, doing=f"{self._finished} of {self._jobs}")
                self._print(clean(_closing(result)))

    def _short(self, job_id: str) -> str:
        """Return an id that leaves room for the bar; its end tells neighbours apart."""
        room = max(16, self._progress.console.width * 2 // 5)
        return job_id if len(job_id) <= room else f"{job_id[: room // 3]}…{job_id[-(room - room // 3 - 1) :]}"

    def _remove(self, job_id: str) -> None:
        bar = self._bars.pop(job_id, None)
        if bar is not None:
            self._progress.remove_task(bar)

    def _print(self, *lines: str) -> None:
        for line in lines:
            self._progress.console.print(Text.from_ansi(line))

    def _doing(self, job_id: str, doing: str, completed: float | None = None) -> None:
        bar = self._bars.get(job_id)
        if bar is not None:
            self._progress.update(bar, doing=doing, completed=completed)


def _opening(event: RunStarted) -> str:
    count = len(event.jobs)
    jobs = f"{count} {'job' if count == 1 else 'jobs'}"
    done = f", {event.done} done already" if event.done else ""
    server = f" on {event.server}" if event.server else ""
    return f"{jobs}{done}{server}, run folder {event.folder}"


def _closing(result: JobResult) -> str:
    took = f" in {result.seconds:.1f} s" if result.seconds is not None else ""
    cached = f", {len(result.cached_nodes)} nodes from the cache" if result.cached_nodes else ""
    return f"{result.job_id}: {result.state}{took}{cached}"


@contextmanager
def counter(doing: str, *, worth: int) -> Iterator[Callable[[int, int], None]]:
    """Yield what is told how many of how many things are done: a bar on a terminal, a sentence at the beginning elsewhere.

    Args:
        doing: What is done, such as ``measuring``.
        worth: How many things there must be for anything to be said.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield lambda done, total: say(f"{doing} {total} pictures") if done == 1 and total >= worth else None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(doing, total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=total >= worth)
