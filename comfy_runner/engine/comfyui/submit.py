"""Handing a job to a server exactly once, also when the reply is lost or is an error about a prompt that was queued all the same.

A prompt is never posted again before the server was asked whether it has it: by its id, and on servers that choose ids
themselves by our client id and the file prefixes in its graph. When to try again is decided by `prompt_thread`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.reports import Complaint
from comfy_runner.errors import ComfyRunnerError, ServerError, ServerRefused, Unreachable
from comfy_runner.input_files import InputFile

_RECENT = 50
"""How many history entries are looked through for a prompt whose id is not known."""
_LENGTH = 300


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """A job to submit.

    Attributes:
        key: The caller's name for it.
        prompt_id: A canonical lower-case UUID.
        workflow: The API-format graph; file prefixes of its own let it be found again on servers that choose ids themselves.
        pnginfo: Text chunks for its PNG files.
        allow_partial: Whether the part that the server takes is to run where it does not take the whole.
        server_prompt_id: The id that a server chose itself when the job was posted before; empty where none is known.
        uploads: The files that the server has to have before the job is posted.
        streamed: How many bytes a picture has at most that comes over the websocket alone, by the node that sends it.
    """

    key: str
    prompt_id: str
    workflow: Mapping[str, Any]
    pnginfo: Mapping[str, Any] = field(default_factory=dict)
    allow_partial: bool = False
    server_prompt_id: str = ""
    uploads: tuple[InputFile, ...] = ()
    streamed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """The server has the job, or with complaints only a part of it."""

    prompt_id: str
    client_id: str
    complaints: tuple[Complaint, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server wants nothing of the job."""

    complaints: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Not known to be taken.

    Attributes:
        error: What was answered last.
    """

    error: ServerError


@dataclass(frozen=True, slots=True)
class CannotPost:
    """It cannot be posted at all."""

    error: ComfyRunnerError


class UploadsMissing:
    """It cannot be posted yet, because the server lacks its files."""


SubmitResult = Taken | Rejected | Uncertain | CannotPost | UploadsMissing


class PendingPrompt:
    """A job on its way to a server.

    Attributes:
        job: The job.
        at: Not to be tried before this moment, on the monotonic clock.
        failures: Attempts that settled nothing.
        failing_since: When the first of them was.
        cancelling: It is no longer wanted.
        provided: Whether the server has its files; None while they are being brought there.
        unwanted: Set to stop that.
    """

    def __init__(self, job: PromptRequest, at: float) -> None:
        self.job = job
        self.at = at
        self.failures = 0
        self.failing_since: float | None = None
        self.cancelling = False
        self.provided: bool | None = not job.uploads
        self.unwanted = threading.Event()
        self._client_ids: list[str] = []
        self._doubtful: ServerError | None = None

    @property
    def posted(self) -> bool:
        """Return whether the server may have it."""
        return self._doubtful is not None

    def brought(self) -> None:
        """Note that the server has its files now; how long that took is not counted against its posting, which begins."""
        if not self._client_ids:
            self.failures, self.failing_since = 0, None

    def attempt(self, http: ComfyHttp, client_id: str) -> SubmitResult | None:
        """Make one attempt; None says that the server does not have a job that is no longer wanted."""
        if self._doubtful is not None:
            try:
                found = self._find(http)
            except ServerError as error:
                return Uncertain(error)
            if found is not None:
                return found
            self._doubtful = None
        if self.cancelling:
            return None
        return self._post(http, client_id) if self.provided else UploadsMissing()

    def _post(self, http: ComfyHttp, client_id: str) -> SubmitResult:
        job = self.job
        if client_id not in self._client_ids:
            self._client_ids.append(client_id)
        try:
            answer = http.submit(job.workflow, prompt_id=job.prompt_id, client_id=client_id, pnginfo=job.pnginfo)
        except (Unreachable, ServerRefused) as error:
            if isinstance(error, ServerRefused) and error.status < 500 and not error.is_transient:
                return CannotPost(error)
            self._doubtful = error
            # Mostly the server has it, or says at once that it does not: asking right away saves a pause.
            try:
                found = self._find(http)
            except ServerError as silent:
                return Uncertain(silent)
            return found or Uncertain(error)
        except ComfyRunnerError as error:
            return CannotPost(error)
        found_wrong = tuple(complaints(answer.body))
        if answer.status != 200:
            return Rejected(found_wrong)
        return Taken(str(answer.body["prompt_id"]), client_id, found_wrong)

    def _find(self, http: ComfyHttp) -> Taken | None:
        found = find_prompt(http, http.queue(), self.job, client_ids=self._client_ids)
        return None if found is None else Taken(found.prompt_id, found.client_id or self._client_ids[-1])


def find_prompt(
    http: ComfyHttp, queue: Mapping[str, Any], job: PromptRequest, *, client_ids: Iterable[str] | None = None
) -> Taken | None:
    """Look for a job that may have been posted: in the queue, as it was a moment ago, and then in the history.

    Args:
        http: The server.
        queue: The answer of its ``/queue``.
        job: The job.
        client_ids: Under which it may have been posted; None where that is not known and its file prefixes alone tell.

    Returns:
        Where it is; the client id is empty where it is not known.

    Raises:
        ServerError: The server cannot be asked.
    """
    prompt_id = job.server_prompt_id or job.prompt_id
    if any(item[1] == prompt_id for item in _queue_items(queue)) or http.history(prompt_id) is not None:
        return Taken(prompt_id, "")
    prefixes = file_prefixes(job.workflow)
    if job.server_prompt_id or not prefixes:
        return None
    items = [*_queue_items(queue), *_history_items(http.recent_history(_RECENT))]
    return find_by_prefixes(items, prefixes, client_ids)


def file_prefixes(workflow: Any) -> frozenset[str]:
    """Return the file prefixes under which a graph saves."""
    nodes = workflow.values() if isinstance(workflow, Mapping) else ()
    inputs = [node.get("inputs") for node in nodes if isinstance(node, Mapping)]
    found = [values.get("filename_prefix") for values in inputs if isinstance(values, Mapping)]
    return frozenset(prefix for prefix in found if isinstance(prefix, str))


def find_by_prefixes(items: Iterable[list[Any]], prefixes: frozenset[str], client_ids: Iterable[str] | None) -> Taken | None:
    """Find our prompt among items of the queue or the history: the same file prefixes, posted by one of our connections.

    Args:
        items: The items.
        prefixes: All file prefixes of our graph.
        client_ids: Of our connections. None where they are not known: then the prefixes have to be nobody else's.
    """
    ours = None if client_ids is None else set(client_ids)
    for item in items:
        extra = item[3] if len(item) > 3 else None
        client_id = extra.get("client_id") if isinstance(extra, dict) else None
        # A prefix alone might be that of another day's job: a client id is never used twice.
        is_ours = ours is None or (isinstance(client_id, str) and client_id in ours)
        if is_ours and file_prefixes(item[2]) == prefixes:
            return Taken(str(item[1]), client_id if isinstance(client_id, str) else "")
    return None


def _queue_items(queue: Mapping[str, Any]) -> Iterator[list[Any]]:
    for key in ("queue_running", "queue_pending"):
        items = queue.get(key)
        yield from (item for item in items if _is_item(item)) if isinstance(items, list) else ()


def _history_items(history: Mapping[str, Any]) -> Iterator[list[Any]]:
    for entry in history.values():
        item = entry.get("prompt") if isinstance(entry, dict) else None
        if isinstance(item, list) and _is_item(item):
            yield item


def _is_item(item: Any) -> bool:
    return isinstance(item, list) and len(item) > 2


def complaints(body: Any) -> list[Complaint]:
    """Return what a server's answer complains of; empty where it takes the whole workflow."""
    if not isinstance(body, dict):
        return [Complaint("", "", "", _short(body))] if body else []
    found = list(_node_complaints(body.get("node_errors")))
    error = body.get("error")
    if not found and error:
        found.append(Complaint("", "", "", _short(_joined(error) if isinstance(error, dict) else error)))
    return found


def _node_complaints(node_errors: Any) -> Iterator[Complaint]:
    for node_id, node in node_errors.items() if isinstance(node_errors, dict) else ():
        errors = node.get("errors") if isinstance(node, dict) else None
        for error in errors if isinstance(errors, list) else ():
            if isinstance(error, dict):
                extra = error.get("extra_info")
                name = extra.get("input_name") if isinstance(extra, dict) else ""
                yield Complaint(_short(node_id), _short(node.get("class_type") or "?"), _short(name or ""), _short(_joined(error)))


def _joined(error: dict[str, Any]) -> str:
    message, details = str(error.get("message") or error.get("type") or ""), str(error.get("details") or "")
    return f"{message}: {details}" if message and details else message or details


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LENGTH else text[:_LENGTH] + " …"
