"""A stand-in that is restarted while clients connect loses no connection: an unclosed one would fail whatever test is next."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import warnings
from urllib.parse import urlsplit

import pytest

from tests.standin import StandIn


@pytest.mark.slow
def test_connections_made_during_restarts_are_all_closed() -> None:
    with warnings.catch_warnings(record=True) as caught, StandIn() as server:
        warnings.simplefilter("always")
        place, ended = urlsplit(server.url), threading.Event()

        def connect() -> None:
            while not ended.is_set():
                with contextlib.suppress(OSError), socket.create_connection((place.hostname, place.port or 0), timeout=5):
                    continue

        clients = [threading.Thread(target=connect) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            for _ in range(200):
                server.state.restart()
        finally:
            ended.set()
            for client in clients:
                client.join()
        gc.collect()

    assert [str(warning.message) for warning in caught if "unclosed" in str(warning.message)] == []
