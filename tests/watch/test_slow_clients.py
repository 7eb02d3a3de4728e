"""A hundred browsers that read nothing: nobody waits for them, nothing piles up, and one that reads again knows everything."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from comfy_runner.watch.sources import LiveRun
from tests.report.page.pages import paint
from tests.report.support import make_run
from tests.running.support import begin, states, sweep
from tests.standin import HELD, StandIn
from tests.watch.support import Watched, events, watched

_CLIENTS = 100
_VALUES = 400
_ROUNDS = 100
_SIZE = 2000  # characters


def _wait_for_streams(served: Watched, count: int) -> None:
    routes = served.server.routes
    assert routes is not None
    until = time.monotonic() + HELD
    while routes.streams < count and time.monotonic() < until:
        time.sleep(0.01)
    assert routes.streams == count


def test_what_slow_browsers_miss_is_not_kept_for_them(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "lake", {"seed": [1]}, paint)
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(watched(folder))
        streams = [stack.enter_context(served.stream()) for _ in range(_CLIENTS)]
        _wait_for_streams(served, _CLIENTS)
        feed = served.watching.feed

        for number in range(_ROUNDS):
            feed.put({f"job:{each}": f"{number:05}{'x' * _SIZE}" for each in range(_VALUES)})

        # Each was given what there was when it could take it, and never what came between.
        changes = _ROUNDS * _VALUES
        assert feed.changes >= changes
        assert feed.given <= 20 * _CLIENTS
        latest: dict[str, str] = {}
        messages = 0
        for cursor, values in events(streams[-1]):
            latest |= values
            messages += 1
            if cursor == feed.cursor:
                break
        assert messages <= 20
        assert {name: text[:5] for name, text in latest.items() if name.startswith("job:") and name != "job:lake-s1"} == {
            f"job:{each}": f"{_ROUNDS - 1:05}" for each in range(_VALUES)
        }
        # What a browser that reads nothing costs: the buffers of its connection, and one message at most that waits to be sent.
        waiting = sum(connection.transport.get_write_buffer_size() for connection in served.server._server.server_state.connections)
        assert waiting <= _CLIENTS * (_VALUES * (_SIZE + 100) + 64 * 1024)


@pytest.mark.slow
def test_a_run_is_the_same_under_a_hundred_browsers_that_read_nothing(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "lake"
    rendering = begin(server, out, sweep({"seed": list(range(12))}))
    source = LiveRun(out)
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(watched(out, source))
        for _ in range(_CLIENTS):
            stack.enter_context(served.stream())
        for event in rendering:
            source.follow(event)
        results = rendering.results()
        with served.stream() as late:
            for _, values in events(late):
                if values.get("run", {}).get("state") == "ended":
                    break

    assert set(states(results).values()) == {"done"}
    assert len(results) == 12
