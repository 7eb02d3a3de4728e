"""Following a run on stderr: a live view on a terminal, plain lines elsewhere, silence if asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from comfy_runner.cli.live_servers import ServerLines, out_of_order, reason, shortened, worked_on
from comfy_runner.cli.output import clean, note_text, print_notes, say
from comfy_runner.running.events import (
    Event,
    JobFinished,
    JobProgressed,
    JobResult,
    JobRetried,
    JobSubmitted,
    JobWaiting,
    RunFinished,
    RunStarted,
    ServerChanged,
    Spent,
)
from comfy_runner.wording import counted

Follow = Callable[[Event], None]

_MOST_NAMED = 4  # in the first line
_MOST_COUNTED = 8  # in the last


@contextmanager
def follower(*, quiet: bool, verbose: int) -> Iterator[Follow]:
    """Yield a function that shows the events of a run: as a live view on a terminal, as plain lines elsewhere, or not at all."""
    console = Console(stderr=True, markup=False, highlight=False)
    if quiet:
        yield lambda _event: None
    elif sys.stderr.isatty() and not console.is_dumb_terminal:
        with _LiveView(console) as view:
            yield view.follow
    else:
        yield _PlainLines(verbose).follow


class _PlainLines:
    """Shows a run as lines: one for each event, of progress only where a node begins, or for every step with -v."""

    def __init__(self, verbose: int) -> None:
        self._verbose = verbose
        self._nodes: dict[str, str] = {}
        self._servers: dict[str, None] = {}
        self._changes = _Changes()

    def follow(self, event: Event) -> None:
        match event:
            case RunStarted():
                print_notes(event.notes)
                say(_opening(event))
                self._servers.update(dict.fromkeys(event.servers))
            case ServerChanged():
                self._servers[event.server] = None
                for line in self._changes.lines(event):
                    say(line)
            case JobSubmitted(job_id, prompt_id, server):
                on = f" on {server}" if len(self._servers) > 1 else ""
                say(f"{job_id}: submitted{on}" + (f" as {prompt_id}" if self._verbose else ""))
            case JobWaiting(job_id, ahead):
                say(f"{job_id}: waits behind {ahead}")
            case JobProgressed(job_id, node, step, steps, fraction):
                if self._verbose or self._nodes.get(job_id) != node:
                    self._nodes[job_id] = node
                    say(f"{job_id}: {worked_on(node, step, steps)} ({fraction:.0%})")
            case JobRetried(job_id, _, what):
                say(f"{job_id}: tried again: {what}")
            case JobFinished(result):
                say(_closing(result))
            case RunFinished():
                for line in spent_lines(event.spent, list(self._servers)):
                    say(line)


class _Bars(Progress):
    """The bars of a run: one for each job on the server or, where it has several servers, a line for each of them."""

    def __init__(self, server_lines: ServerLines, console: Console) -> None:
        self._server_lines = server_lines
        self.whole: TaskID | None = None
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[doing]}", markup=False),
            console=console,
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield what is shown now."""
        if len(self._server_lines.names) > 1:
            yield self.make_tasks_table([task for task in self.tasks if task.id == self.whole])
            yield self._server_lines
        else:
            yield from super().get_renderables()


class _LiveView:
    """Shows a run as a bar for all jobs and one for each job on the server, or a line for each of several servers.

    What has ended is a line above them.
    """

    def __init__(self, console: Console) -> None:
        self._server_lines = ServerLines()
        self._changes = _Changes()
        self._progress = _Bars(self._server_lines, console)
        self._bars: dict[str, TaskID] = {}
        self._finished = self._jobs = 0

    def __enter__(self) -> _LiveView:
        self._progress.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def follow(self, event: Event) -> None:
        self._server_lines.follow(event)
        match event:
            case RunStarted():
                self._print(*(note_text(note) for note in event.notes), clean(_opening(event)))
                if len(event.jobs) > 1:
                    self._finished, self._jobs = event.done, len(event.jobs)
                    doing = f"{event.done} of {len(event.jobs)}"
                    self._progress.whole = self._progress.add_task(
                        "all jobs", total=len(event.jobs), completed=event.done, doing=doing
                    )
            case ServerChanged():
                self._print(*map(clean, self._changes.lines(event)))
            case JobSubmitted(job_id):
                self._remove(job_id)  # where the server had lost it
                self._bars[job_id] = self._progress.add_task(self._short(clean(job_id)), total=1.0, doing="submitted")
            case JobWaiting(job_id, ahead):
                self._doing(job_id, f"waits behind {ahead}")
            case JobProgressed(job_id, node, step, steps, fraction):
                self._doing(job_id, worked_on(node, step, steps), completed=fraction)
            case JobRetried(job_id, _, what):
                self._remove(job_id)
                self._print(clean(f"{job_id}: tried again: {what}"))
            case JobFinished(result):
                self._remove(result.job_id)
                if self._progress.whole is not None:
                    self._progress.advance(self._progress.whole)
                    self._finished += 1
                    self._progress.update(self._progress.whole, doing=f"{self._finished} of {self._jobs}")
                self._print(clean(_closing(result)))
            case RunFinished():
                self._print(*map(clean, spent_lines(event.spent, self._server_lines.names)))

    def _short(self, job_id: str) -> str:
        return shortened(job_id, max(16, self._progress.console.width * 2 // 5))

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
    done = f", {event.done} done already" if event.done else ""
    servers = event.servers if len(event.servers) > 1 else [event.server] if event.server else []
    named = _listed(servers) if len(servers) <= _MOST_NAMED else f"{len(servers)} servers"
    return f"{counted(len(event.jobs), 'job')}{done}{f' on {named}' if named else ''}, run folder {event.folder}"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


class _Changes:
    """Says how servers take part in a run; a server that stays out of order for the same reason is mentioned once."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def lines(self, event: ServerChanged) -> list[str]:
        """Return the line of an event, or nothing where it says nothing new."""
        known = self._reasons.pop(event.server, None)
        if event.stage == "out":
            self._reasons[event.server] = reason(event)
        return [] if known is not None and known == self._reasons.get(event.server) else [_change(event)]


def _change(event: ServerChanged) -> str:
    match event.stage:
        case "out":
            told = f"is {out_of_order(reason(event), event.seconds)}"
        case "back":
            told = "answers again"
        case "joined":
            told = "takes part now"
        case "draining":
            told = "gets no more jobs"
    return f"{event.server} {told}"


def spent_lines(spent: Spent | None, servers: Sequence[str]) -> list[str]:
    """Return lines that sum up the work of several servers; none for a single server, or where nothing was rendered.

    Args:
        spent: What they had to do.
        servers: The names of all servers that took part, also of those that did nothing.
    """
    if spent is None or len(servers) < 2:
        return []
    counts = {name: spent.jobs.get(name, 0) for name in [*servers, *spent.jobs]}
    if len(counts) <= _MOST_COUNTED:
        jobs = _listed([f"{counted(count, 'job') if count else 'none'} on {name}" for name, count in counts.items()])
    else:
        fewest, most = min(counts.values()), max(counts.values())
        jobs = f"{counted(sum(counts.values()), 'job')} on {len(counts)} servers, {fewest} to {most} on each"
    loads, first = spent.loads - spent.fewest_loads, spent.first - spent.fewest_first
    if loads > 0 and first > 0:
        more = f"{loads} and {first} more than on one server"
    elif loads > 0 or first > 0:
        more = f"{counted(loads, 'load') if loads > 0 else counted(first, 'first pass', 'es')} more than on one server"
    else:
        # Fewer where a server had some of it in its cache from an earlier run.
        more = "no more than on one server"
    split = (
        f"; {counted(spent.splits, 'group')} {'was' if spent.splits == 1 else 'were'} split to end earlier" if spent.splits else ""
    )
    return [jobs, f"{counted(spent.loads, 'model load')} and {counted(spent.first, 'first pass', 'es')}, {more}{split}"]


def _closing(result: JobResult) -> str:
    took = f" in {result.seconds:.1f} s" if result.seconds is not None else ""
    cached = f", {len(result.cached_nodes)} nodes from the cache" if result.cached_nodes else ""
    return f"{result.job_id}: {result.state}{took}{cached}"
