"""A server's HTTP answer read to its end, within bounds, and what its status tells a user. Not here: asking (`http`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from comfy_runner.errors import Unreachable
from comfy_runner.wording import MIB

LOGIN_HINT = "a login page or a proxy is in between: give its headers in the config file"

_LIMIT = 64 * MIB
_MOST_VALUES = 4_000_000
_SHOWN = 300


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


def seconds_of(retry_after: str) -> float:
    """Return the seconds that a ``Retry-After`` means, a number or a date (RFC 9110, 10.2.3); 0 for anything else."""
    text = retry_after.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
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
