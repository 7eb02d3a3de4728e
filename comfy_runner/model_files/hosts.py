"""Which hosts models may be fetched from, and what opens their doors. A redirect is asked about like the URL that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from comfy_runner.errors import UsageError
from comfy_runner.text_files import on_one_line

_PORTS: Final = {"https": 443, "http": 80}

# Where hosts keep their files, to which they redirect: what one who allows the host means by that. For Hugging Face it is
# https://huggingface.co/docs/hub/models-downloading, for GitHub what it redirects releases to.
_SERVED_BY: Final[Mapping[str, Sequence[str]]] = {
    "huggingface.co": ("*.huggingface.co", "*.hf.co"),
    "github.com": ("*.githubusercontent.com",),
}


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that models may be fetched from. It can be sent to other processes.

    Attributes:
        allowed: As in the config file: ``huggingface.co``, ``*.example.org``, ``http://nas:8000``, ``s3://bucket``.
        tokens: Bearer tokens by host, written likewise.
    """

    allowed: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

    def allows(self, url: str, *, redirected: bool = False) -> bool:
        """Return whether a model may be fetched from a URL.

        Args:
            url: The URL.
            redirected: Whether an allowed host leads there, and not a recipe.
        """
        served = [host for allowed in self.allowed for host in _SERVED_BY.get(allowed, ())] if redirected else []
        return any(_matches(each, url) for each in (*self.allowed, *served))

    def token_for(self, url: str) -> str:
        """Return the token of a URL's own host; empty where it has none."""
        return next((token for host, token in self.tokens.items() if not _is_wild(host) and _matches(host, url)), "")

    def refuse(self, url: str, *, where: str = "", redirected: bool = False) -> None:
        """Refuse a URL that no model may be fetched from.

        Raises:
            UsageError: It is one.
        """
        if not self.allows(url, redirected=redirected):
            host = told_host(url)
            what = (
                f"redirects to {host}, from which models may not be fetched"
                if redirected
                else f"models may not be fetched from {host}"
            )
            raise UsageError(what, where=where, hint=f"if you trust it, add it to the config file: models: {{hosts: [{host}]}}")


def told_host(url: str) -> str:
    """Return the host of a URL as the config file has it."""
    parts = _split(url)
    if parts is None:
        return on_one_line(url, longest=100)
    port = f":{parts.port}" if parts.port not in (None, _PORTS.get(parts.scheme)) else ""
    return f"{'' if parts.scheme == 'https' else parts.scheme + '://'}{parts.hostname}{port}"


def _matches(allowed: str, url: str) -> bool:
    entry, found = _split(allowed if "://" in allowed else f"https://{allowed}"), _split(url)
    if entry is None or found is None or entry.scheme != found.scheme or _port(entry) != _port(found):
        return False
    name, host = entry.hostname or "", found.hostname or ""
    return host.endswith(name[1:]) and host != name[1:] if _is_wild(allowed) else host == name


def _is_wild(allowed: str) -> bool:
    return allowed.rpartition("://")[2].startswith("*.")


def _port(parts: SplitResult) -> int | None:
    return parts.port or _PORTS.get(parts.scheme)


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL; None for one of which different readers make different hosts."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    # What is left of a netloc beside host and port is a user, or something worse.
    plain = (parts.netloc.lower().removesuffix(f":{port}") if port is not None else parts.netloc.lower()).strip("[]")
    is_plain = url.isascii() and url.isprintable() and not set(url) & set(" \\") and plain == host
    return parts if parts.scheme and host and is_plain else None
