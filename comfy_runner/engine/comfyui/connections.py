"""How one server is reached, by HTTP and by websocket alike: which proxy, which certificates; and how long one answer may take.

The timeouts of `urllib3` are for the next bytes alone: a server that sends one byte a second is never late for them. So sockets
wait for each piece only as long as the whole may still take.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.util import Url, parse_url

from comfy_runner._version import __version__
from comfy_runner.engine.comfyui.address import Address, is_loopback
from comfy_runner.errors import Unreachable, UsageError

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
    parts = urlsplit(address.url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(address.url) or proxy_bypass(parts.netloc):
        return None
    # NO_PROXY may name networks too, which the standard library does not know.
    if _is_in(proxies.get("no", "").split(","), parts.hostname or ""):
        return None
    try:
        return parse_url(proxy if "://" in proxy else f"http://{proxy}")
    except urllib3.exceptions.LocationParseError:
        raise UsageError("the proxy's URL in the environment is not usable", where=address.url) from None


def _is_in(networks: Iterable[str], host: str) -> bool:
    with contextlib.suppress(ValueError):
        found = ipaddress.ip_address(host)
        for network in networks:
            with contextlib.suppress(ValueError):
                if found in ipaddress.ip_network(network.strip(), strict=False):
                    return True
    return False


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
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"no certificates can be read ({reason})", where=path, hint="name a file in PEM format") from None
    if not path and usual.cafile in (None, usual.openssl_cafile) and usual.capath in (None, usual.openssl_capath):
        found.load_verify_locations(certifi.where())
    if address.insecure:
        found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    found.sslsocket_class = _TlsSocket
    return found


def headers_of(address: Address, **usual: str) -> dict[str, str]:
    """Return the headers of each request to a server: its own, instead of ours of these names."""
    found = urllib3.HTTPHeaderDict({"User-Agent": USER_AGENT, **usual})
    found.update(address.headers)
    return dict(found)


def pool_of(address: Address) -> urllib3.PoolManager:
    """Return connections to a server, for several threads, whose answers `at_most` can limit.

    Raises:
        UsageError: The URL, that of a proxy, or a certificate is not usable.
    """
    scheme, proxy = urlsplit(address.url).scheme, proxy_of(address)
    if scheme not in ("http", "https"):
        raise UsageError("is not a usable URL", where=address.url)
    options: dict[str, Any] = {"maxsize": _KEPT_OPEN}
    if "https" in (scheme, proxy and proxy.scheme):
        options["ssl_context"] = tls_of(address)
    if address.insecure:
        # The user has asked for it and is told so once; urllib3 would say so with every request.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if proxy is None:
        pool = urllib3.PoolManager(**options)
    else:
        login = credentials(proxy)
        headers = urllib3.make_headers(proxy_basic_auth=":".join(login)) if login else {}
        try:
            pool = urllib3.ProxyManager(str(proxy), proxy_headers=headers, proxy_ssl_context=options.get("ssl_context"), **options)
        except urllib3.exceptions.ProxySchemeUnknown:
            raise UsageError("the proxy's URL in the environment is not usable", where=address.url) from None
    pool.pool_classes_by_scheme = {"http": _Pool, "https": urllib3.HTTPSConnectionPool}
    return pool


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
