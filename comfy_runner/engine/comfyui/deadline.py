"""A limit on how long one whole HTTP answer may take, headers and body, however slowly it drips.

The timeouts of `requests` are for the next bytes alone: a server that sends one byte a second is never late for them. One thread
watches over all answers of the process and cuts the connection of one that is late.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

_here = threading.local()


class Watch:
    """One answer that is waited for.

    Args:
        deadline: When its time is over, on the monotonic clock.

    Attributes:
        late: Whether its time is over; the connection has been cut then, which reads like an early end.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.late = False
        self._socket: socket.socket | None = None

    def follow(self, sock: socket.socket | None) -> None:
        """The answer will come from this socket."""
        self._socket = sock
        if self.late:
            self.cut()

    def cut(self) -> None:
        """Wake whoever waits for the answer: there is no more of it."""
        self.late = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _Watchdog:
    """The thread that cuts what is late; it sleeps until the next answer could be, which is mostly never."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._changed = threading.Condition()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    def add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if self._thread is None or not self._thread.is_alive():  # as after a fork
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif watch.deadline < self._wakes_at:
                self._changed.notify()

    def remove(self, watch: Watch) -> None:
        with self._changed:
            self._watches.discard(watch)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for watch in [watch for watch in self._watches if watch.deadline <= now]:
                    self._watches.discard(watch)
                    watch.cut()
                self._wakes_at = min((watch.deadline for watch in self._watches), default=math.inf)
                self._changed.wait(min(self._wakes_at - now, threading.TIMEOUT_MAX))


_watchdog = _Watchdog()


@contextmanager
def at_most(seconds: float) -> Iterator[Watch]:
    """Cut the answer to the request that this thread makes inside the block, once so many seconds are over."""
    watch = _here.watch = Watch(time.monotonic() + seconds)
    _watchdog.add(watch)
    try:
        yield watch
    finally:
        _watchdog.remove(watch)
        _here.watch = None


def is_overdue() -> bool:
    """Return whether the time is over of the answer that this thread waits for, or is yet to send the request for."""
    watch = getattr(_here, "watch", None)
    return watch is not None and watch.late


class WatchedAdapter(HTTPAdapter):
    """Connections whose answers `at_most` can cut."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools for direct connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Make the pools for connections through a proxy."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Connection(urllib3.connection.HTTPConnection):
    def getresponse(self, *args: Any, **options: Any) -> Any:
        watch = getattr(_here, "watch", None)
        if watch is not None:
            watch.follow(self.sock)
        return super().getresponse(*args, **options)


class _TlsConnection(_Connection, urllib3.connection.HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}
