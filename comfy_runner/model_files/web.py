"""Model files on web servers: one GET from a byte on, redirects followed to allowed hosts alone, each with its own token or none.

Neither cookies nor ``~/.netrc`` take part: what a host is sent is what the config file has for that very host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin

import requests
import urllib3

from comfy_runner._version import __version__
from comfy_runner.errors import LOGIN_STATUSES, ModelError, ServerRefused, Unreachable
from comfy_runner.model_files.file_reading import CHUNK, Reading
from comfy_runner.model_files.hosts import Hosts, told_host
from comfy_runner.text_files import on_one_line

_TIMEOUTS = (20.0, 60.0)
"""Seconds for a connection, and for the next bytes."""

_MOST_REDIRECTS = 8
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_USER_AGENT = f"comfy-runner/{__version__}"


def read_web(url: str, start: int, version: str, *, hosts: Hosts, where: str = "") -> Reading:
    """Ask for a file from a byte on.

    Args:
        url: The file, from an allowed host.
        start: The first byte that is wanted.
        version: The ETag, or else the date, of the file whose bytes before that are known; empty where neither is known.
        hosts: Where redirects may lead, and tokens.
        where: The place in a recipe, for messages.

    Raises:
        UsageError: It redirects to where no models may be fetched from.
        Unreachable: Nobody answers.
        ServerRefused: The server does not give it.
        ModelError: What it answers makes no sense.
    """
    wanted = {"Range": f"bytes={start}-"} if start else {}
    if start and version and not version.startswith("W/"):
        wanted["If-Range"] = version
    session = _session()
    try:
        answer = _followed(session, url, wanted, hosts, where)
        if answer.status_code == 416:  # the part is longer than the file, which is another one by now
            answer.close()
            answer = _followed(session, url, {}, hosts, where)
        first, total = _extent(answer, start, url)
    except BaseException:
        session.close()
        raise
    found = answer.headers.get("ETag") or answer.headers.get("Last-Modified", "")

    def close() -> None:
        answer.close()
        session.close()

    return Reading(first, total, found, _chunks(answer, url), close)


def _extent(answer: requests.Response, start: int, url: str) -> tuple[int, int | None]:
    """Return the first byte of what comes, and how many the whole file has."""
    if answer.headers.get("Content-Encoding", "identity").lower() == "identity":
        if answer.status_code == 200:
            said = answer.headers.get("Content-Length", "")
            return 0, int(said) if said.isdecimal() else None
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status_code == 206 and found is not None and int(found[1]) == start:
            return start, None if found[3] == "*" else int(found[3])
    answer.close()
    raise ModelError("did not send the requested bytes", where=told_host(url))


def _session() -> requests.Session:
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Otherwise ~/.netrc would be asked for a password.
    session.auth = lambda request: request
    return session


def _followed(session: requests.Session, url: str, wanted: dict[str, str], hosts: Hosts, where: str) -> requests.Response:
    """Return the answer that redirects lead to."""
    for number in range(_MOST_REDIRECTS):
        if number:
            hosts.refuse(url, where=where, redirected=True)
        headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **wanted}
        if token := hosts.token_for(url):
            headers["Authorization"] = f"Bearer {token}"
        try:
            answer = session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=_TIMEOUTS)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Unreachable(_reason(error), where=told_host(url)) from error
        except ValueError as error:  # a token with an end of a line
            raise ModelError("cannot be asked for: a header is not valid HTTP", where=told_host(url)) from error
        location = answer.headers.get("Location")
        if answer.status_code in _REDIRECTS and location:
            answer.close()
            url = urljoin(url, location)
            continue
        if answer.status_code not in (200, 206, 416):
            answer.close()
            raise _refusal(answer, url, hosts)
        return answer
    raise ModelError(f"redirects more than {_MOST_REDIRECTS} times", where=told_host(url))


def _refusal(answer: requests.Response, url: str, hosts: Hosts) -> ServerRefused:
    status, host = answer.status_code, told_host(url)
    hint = ""
    if status in LOGIN_STATUSES:
        known = (
            "is not enough: check what it may read, and whether you have accepted the model's terms" if hosts.token_for(url) else ""
        )
        hint = (
            f"the token for {host} {known}" if known else f"give a token for {host}: models.tokens in the config file, or HF_TOKEN"
        )
    if status == 404:
        hint = "check the URL in the recipe"
    error = ServerRefused(f"answers {status} {on_one_line(answer.reason or '', longest=80)}".rstrip(), where=host, hint=hint)
    error.status, error.retry_after = status, _retry_after(answer)
    return error


def _retry_after(answer: requests.Response) -> float:
    said = answer.headers.get("Retry-After", "")
    if said.isdecimal():
        return float(said[:6])
    try:
        until, now = (parsedate_to_datetime(text) for text in (said, answer.headers.get("Date", "")))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _chunks(answer: requests.Response, url: str) -> Iterator[bytes]:
    try:
        while chunk := answer.raw.read(CHUNK, decode_content=False):
            yield chunk
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable("the answer broke off", where=told_host(url)) from error


def _reason(error: BaseException) -> str:
    """Return what is said of a request without an answer; the libraries' own words may have the keys of a signed URL in them."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS connection failed"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy in between refused"
    return "did not answer in time" if isinstance(error, requests.exceptions.Timeout) else "nobody answers"
