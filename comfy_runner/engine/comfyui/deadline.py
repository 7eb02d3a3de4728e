"""A limit on how long one whole HTTP answer may take, headers and body, however slowly it drips.

The timeouts of `requests` are for the next bytes alone: a server that sends one byte a second is never late for them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

_here = threading.local()


class Watch:
    """One answer that is waited for.

    Attributes:
        late: Whether its time is over; the connection has been cut then, which reads like an early end.
    """

    def __init__(self) -> None:
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


@contextmanager
def at_most(seconds: float) -> Iterator[Watch]:
    """Cut the answer to the request that this thread makes inside the block, once so many seconds are over."""
    watch = _here.watch = Watch()
    timer = threading.Timer(seconds, watch.cut)
    timer.daemon = True
    timer.start()
    try:
        yield watch
    finally:
        timer.cancel()
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


def _follow(connection: Any) -> None:
    watch = getattr(_here, "watch", None)
    if watch is not None:
        watch.follow(connection.sock)


class _Connection(urllib3.connection.HTTPConnection):
    def getresponse(self, *args: Any, **options: Any) -> Any:
        _follow(self)
        return super().getresponse(*args, **options)


class _TlsConnection(urllib3.connection.HTTPSConnection):
    def getresponse(self, *args: Any, **options: Any) -> Any:
        _follow(self)
        return super().getresponse(*args, **options)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}
