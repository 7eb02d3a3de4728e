"""Notifications about a run: a POST of a small JSON object to a URL, or a command with the same values in its environment.

Notifications contain no secrets. Messages about them never contain the URL, because its path may be a secret.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Literal
from urllib.parse import urljoin, urlsplit

from comfy_runner._version import __version__
from comfy_runner.errors import ComfyRunnerError, UsageError
from comfy_runner.text_files import scheme_of

SECONDS: Final = 10.0
"""The most that telling one thing may take."""

VERSION: Final = 1
"""Of the JSON object: names and meanings never change within a version; new keys may come, which readers ignore."""

_MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_KEEPING_THE_METHOD = (307, 308)


@dataclass(frozen=True, slots=True)
class Notice:
    """The content of a notification.

    Attributes:
        event: ``ended``: the run has ended; ``servers-lost``: none of its servers answers, and it waits for one;
            ``failed``: it could not begin, or broke off.
        text: A sentence for people.
        run: The run folder, as an absolute path or a URL; empty if there is none yet.
        jobs: The number of jobs in each state.
        exit_code: The exit code of the command; None while it runs.
        report: The page, as an absolute path or a URL; empty if there is none.
    """

    event: Literal["ended", "servers-lost", "failed"]
    text: str
    run: str = ""
    jobs: Mapping[str, int] = field(default_factory=dict)
    exit_code: int | None = None
    report: str = ""

    def variables(self) -> dict[str, str]:
        """Return the environment variables for a command: ``NOTIFY_EVENT`` and so on, counts as ``NOTIFY_JOBS_DONE``."""
        found = {name: value for name, value in asdict(self).items() if name != "jobs"}
        found |= {f"jobs_{state}": count for state, count in self.jobs.items()}
        return {f"NOTIFY_{name.upper()}": "" if value is None else str(value) for name, value in found.items()}


def check_target(target: str, *, where: str) -> None:
    """Check the target of notifications before anything is rendered.

    Args:
        target: An http or https URL, or a command.
        where: The option or the setting that names it, for the error.

    Raises:
        UsageError: It is another kind of URL, or the command does not exist.
    """
    if scheme_of(target):
        try:
            parts = urlsplit(target)
            is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and target.isprintable()
        except ValueError:
            is_usable = False
        if not is_usable:
            raise UsageError("is not a URL to post to", where=where, hint="give one that begins with http:// or https://")
        return
    words = _words(target, where)
    if not words or shutil.which(words[0]) is None:
        named = f" (got {words[0]})" if words else ""
        raise UsageError(f"there is no such command{named}", where=where, hint="give a URL, or a program that is on the PATH")


def tell(target: str, notice: Notice, *, environment: Mapping[str, str]) -> None:
    """Send a notification, within `SECONDS`.

    Args:
        target: A target that `check_target` has accepted.
        notice: The content.
        environment: The other environment variables of a command.

    Raises:
        ComfyRunnerError: The notification did not arrive.
    """
    if not scheme_of(target):
        _call(_words(target, ""), {**environment, **notice.variables()})
        return
    # The library's timeouts are for the next bytes alone: a server that sends one byte a second is never late for them.
    faults: list[ComfyRunnerError] = [ComfyRunnerError(f"did not answer within {SECONDS:g} seconds", where=_host(target))]

    def post() -> None:
        try:
            _post(target, notice)
        except ComfyRunnerError as error:
            faults[:] = [error]
        else:
            faults.clear()

    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    thread.join(SECONDS)
    for fault in tuple(faults):
        raise fault


def _words(target: str, where: str) -> Sequence[str]:
    try:
        return shlex.split(target, posix=os.name != "nt")
    except ValueError as error:
        raise UsageError(f"is not a command: {error}", where=where) from None


def _call(words: Sequence[str], environment: Mapping[str, str]) -> None:
    none = subprocess.DEVNULL
    try:
        ended = subprocess.run(words, env=environment, stdin=none, stdout=none, stderr=none, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ComfyRunnerError(f"did not end within {SECONDS:g} seconds, and was killed", where=words[0]) from None
    except (OSError, ValueError) as error:
        raise ComfyRunnerError(f"cannot be called: {getattr(error, 'strerror', None) or error}", where=words[0]) from None
    if ended.returncode:
        raise ComfyRunnerError(f"ended with exit code {ended.returncode}", where=words[0])


def _post(url: str, notice: Notice) -> None:
    import requests  # only where somebody is told by HTTP

    body = json.dumps({"v": VERSION, **asdict(notice)}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"comfy-runner/{__version__}"}
    for _ in range(_MOST_REDIRECTS + 1):
        try:
            answer = requests.post(url, data=body, headers=headers, allow_redirects=False, stream=True, timeout=SECONDS)
        except (requests.RequestException, ValueError, OSError) as error:
            is_late = isinstance(error, requests.exceptions.Timeout)
            raise ComfyRunnerError("did not answer in time" if is_late else "nobody answers", where=_host(url)) from None
        answer.close()
        if answer.status_code not in _REDIRECTS:
            break
        onward = urljoin(url, answer.headers.get("Location", ""))
        if answer.status_code not in _KEEPING_THE_METHOD or urlsplit(onward)[:2] != urlsplit(url)[:2]:
            hint = "give the address that it redirects to"
            raise ComfyRunnerError(f"redirects elsewhere ({answer.status_code})", where=_host(url), hint=hint)
        url = onward
    if not answer.ok or answer.status_code in _REDIRECTS:
        raise ComfyRunnerError(f"answers with status {answer.status_code}", where=_host(url))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
