"""What it costs a run that browsers watch: 200 jobs on two servers without any, and under 100 that open a stream and read nothing.

    python -m benchmarks.watch [JOBS [BROWSERS [TIMES]]]

Each way is timed as often as TIMES says, in turns, and the medians are told: from the beginning to the last result, and what this
process has taken of the processor, with the run, the page's server and its thumbnails in it. The servers that render are stand-ins,
in a process of their own; they send previews to those that ask for them.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

from comfy_runner import Policy, run
from comfy_runner.watch.server import WatchServer
from comfy_runner.watch.sources import LiveRun
from comfy_runner.watch.watching import Watching
from tests.running.support import sweep
from tests.standin import StandIn, State
from tests.standin.generations import V0_38

_SERVERS = 2
_STEP_SECONDS = 0.05


def main() -> None:
    """Print what was measured."""
    jobs, browsers, times = (int(text) for text in [*sys.argv[1:], *("200", "100", "3")[len(sys.argv) - 1 :]])
    ways = {"not watched": None, "watched by nobody": 0, f"{browsers} browsers that read nothing": browsers}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(times):
        for name, clients in ways.items():
            taken[name].append(_timed(jobs, clients))
    for name, found in taken.items():
        wall, processor = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{jobs} jobs, {name}: {wall:.2f} s, of the processor {processor:.2f} s ({1000 * processor / jobs:.1f} ms a job)")


def _timed(jobs: int, clients: int | None) -> tuple[float, float]:
    """Render jobs anew; return the seconds that it took, and those of the processor.

    Args:
        jobs: How many.
        clients: How many browsers watch; None where the run is not served at all.
    """
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
        urls = stack.enter_context(_servers())
        policy = Policy(previews=clients is not None)
        began, used = time.perf_counter(), time.process_time()
        rendering = run([sweep({"seed": list(range(jobs))})], server=urls, out=out, policy=policy)
        follow = _watched(stack, out, clients) if clients is not None else None
        for event in rendering:
            if follow is not None:
                follow.follow(event)
        if states := {result.state for result in rendering.results()} - {"done"}:
            raise SystemExit(f"not all jobs are done: {states}")
        return time.perf_counter() - began, time.process_time() - used


@contextlib.contextmanager
def _servers() -> Iterator[list[str]]:
    """Yield the addresses of servers that another process has."""
    ours, theirs = Pipe()
    process = get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def _serve(connection: Connection) -> None:
    with contextlib.ExitStack() as stack:
        states = [State(generation=V0_38, step_seconds=_STEP_SECONDS) for _ in range(_SERVERS)]
        connection.send([stack.enter_context(StandIn(state)).url for state in states])
        connection.recv()


def _watched(stack: contextlib.ExitStack, out: Path, clients: int) -> LiveRun:
    """Serve a run, and open streams that nobody reads."""
    source = LiveRun(out)
    server = stack.enter_context(contextlib.closing(WatchServer()))
    server.serve(Watching(out, source))
    address = urlsplit(server.url)
    for _ in range(clients):
        browser = stack.enter_context(socket.create_connection((address.hostname or "", address.port or 0)))
        browser.sendall(f"GET {address.path}events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    return source


if __name__ == "__main__":
    main()
