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

from comfy_runner.errors import ComfyRunnerError, Unreachable, UsageError
from comfy_runner.wording import MIB

LOGIN_HINT = "a login page or a proxy is in between: give its headers in the config file"

_LIMIT = 64 * MIB
_MOST_VALUES = 4_000_000
_SHOWN = 300

# Every exception that requests can raise, and what it means here; one that is new means what its nearest parent means.
TRANSLATION: dict[type[BaseException], tuple[type[ComfyRunnerError], str]] = {
    requests.exceptions.InvalidURL: (UsageError, "is not a usable URL"),
    requests.exceptions.MissingSchema: (UsageError, "is not a usable URL"),
    requests.exceptions.InvalidSchema: (UsageError, "is not a usable URL"),
    requests.exceptions.URLRequired: (UsageError, "is not a usable URL"),
    requests.exceptions.InvalidHeader: (UsageError, "a header is not valid HTTP"),
    requests.exceptions.InvalidProxyURL: (UsageError, "the proxy's URL in the environment is not usable"),
    requests.exceptions.SSLError: (Unreachable, "the TLS connection failed"),
    requests.exceptions.ProxyError: (Unreachable, "the proxy in between refused"),
    requests.exceptions.ConnectTimeout: (Unreachable, "nobody answered in time"),
    requests.exceptions.ReadTimeout: (Unreachable, "did not answer in time"),
    requests.exceptions.Timeout: (Unreachable, "did not answer in time"),
    requests.exceptions.ChunkedEncodingError: (Unreachable, "the answer broke off"),
    requests.exceptions.StreamConsumedError: (Unreachable, "the answer broke off"),
    requests.exceptions.ContentDecodingError: (Unreachable, "the answer is garbled"),
    requests.exceptions.JSONDecodeError: (Unreachable, "the answer is garbled"),
    requests.exceptions.InvalidJSONError: (Unreachable, "the answer is garbled"),
    requests.exceptions.ConnectionError: (Unreachable, "nobody answers"),
    requests.exceptions.RetryError: (Unreachable, "the request failed"),
    requests.exceptions.TooManyRedirects: (Unreachable, "the request failed"),
    requests.exceptions.UnrewindableBodyError: (Unreachable, "the request failed"),
    requests.exceptions.HTTPError: (Unreachable, "the request failed"),
    requests.exceptions.RequestException: (Unreachable, "the request failed"),
}

_UNREACHABLE_HINT = "is ComfyUI running there? `--server local` starts one"
_HINTS: dict[type[BaseException], str] = {
    requests.exceptions.SSLError: "name its certificate with --cacert FILE; --insecure does without a check",
    requests.exceptions.ProxyError: "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment",
}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete HTTP answer that is not a success, or whose status the caller wants to see.

    Attributes:
        status: The HTTP status.
        body: The body, as JSON where it is JSON, else as text.
        retry_after: Seconds after which the server wants to be asked again; 0 where it does not say.
    """

    status: int
    body: Any
    retry_after: float = 0.0


def read(response: requests.Response) -> Any:
    """Return the body of an answer, as JSON where it is JSON, else the start of it as text.

    Raises:
        Unreachable: It is too large, or would be in memory.
    """
    body = response.raw.read(_LIMIT + 1, decode_content=True)
    if len(body) > _LIMIT:
        raise Unreachable(f"the answer is larger than {_LIMIT // MIB} MiB", where=response.url.partition("?")[0])
    # Each value follows one of these; an empty object takes 30 times the memory that it took on the wire.
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > _MOST_VALUES:
        raise Unreachable(f"the answer has more than {_MOST_VALUES} values", where=response.url.partition("?")[0])
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body[:_SHOWN].decode("utf-8", "replace")


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


def status_hint(answer: HttpAnswer) -> str:
    """Return what a status that is no success tells: a way out, or the server's own words."""
    if answer.status in (301, 302, 303, 307, 308, 401, 403, 407):
        return LOGIN_HINT
    if answer.status == 413:
        return "the workflow is larger than the server takes: start ComfyUI with a higher --max-upload-size"
    return str(answer.body)[:_SHOWN] if answer.body else ""


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
    except requests.exceptions.RequestException as error:
        kind, what = next(TRANSLATION[parent] for parent in type(error).__mro__ if parent in TRANSLATION)
        hint = _HINTS.get(type(error), _UNREACHABLE_HINT) if kind is Unreachable else ""
        # The library's error quotes the URL with its query, which may hold a token.
        raise kind(what, where=url, hint=hint) from None
    except urllib3.exceptions.HTTPError:  # while reading a body, requests lets these through
        raise Unreachable("the answer broke off", where=url) from None
    except UnicodeError:  # requests checks the characters of headers and host names only in part
        raise UsageError("a header or the host's name cannot be sent", where=url) from None
    except ValueError:  # http.client lets it out for a chunk of negative length
        raise Unreachable("the answer is garbled", where=url) from None
