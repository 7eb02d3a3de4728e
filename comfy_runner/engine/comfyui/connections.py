"""How one server is reached, by HTTP and by websocket alike: which proxy, which certificates; and how long one answer may take.

The timeouts of `requests` are for the next bytes alone: a server that sends one byte a second is never late for them. So sockets
wait for each piece only as long as the whole may still take.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Url, parse_url

from comfy_runner._version import __version__
from comfy_runner.engine.comfyui.address import Address, is_loopback
from comfy_runner.errors import Unreachable, UsageError
from comfy_runner.text_files import reason_of

USER_AGENT = f"comfy-runner/{__version__}"
"""What we call ourselves: some servers turn the names of libraries away."""

_KEPT_OPEN = 16  # connections; no more threads than that ask one server at a time

_LOOK = 0.5  # seconds between two looks whether there is a hurry
_HURRIED = 5.0

_here = threading.local()


def proxy_of(address: Address) -> Url | None:
    """Return the proxy that the environment names for a server; none for one on this machine, whether or not NO_PROXY says so.

    Raises:
        UsageError: It is no URL.
    """
    if is_loopback(address.url):
        return None
    proxy = requests.utils.select_proxy(address.url, requests.utils.get_environ_proxies(address.url))
    try:
        return parse_url(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
    except urllib3.exceptions.LocationParseError:
        raise UsageError("the proxy's URL in the environment is not usable", where=address.url) from None


def credentials(proxy: Url) -> tuple[str, str] | None:
    """Return the user's name and the password in a proxy's URL; None where there are none."""
    if proxy.auth is None:
        return None
    user, _, password = proxy.auth.partition(":")
    return unquote(user), unquote(password)


def tls_of(address: Address) -> ssl.SSLContext:
    """Return how a server's certificate is checked, and by which others.

    Those of its own file alone where it has one; otherwise those that the system knows, with those of the package `certifi` unless
    SSL_CERT_FILE or SSL_CERT_DIR say which.

    Raises:
        UsageError: There is no certificate in the file.
    """
    path, usual = address.cacert, ssl.get_default_verify_paths()
    try:
        if not path:
            found = ssl.create_default_context()
        elif Path(path).is_dir():
            found = ssl.create_default_context(capath=path)
        else:
            found = ssl.create_default_context(cafile=path)
    except OSError as error:
        reason = reason_of(error)
        raise UsageError(f"its certificates cannot be read ({reason})", where=path, hint="name a file in PEM format") from None
    if not path and usual.cafile in (None, usual.openssl_cafile) and usual.capath in (None, usual.openssl_capath):
        found.load_verify_locations(requests.utils.DEFAULT_CA_BUNDLE_PATH)
    if address.insecure:
        found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    found.sslsocket_class = _TlsSocket
    return found


def headers_of(address: Address, **usual: str) -> dict[str, str]:
    """Return the headers of each request to a server: its own, instead of ours of these names."""
    found = urllib3.HTTPHeaderDict({"User-Agent": USER_AGENT, **usual})
    found.update(address.headers)
    return dict(found)


class _Request(requests.PreparedRequest):
    """A request that was prepared by hand."""

    path_url = ""  # otherwise it is found anew in the URL


class Connections(HTTPAdapter):
    """Connections to one server, for several threads, whose answers `at_most` can limit.

    Args:
        address: The server.

    Raises:
        UsageError: The URL of a proxy or a certificate is not usable.
    """

    def __init__(self, address: Address) -> None:
        proxy = proxy_of(address)
        self._start: tuple[str, str] | None = None
        self._proxies = {"all": str(proxy)} if proxy else {}
        uses_tls = "https" in (urlsplit(address.url).scheme, proxy and proxy.scheme)
        self._tls: dict[str, Any] = {"ssl_context": tls_of(address)} if uses_tls else {}
        if address.insecure:
            # The user has asked for it and is told so once; urllib3 would say so with every request.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._pool: Any = None
        self._url = address.url
        super().__init__(pool_maxsize=_KEPT_OPEN)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | bytes],
        headers: Mapping[str, str],
        body: Any,
        timeout: tuple[float, float],
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; a redirect is an answer like others, and nothing of the body is read yet.

        A session would merge cookies, hooks and the environment into it, and look through the URL and all headers once more, which
        together costs more than the request.

        Args:
            method: Such as GET.
            path: The route, with what its server's URL has before it, quoted as a URL is.
            query: What it is asked with.
            headers: All of them, but for the length of the body.
            body: What is sent, of a known length; None for nothing.
            timeout: Seconds for the connection, and for the next bytes.

        Raises:
            requests.RequestException: There is no answer.
        """
        request, (origin, start) = _Request(), self._prepared()
        request.method, request.path_url = method, start + path
        if query:
            request.path_url += ("&" if "?" in path else "?") + urlencode(query)
        request.url, request.body = origin + request.path_url, body
        request.headers = headers if body is None else {**headers, "Content-Length": str(len(body))}  # type: ignore[assignment]
        found: Any = self.send(request, stream=True, timeout=timeout, proxies=self._proxies)
        return found  # type: ignore[no-any-return] # as `build_response` gives it

    def build_response(self, req: Any, resp: Any) -> Any:  # noqa: ARG002 - it is the one that was sent
        """Return an answer as it is: what `requests` makes of it is for sessions."""
        return resp

    def _prepared(self) -> tuple[str, str]:
        """Return the server's URL as it goes over the wire: its scheme and host, and the path that all routes begin with."""
        if self._start is None:
            request = requests.PreparedRequest()
            request.prepare_url(f"{self._url}/", None)
            parts = urlsplit(str(request.url))
            self._start = f"{parts.scheme}://{parts.netloc}", parts.path.removesuffix("/")
        return self._start

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the pools for direct connections."""
        super().init_poolmanager(connections, maxsize, block, **options, **self._tls)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the pools for connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options, **self._tls, proxy_ssl_context=self._tls.get("ssl_context"))
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        """Return where a request finds its connection: always in the same pool, for there is one server, and one way to it."""
        self._pool = self._pool or super().get_connection_with_tls_context(*args, **options)
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> Any:
        """Return what a server is told of a URL, or all of it, as a proxy is."""
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Return whom a request goes to; how certificates are checked is the same for all of them."""
        return super().build_connection_pool_key_attributes(request, verify, cert)[0], {}

    def cert_verify(self, *args: Any) -> None:
        """Leave that to `tls_of`."""


@contextmanager
def at_most(seconds: float, url: str, hurry: threading.Event) -> Iterator[None]:
    """Limit the request that this thread makes inside the block, however slowly its answer drips.

    Args:
        seconds: What sending and reading may take together.
        url: Whom it is sent to, for the message.
        hurry: Once it is set, also while the answer is waited for, a server may be silent only for `_HURRIED` seconds.

    Raises:
        Unreachable: It takes longer.
    """
    _here.limit = _Limit(time.monotonic() + seconds, hurry)
    try:
        yield
    except _TooSlow:
        what = "did not answer in time" if hurry.is_set() else f"took longer than {seconds:g} seconds to answer"
        raise Unreachable(what, where=url) from None
    finally:
        _here.limit = None


class _TooSlow(Exception):
    """The time of a request is over."""


@dataclass(frozen=True, slots=True)
class _Limit:
    ends: float
    hurry: threading.Event

    def left(self, began: float) -> float:
        """Return the seconds for which to wait for a piece that is waited for since `began`."""
        ends = min(self.ends, began + _HURRIED) if self.hurry.is_set() else self.ends
        if (left := ends - time.monotonic()) <= 0:
            raise _TooSlow
        return left


class _Limited:
    """Waits for a piece no longer than its thread's request may still take; what it is put before is a socket."""

    def recv_into(self: Any, *args: Any, **options: Any) -> Any:
        limit, usual, began = getattr(_here, "limit", None), self.gettimeout(), time.monotonic()
        if limit is None or usual is None:
            return super().recv_into(*args, **options)  # type: ignore[misc]
        try:
            while True:
                silent = time.monotonic() - began
                self.settimeout(max(0.001, min(usual - silent, limit.left(began), _LOOK)))
                try:
                    return super().recv_into(*args, **options)  # type: ignore[misc]
                except TimeoutError:
                    if time.monotonic() - began >= usual:
                        raise
        finally:
            self.settimeout(usual)

    def sendall(self: Any, *args: Any, **options: Any) -> None:
        limit = getattr(_here, "limit", None)
        if limit is not None:
            limit.left(time.monotonic())
        super().sendall(*args, **options)  # type: ignore[misc]


class _Socket(_Limited, socket.socket):
    pass


class _TlsSocket(_Limited, ssl.SSLSocket):
    pass


class _Connection(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        timeout = self.sock.gettimeout()
        self.sock = _Socket(fileno=self.sock.detach())
        self.sock.settimeout(timeout)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


_POOLS = {"http": _Pool, "https": urllib3.HTTPSConnectionPool}
