"""Handing a job to a server exactly once, also when the reply is lost or is an error about a prompt that was queued all the same.

A prompt is never posted again before the server was asked whether it has it: by its id, and on servers that choose ids
themselves by our client id and the file prefixes in its graph. When to try again is decided by `prompt_thread`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.history import queue_items
from comfy_runner.engine.reports import Complaint
from comfy_runner.errors import ServerError, ServerRefused
from comfy_runner.input_files import InputFile, renamed

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
        server_prompt_id: The id that a server chose itself when the job was posted before; empty where none is known.
        uploads: The files that the server has to have before the job is posted.
        streamed: How many bytes a picture has at most that comes over the websocket alone, by the node that sends it.
        preview_method: How the server is to make previews; empty for what it was started with.
        pays: Whether some of its nodes call a paid service.
    """

    key: str
    prompt_id: str
    workflow: Mapping[str, Any]
    pnginfo: Mapping[str, Any] = field(default_factory=dict)
    server_prompt_id: str = ""
    uploads: tuple[InputFile, ...] = ()
    streamed: Mapping[str, int] = field(default_factory=dict)
    preview_method: str = ""
    pays: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """The server has the job, or with complaints only a part of it."""

    prompt_id: str
    client_id: str
    complaints: tuple[Complaint, ...] = ()


class Rejected(Exception):
    """The server wants nothing of the job.

    Attributes:
        complaints: Why.
    """

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        super().__init__()
        self.complaints = tuple(complaints)


@dataclass(slots=True)
class PendingPrompt:
    """A job on its way to a server.

    Attributes:
        job: The job.
        at: Not to be tried before this moment, on the monotonic clock.
        failures: Attempts that settled nothing.
        failing_since: When the first of them was begun.
        asked: When the last attempt was begun.
        cancelling: It is no longer wanted.
        provided: Whether the server has its files; None while they are being brought there.
        brought_anew: Whether they were brought once more because the server missed one.
        names: What the server calls them.
        unwanted: Set to stop bringing them.
        posted: Whether the server may have it.
        client_ids: Under which it may have been posted.
    """

    job: PromptRequest
    at: float
    failures: int = 0
    failing_since: float | None = None
    asked: float = 0.0
    cancelling: bool = False
    provided: bool | None = field(init=False)
    brought_anew: bool = False
    names: frozenset[str] = frozenset()
    unwanted: threading.Event = field(default_factory=threading.Event)
    posted: bool = False
    client_ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provided = not self.job.uploads

    def brought(self, names: Mapping[str, str]) -> None:
        """Note that the server has its files now; how long that took is not counted against its posting, which begins.

        Args:
            names: What the server calls those that it does not call by their own names.
        """
        self.provided = True
        self.names = frozenset(names.get(file.name, file.name) for file in self.job.uploads)
        if names:
            self.job = replace(self.job, workflow=renamed(self.job.workflow, names))
        if not self.client_ids:
            self.failures, self.failing_since = 0, None

    def find(self, http: ComfyHttp) -> Taken | None:
        """Return where the server has it, which it may since an earlier attempt; None where it surely does not.

        Raises:
            ServerError: The server cannot be asked.
        """
        found = self._look_for(http) if self.posted else None
        self.posted = found is not None
        return found

    def _look_for(self, http: ComfyHttp) -> Taken | None:
        found = find_prompt(http, http.queue(), self.job, client_ids=self.client_ids)
        return None if found is None else Taken(found.prompt_id, found.client_id or self.client_ids[-1])

    def post(self, http: ComfyHttp, client_id: str) -> Taken:
        """Post it.

        Raises:
            Rejected: The server wants nothing of it.
            ServerError: It is not known to be taken; `find` has to be asked before it is posted again.
            WorkflowError: It cannot be posted.
        """
        job = self.job
        if client_id not in self.client_ids:
            self.client_ids.append(client_id)
        try:
            answer = http.submit(
                job.workflow,
                prompt_id=job.prompt_id,
                client_id=client_id,
                pnginfo=job.pnginfo,
                preview_method=job.preview_method,
                pays=job.pays,
            )
        except ServerError as error:
            self.posted = not isinstance(error, ServerRefused) or error.status >= 500 or error.is_transient
            # Mostly the server has it, or says that it does not yet: asking right away saves a pause.
            if self.posted and (found := self._look_for(http)) is not None:
                return found
            raise
        found_wrong = tuple(complaints(answer.body))
        if answer.status != 200:
            raise Rejected(found_wrong)
        return Taken(str(answer.body["prompt_id"]), client_id, found_wrong)


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
    queued = list(queue_items(queue, "queue_running", "queue_pending"))
    if any(item[1] == prompt_id for item in queued) or http.history(prompt_id) is not None:
        return Taken(prompt_id, "")
    prefixes = file_prefixes(job.workflow)
    if job.server_prompt_id or not prefixes:
        return None
    ended = [entry.get("prompt") for entry in http.recent_history(_RECENT).values() if isinstance(entry, dict)]
    return find_by_prefixes([*queued, *ended], prefixes, client_ids)


def file_prefixes(workflow: Any) -> frozenset[str]:
    """Return the file prefixes under which a graph saves."""
    nodes = workflow.values() if isinstance(workflow, Mapping) else ()
    inputs = [node.get("inputs") for node in nodes if isinstance(node, Mapping)]
    found = [values.get("filename_prefix") for values in inputs if isinstance(values, Mapping)]
    return frozenset(prefix for prefix in found if isinstance(prefix, str))


def find_by_prefixes(items: Iterable[Any], prefixes: frozenset[str], client_ids: Iterable[str] | None) -> Taken | None:
    """Find our prompt among items of the queue or the history: the same file prefixes, posted by one of our connections.

    Args:
        items: The items: number, id, graph, and what it was posted with. What is no item is passed over.
        prefixes: All file prefixes of our graph.
        client_ids: Of our connections. None where they are not known: then the prefixes have to be nobody else's.
    """
    ours = None if client_ids is None else set(client_ids)
    for item in items:
        if not isinstance(item, list) or len(item) < 3:
            continue
        extra = item[3] if len(item) > 3 else None
        client_id = extra.get("client_id") if isinstance(extra, dict) else None
        # A prefix alone might be that of another day's job: a client id is never used twice.
        is_ours = ours is None or (isinstance(client_id, str) and client_id in ours)
        if is_ours and file_prefixes(item[2]) == prefixes:
            return Taken(str(item[1]), client_id if isinstance(client_id, str) else "")
    return None


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
