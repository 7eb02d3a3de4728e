"""A server's address as a user types it, made exact once: the base URL, the websocket URL, the headers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

from comfy_runner.errors import UsageError

_EXAMPLE = "give it like http://127.0.0.1:8188"


@dataclass(frozen=True, slots=True)
class Address:
    """Where one ComfyUI is.

    Attributes:
        url: Base URL without a trailing slash and without credentials; safe to print.
        headers: Sent with every request and with the websocket handshake; never printed.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def http(self, path: str) -> str:
        """Return the URL of a route such as ``/prompt``."""
        return self.url + path

    def websocket(self, client_id: str) -> str:
        """Return the URL of the websocket for this client id."""
        return "ws" + self.url.removeprefix("http") + "/ws?" + urlencode({"clientId": client_id})


def parse_address(text: str, *, headers: Mapping[str, str] | None = None) -> Address:
    """Read a server's address: ``host:port``, or an http(s) URL with an optional path and ``user:password@``.

    Raises:
        UsageError: It is not such an address.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"not the address of a server: {error} (got {_harmless(text)!r})", hint=_EXAMPLE) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or " " in parts.netloc:
        raise UsageError(f"not the address of a server (got {_harmless(text)!r})", hint=_EXAMPLE)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port is None else f"{host}:{port}"
    found = dict(headers or {})
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        found["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode("ascii")
    return Address(urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", "")), found)


def _harmless(text: str) -> str:
    return text.rsplit("@", 1)[-1]
