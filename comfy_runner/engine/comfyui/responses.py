"""A server's HTTP answer, read to its end within bounds, or an error of ours; and what a status tells a user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3

from comfy_runner.errors import LOGIN_STATUSES, ComfyRunnerError, ServerRefused, Unreachable, UsageError
from comfy_runner.wording import MIB

_LOGIN_HINT = "a login page or a proxy is in between: give its headers in the config file"

_LIMIT = 64 * MIB
_MOST_VALUES = 4_000_000
_SHOWN = 300
_REMOVED = b"(API key)"

# What exceptions of requests mean here, and those of urllib3, which it lets through while a body is read; one that is not named
# means what its nearest parent means.
TRANSLATION: dict[type[BaseException], tuple[type[ComfyRunnerError], str]] = {
    requests.exceptions.InvalidProxyURL: (UsageError, "the proxy's URL in the environment is not usable"),
    requests.exceptions.InvalidURL: (UsageError, "is not a usable URL"),
    requests.exceptions.MissingSchema: (UsageError, "is not a usable URL"),
    requests.exceptions.InvalidSchema: (UsageError, "is not a usable URL"),
    requests.exceptions.InvalidHeader: (UsageError, "a header is not valid HTTP"),
    requests.exceptions.SSLError: (Unreachable, "the TLS connection failed"),
    requests.exceptions.ProxyError: (Unreachable, "the proxy in between refused"),
    requests.exceptions.ConnectTimeout: (Unreachable, "nobody answered in time"),
    requests.exceptions.Timeout: (Unreachable, "did not answer in time"),
    requests.exceptions.ConnectionError: (Unreachable, "nobody answers"),
    requests.exceptions.ChunkedEncodingError: (Unreachable, "the answer broke off"),
    requests.exceptions.ContentDecodingError: (Unreachable, "the answer is garbled"),
    requests.exceptions.RequestException: (Unreachable, "the request failed"),
    urllib3.exceptions.TimeoutError: (Unreachable, "did not answer in time"),
    urllib3.exceptions.DecodeError: (Unreachable, "the answer is garbled"),
    urllib3.exceptions.HTTPError: (Unreachable, "the answer broke off"),
}

_UNREACHABLE_HINT = "is ComfyUI running there? `--server local` starts one"
_HINTS: dict[type[BaseException], str] = {
    requests.exceptions.SSLError: "name its certificate with --cacert FILE; --insecure skips the check",
    requests.exceptions.ProxyError: "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment",
}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete HTTP answer.

    Attributes:
        url: The route that was asked, without its query.
        status: The HTTP status.
        body: The body, as JSON where it is JSON, else the start of it as text.
        retry_after: Seconds after which the server wants to be asked again; 0 where it does not say.
    """

    url: str
    status: int
    body: Any
    retry_after: float = 0.0


def answer_of(response: urllib3.BaseHTTPResponse, url: str, *, secret: str = "") -> HttpAnswer:
    """Read a response, of which nothing was read yet, to its end.

    Args:
        response: The response.
        url: The route that was asked, without its query.
        secret: What is taken out of the answer, wherever it is repeated; empty for nothing.

    Raises:
        Unreachable: It is too large, or would be in memory.
    """
    body = response.read(_LIMIT + 1, decode_content=True)
    if len(body) > _LIMIT:
        raise Unreachable(f"the answer is larger than {_LIMIT // MIB} MiB", where=url)
    # Each value follows one of these; an empty object takes 30 times the memory that it took on the wire.
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > _MOST_VALUES:
        raise Unreachable(f"the answer has more than {_MOST_VALUES} values", where=url)
    if secret:
        body = body.replace(secret.encode("ascii"), _REMOVED)
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = body[:_SHOWN].decode("utf-8", "replace")
    headers = response.headers
    return HttpAnswer(url, response.status, parsed, seconds_of(headers.get("Retry-After", ""), date=headers.get("Date", "")))


def seconds_of(retry_after: str, *, date: str = "") -> float:
    """Return the seconds that a ``Retry-After`` means, a number or a date (RFC 9110, 10.2.3); 0 for anything else.

    Args:
        retry_after: The header.
        date: The header ``Date`` of the same answer, from which a date is counted: the clock of this machine may be another one.
    """
    text = retry_after.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def strings(found: Any) -> list[str]:
    """Return the texts in what should be a list of texts."""
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def refused(answer: HttpAnswer) -> ServerRefused:
    """Return the error for a status that is no success, with a way out or the server's own words."""
    hint = str(answer.body)[:_SHOWN] if answer.body else ""
    if answer.status in LOGIN_STATUSES:
        hint = _LOGIN_HINT
    elif answer.status == 413:
        hint = too_large(str(answer.body))
    error = ServerRefused(f"answered with status {answer.status}", where=answer.url, hint=hint)
    error.status, error.retry_after = answer.status, answer.retry_after
    return error


def too_large(body: str) -> str:
    """Return the way out where something is larger than a server takes, by what it says: ComfyUI itself, or a proxy before it."""
    if "request body size" in body:
        return "start ComfyUI with a higher --max-upload-size"
    proxy = "raise the limit of the proxy in front of ComfyUI (client_max_body_size in nginx)"
    return proxy if "<html" in body.lower() else f"{proxy}, or start ComfyUI with a higher --max-upload-size"


def not_comfyui(answer: HttpAnswer) -> Unreachable:
    """Return the error for an answer that ComfyUI does not give."""
    login = isinstance(answer.body, str) and "<html" in answer.body.lower()
    hint = _LOGIN_HINT if login else "is this the address of ComfyUI itself?"
    error = Unreachable("answers, but not like ComfyUI", where=answer.url, hint=hint)
    error.retry_after = answer.retry_after
    return error


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise errors of our own tree for those of the libraries underneath.

    Args:
        url: The route that is asked, without its query.

    Raises:
        Unreachable: Nobody answers, or not to the end.
        UsageError: The URL, the proxy's or a header is not usable.
    """
    try:
        yield
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        kind, what = next(TRANSLATION[parent] for parent in type(error).__mro__ if parent in TRANSLATION)
        hint = _HINTS.get(type(error), _UNREACHABLE_HINT) if kind is Unreachable else ""
        # The library's error quotes the URL with its query, which may hold a token.
        raise kind(what, where=url, hint=hint) from None
    except UnicodeError:  # the characters of headers and host names are checked only in part
        raise UsageError("a header or the host's name cannot be sent", where=url) from None
    except ValueError:  # http.client lets it out for a chunk of negative length
        raise Unreachable("the answer is garbled", where=url) from None
