"""``comfy-runner watch``, and ``--watch`` of ``run`` and ``find``: the page of a run in a browser while the run goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import say
from comfy_runner.errors import Interrupted

if TYPE_CHECKING:
    from comfy_runner.running.events import Event
    from comfy_runner.watch.server import WatchServer
    from comfy_runner.watch.sources import LiveRun, LiveSearch
    from comfy_runner.watch.watching import Watching

_Command = TypeVar("_Command", bound=Callable[..., Any])

_LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.5

_PORT = click.option(
    "--watch-port", "port", type=click.IntRange(1, 65535), metavar="PORT", help="Serve the page on this port (any free one)."
)
_HOST = click.option(
    "--watch-host",
    "host",
    default=_LOOPBACK,
    metavar="ADDRESS",
    help="Make the page reachable from other machines, as with 0.0.0.0 (docs/watch.md).",
)


@click.command()
@run_argument
@_PORT
@_HOST
def watch(folder: Path, *, port: int | None, host: str) -> None:
    """Serve the page of the run in RUN to browsers on this machine, until Ctrl-C, whether it is live or has ended.

    A live run is followed: pictures appear as they are finished, and a button cancels it. How far single jobs are, and
    what they will look like, is known to the process that renders alone: `comfy-runner run --watch`.
    """
    from comfy_runner import api
    from comfy_runner.store.refresh import refresh
    from comfy_runner.store.status import require_run
    from comfy_runner.watch.sources import FolderRun
    from comfy_runner.watch.watching import Watching

    refresh(folder)
    require_run(folder)
    with closing(address(host, port)) as server:
        server.serve(Watching(folder, FolderRun(folder), limits=partial(api.kept_limits, folder)))
        say_address(server)
        _until_interrupted()


class WatchedPage:
    """The page of a run of this process; its address is taken at once, and given back when this is left.

    Args:
        host: The address to listen on.
        port: The port; None for any that is free.

    Raises:
        UsageError: What serving needs is not installed, or nothing can listen there.
    """

    def __init__(self, host: str, port: int | None) -> None:
        self._server = address(host, port)
        self._source: LiveRun
        self._watching: Watching

    def serve(self, folder: Path) -> None:
        """Begin to serve the run of a folder, and say where."""
        from comfy_runner.watch.sources import LiveRun

        self._serve(folder, LiveRun(folder))

    def _serve(self, folder: Path, source: LiveRun) -> None:
        from comfy_runner import api
        from comfy_runner.watch.watching import Watching

        self._source = source
        self._watching = Watching(folder, source, limits=partial(api.kept_limits, folder))
        self._server.serve(self._watching)
        say_address(self._server)

    def follow(self, event: Event) -> None:
        """Take an event of the run."""
        self._source.follow(event)

    def linger(self) -> None:
        """Tell browsers that the run has ended and what it has written; on a terminal, serve until Ctrl-C."""
        self._watching.refresh(at_once=True)
        if sys.stderr.isatty():
            say(f"the page is served until Ctrl-C: {self._server.url}")
            _until_interrupted()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.close()


class WatchedSearch(WatchedPage):
    """The page of a search of this process, which is served once the run folder is there."""

    _search: LiveSearch | None = None

    def follow(self, event: Event) -> None:
        """Take an event of one of its runs.

        Raises:
            Interrupted: Somebody has cancelled the search on its page, and this run has ended.
        """
        from comfy_runner.running.events import RunFinished, RunStarted

        if isinstance(event, RunStarted):
            self._served(event.folder)
        super().follow(event)
        if isinstance(event, RunFinished) and self._search is not None and self._search.is_ending:
            raise Interrupted("cancelled on its page", hint="the same command continues where it stopped")

    def end(self, folder: Path) -> None:
        """Note that the search has ended, and go on as `linger` does."""
        self._served(folder).end()
        self.linger()

    def _served(self, folder: Path) -> LiveSearch:
        from comfy_runner.watch.sources import LiveSearch

        if self._search is None:
            self._search = LiveSearch(folder)
            self._serve(folder, self._search)
        return self._search


def watch_options(command: _Command) -> _Command:
    """Add ``--watch``, as `watched`, and where it is served, as `port` and `host`."""
    option = click.option("--watch", "watched", is_flag=True, help="Serve the page to browsers on this machine during the run.")
    return option(_PORT(_HOST(command)))


def address(host: str, port: int | None) -> WatchServer:
    """Take an address for a page, and warn where others can reach it.

    Raises:
        UsageError: What serving needs is not installed, or nothing can listen there.
    """
    from comfy_runner.watch.server import WatchServer

    server = WatchServer(host=host, port=port or 0)
    if server.is_open:
        say(f"warning: --watch-host {host}: anyone who can reach this machine and knows the address can see the run and cancel it")
    return server


def say_address(server: WatchServer) -> None:
    """Say where the page is."""
    say(f"watch: {server.url}")


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        return
