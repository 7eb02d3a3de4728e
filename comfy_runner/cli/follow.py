"""Following a run on stderr: a live view on a terminal, plain lines elsewhere, silence if asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from comfy_runner.cli.live_servers import out_of_order, reason, worked_on
from comfy_runner.cli.live_view import RunView
from comfy_runner.cli.output import clean, note_lines, print_stderr, say
from comfy_runner.cli.screen import live
from comfy_runner.running import events
from comfy_runner.text_files import place
from comfy_runner.wording import counted, duration

Follow = Callable[[events.Event], None]

_MOST_NAMED = 4  # in the first line
_MOST_COUNTED = 8  # in the last


@contextmanager
def follower(*, quiet: bool, verbose: int) -> Iterator[Follow]:
    """Yield a function that shows the events of a run: as a live view on a terminal, as plain lines elsewhere, or not at all."""
    if quiet:
        yield lambda _event: None
        return
    view = RunView()
    with live(view) as is_shown:
        yield _LiveLines(view).follow if is_shown else _PlainLines(verbose).follow


class _Lines:
    """What is said of a run, whether or not there are bars below; a server that stays out of order for the same reason once.

    Attributes:
        servers: The names of all servers that have ever taken part.
    """

    def __init__(self) -> None:
        self.servers: list[str] = []
        self._reasons: dict[str, str] = {}

    def of(self, event: events.Event) -> list[str]:
        """Return the lines of an event; none where it says nothing new. They are clean."""
        match event:
            case events.RunStarted():
                self.servers += event.servers
                return [*note_lines(event.notes), clean(_opening(event))]
            case events.ServerChanged():
                self.servers += [event.server] if event.server not in self.servers else []
                known = self._reasons.pop(event.server, None)
                if event.stage == "out":
                    self._reasons[event.server] = reason(event)
                return [] if known is not None and known == self._reasons.get(event.server) else [clean(_change(event))]
            case events.JobRetried(job_id, _, what):
                return [clean(f"{job_id}: tried again: {what}")]
            case events.JobFinished(result) if result.state != "pending":  # of an interrupted run that may be most of them
                return [clean(_closing(result))]
            case events.RunFinished():
                return [*map(clean, spent_lines(event.spent, self.servers))]
        return []


class _PlainLines:
    """Shows a run as lines: one for each event, of progress only where a node begins, or for every step with -v."""

    def __init__(self, verbose: int) -> None:
        self._verbose = verbose
        self._nodes: dict[str, str] = {}
        self._lines = _Lines()

    def follow(self, event: events.Event) -> None:
        for line in self._lines.of(event):
            print_stderr(line)
        match event:
            case events.JobSubmitted(job_id, prompt_id, server):
                on = f" on {server}" if len(self._lines.servers) > 1 else ""
                say(f"{job_id}: submitted{on}" + (f" as {prompt_id}" if self._verbose else ""))
            case events.JobWaiting(job_id, ahead):
                say(f"{job_id}: waits behind {ahead}")
            case events.JobProgressed(job_id, node, step, steps, fraction):
                if self._verbose or self._nodes.get(job_id) != node:
                    self._nodes[job_id] = node
                    say(f"{job_id}: {worked_on(node, step, steps)} ({fraction:.0%})")


class _LiveLines:
    """Shows a run in a live view; what has ended is a line above it."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._lines = _Lines()

    def follow(self, event: events.Event) -> None:
        self._view.follow(event)
        for line in self._lines.of(event):
            print_stderr(line)


def _opening(event: events.RunStarted) -> str:
    done = f", {event.done} already done" if event.done else ""
    servers = event.servers if len(event.servers) > 1 else [event.server] if event.server else []
    named = _listed(servers) if len(servers) <= _MOST_NAMED else counted(len(servers), "server")
    guess = f", perhaps {duration(event.guess)} (a guess)" if event.guess else ""
    return f"{counted(len(event.jobs), 'job')}{done}{f' on {named}' if named else ''}{guess}, run folder {place(event.folder)}"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _change(event: events.ServerChanged) -> str:
    match event.stage:
        case "out":
            told = f"is {out_of_order(reason(event), event.seconds)}"
        case "back":
            told = "answers again"
        case "joined":
            told = "has joined"
        case "draining":
            told = "gets no more jobs"
    return f"{event.server} {told}"


def spent_lines(spent: events.Spent | None, servers: Sequence[str]) -> list[str]:
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
        jobs = f"{counted(sum(counts.values()), 'job')} on {counted(len(counts), 'server')}, {fewest} to {most} on each"
    loads, first = spent.loads - spent.fewest_loads, spent.first - spent.fewest_first
    if loads > 0 and first > 0:
        more = f"{loads} and {first} more than on one server"
    elif loads > 0 or first > 0:
        more = f"{counted(loads, 'load') if loads > 0 else counted(first, 'first pass', 'first passes')} more than on one server"
    else:
        # Fewer where a server had some of it in its cache from an earlier run.
        more = "no more than one server would need"
    split = f"; {counted(spent.splits, 'group was', 'groups were')} split to finish earlier" if spent.splits else ""
    return [jobs, f"{counted(spent.loads, 'model load')} and {counted(spent.first, 'first pass', 'first passes')}, {more}{split}"]


def _closing(result: events.JobResult) -> str:
    took = f" in {result.seconds:.1f} s" if result.seconds is not None else ""
    cached = f", {counted(len(result.cached_nodes), 'node')} from the cache" if result.cached_nodes else ""
    stands = "still on the server" if result.state == "submitted" else result.state
    return f"{result.job_id}: {stands}{took}{cached}"
