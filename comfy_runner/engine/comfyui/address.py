"""A server's address as a user types it, made exact once: base URL, websocket URL, and what opens its doors.

Secrets (headers, query) are kept apart from the URL, which is safe to print.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

from comfy_runner.config import harmless
from comfy_runner.errors import UsageError

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_EXAMPLE = "write it like http://127.0.0.1:8188"


@dataclass(frozen=True, slots=True)
class Address:
    """Where one ComfyUI is.

    Attributes:
        url: Base URL without a trailing slash and without credentials; safe to print.
        headers: Sent with every request and with the websocket handshake; never printed.
        query: Sent with both as query parameters, such as a token; never printed.
        cacert: File, or folder, with the certificates that the server's may be signed by; empty for those that the system knows.
        insecure: Whether the server's certificate is not checked.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    cacert: str = ""
    insecure: bool = False

    def http(self, path: str) -> str:
        """Return the URL of a route such as ``/prompt``."""
        return self.url + path

    def websocket(self, client_id: str) -> str:
        """Return the URL of the websocket for this client id."""
        return "ws" + self.url.removeprefix("http") + "/ws?" + urlencode({**self.query, "clientId": client_id})


def parse_address(
    text: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    cacert: str = "",
    insecure: bool = False,
) -> Address:
    """Read a server's address: ``host:port``, or an http(s) URL with an optional path and ``user:password@``.

    Args:
        text: The address; spaces around it do not count.
        headers: For every request to it. A password in the address replaces an ``Authorization`` among them.
        query: Query parameters for every request to it.
        cacert: As in `Address`.
        insecure: As in `Address`.

    Raises:
        UsageError: It is not such an address, or a header is not valid HTTP.
    """
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"not the address of a server: {error} (got {harmless(text)!r})", hint=_EXAMPLE) from error
    # urlsplit drops line ends and tabs without a word, so the text itself is looked at.
    odd = parts.query or parts.fragment or any(char.isspace() or not char.isprintable() for char in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or odd:
        hint = "put a token in the query into the config file, under `query:`" if parts.query else _EXAMPLE
        raise UsageError(f"not the address of a server (got {harmless(text)!r})", hint=hint)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port is None else f"{host}:{port}"
    found = dict(headers or {})
    for name, value in found.items():
        _check_header(name, value)
    if parts.username is not None:
        found = {name: value for name, value in found.items() if name.lower() != "authorization"}
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        found["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode("ascii")
    url = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    return Address(url, found, dict(query or {}), cacert, insecure)


def _check_header(name: str, value: str) -> None:
    # The value may be a secret: it is not shown.
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise UsageError(f"a header is not valid HTTP (got the header {name!r})", hint="use plain ASCII names and Latin-1 values")


def is_loopback(url: str) -> bool:
    """Return whether a URL is one of this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
