"""What became of a prompt, and whether its server still works, told from ``/queue`` and ``/history/{id}``; asks nothing itself.

Ask for the queue first and for the history second: in the other order a prompt that has just ended is in neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import Conclusion, Failure, ServerFile, Verdict
from comfy_runner.store.media_types import is_media, suffix_of

_MESSAGE_LENGTH = 600
_MOST_TEXTS = 4096  # as many as ComfyUI's largest batch
_TEXTS = ("text", "string")  # what is called so is a text, whatever it reads like
# A name on one line, with ComfyUI's note of the folder, as in ``film.mp4 [temp]``; blanks are part of one only under such a key.
_NAME = re.compile(r"([^\0-\x1f]{1,500}?)(?: \[(output|temp|input)\])?")
_OF_FILES = re.compile("video|film|movie|anim|gif|audio|sound|mesh|model|3d|image|picture|file|path|result|output", re.IGNORECASE)
_LONGEST = 1000 * 86400 * 366  # milliseconds; more than this is no time that a prompt took


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Where a prompt stands in a queue.

    Attributes:
        running: Whether it runs.
        ahead: How many prompts, of anybody, come before it.
    """

    running: bool
    ahead: int


def queue_items(queue: Mapping[str, Any], *keys: str) -> Iterator[list[Any]]:
    """Yield what is in the answer of ``/queue``: the number, the prompt's id, its graph and more.

    Args:
        queue: The answer.
        keys: Of which lists, ``queue_running`` and ``queue_pending``.
    """
    for key in keys:
        items = queue.get(key)
        for item in items if isinstance(items, list) else ():
            if isinstance(item, list) and len(item) > 1 and isinstance(item[0], (int, float)):
                yield item


def find_in_queue(queue: Mapping[str, Any], prompt_id: str) -> QueuePosition | None:
    """Return a prompt's place in the answer of ``/queue``, or None where it is not in it."""
    running = list(queue_items(queue, "queue_running"))
    if any(item[1] == prompt_id for item in running):
        return QueuePosition(running=True, ahead=0)
    # The server sends its heap as it lies in memory: only the number tells the order.
    pending = sorted(queue_items(queue, "queue_pending"), key=lambda item: (item[0], str(item[1])))
    for ahead, item in enumerate(pending):
        if item[1] == prompt_id:
            return QueuePosition(running=False, ahead=len(running) + ahead)
    return None


def judge(entry: Mapping[str, Any]) -> Verdict:
    """Return the verdict that a history entry contains."""
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    messages = dict(_messages(status))
    # `status_str` says "error" for an interruption too, and can be that of an older prompt; the message that was sent last
    # tells. Servers of early 2024 send none on success.
    last = next((kind for kind, _ in reversed(list(_messages(status))) if kind in _ENDS), "")
    outcome = _ENDS.get(last, Conclusion.FAILED if status.get("status_str") == "error" else Conclusion.SUCCEEDED)
    shown = _shown_nodes(entry.get("meta"))
    given = entry.get("outputs")
    outputs = [(shown.get(node_id) or node_id, output) for node_id, output in given.items()] if isinstance(given, dict) else []
    return Verdict(
        outcome=outcome,
        files=_files(outputs),
        cached=_cached(messages.get("execution_cached", {}).get("nodes")),
        failure=_failure(messages.get("execution_error", {}), shown) if outcome is Conclusion.FAILED else None,
        seconds=_seconds(messages, last),
        texts=_texts(outputs),
    )


_ENDS = {
    "execution_success": Conclusion.SUCCEEDED,
    "execution_error": Conclusion.FAILED,
    "execution_interrupted": Conclusion.INTERRUPTED,
}


def _cached(nodes: Any) -> tuple[str, ...]:
    return tuple(str(node) for node in nodes) if isinstance(nodes, list) else ()


def _messages(status: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    messages = status.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, list) and len(message) == 2 and isinstance(message[1], dict):
            yield str(message[0]), message[1]


def _shown_nodes(meta: Any) -> dict[str, str]:
    """Return for nodes that a server has made while it ran, as in loops, the node of the graph that they stand for."""
    found: dict[str, str] = {}
    for node_id, about in meta.items() if isinstance(meta, dict) else ():
        shown = about.get("display_node") if isinstance(about, dict) else None
        if isinstance(shown, str):
            found[node_id] = shown
    return found


def _files(outputs: Iterable[tuple[str, Any]]) -> dict[str, tuple[ServerFile, ...]]:
    found: dict[str, tuple[ServerFile, ...]] = {}
    for node_id, output in outputs:
        lists = _lists(output)
        files = [
            ServerFile(item["filename"], str(item.get("subfolder") or ""), str(item.get("type") or "output"))
            for items in lists.values()
            for item in items
            if _is_file(item)
        ]
        files = files or [file for key, items in lists.items() for item in items if (file := _named(key, item)) is not None]
        if files:
            found[node_id] = (*found.get(node_id, ()), *files)[:_MOST_TEXTS]
    return found


def _named(key: str, item: Any) -> ServerFile | None:
    """Return the file that a node tells of by its bare name alone, as several savers of films and meshes do; None for a text."""
    match = _NAME.fullmatch(item) if isinstance(item, str) and key not in _TEXTS else None
    if match is None or not is_media(suffix_of(match[1])) or (" " in match[1] and not _OF_FILES.search(key)):
        return None
    *folders, name = re.split(r"[\\/]+", match[1])
    kind = match[2] or ""
    # A whole path is one of the machine that the server runs on: what follows the folder of its files counts.
    roots = [number for number, folder in enumerate(folders) if folder in ("output", "temp")]
    if roots:
        kind, folders = folders[roots[-1]], folders[roots[-1] + 1 :]
    return ServerFile(name, "/".join(folders), kind)


def _texts(outputs: Iterable[tuple[str, Any]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for node_id, output in outputs:
        lists = _lists(output)
        has_files = any(_is_file(item) for items in lists.values() for item in items)
        # Beside files, only what is called so is meant to be read; others are file names, seeds and the like.
        named = [key for key in lists if key == "text" or (not has_files and "text" not in lists)]
        texts = [item for key in named for item in lists[key] if isinstance(item, str) and _named(key, item) is None]
        if texts:
            found[node_id] = (*found.get(node_id, ()), *texts)[:_MOST_TEXTS]
    return found


def _lists(output: Any) -> dict[str, list[Any]]:
    """Return what a node has given, by name; a text alone is a list of one."""
    items = output.items() if isinstance(output, dict) else ()
    return {key: [value] if isinstance(value, str) else value for key, value in items if isinstance(value, list | str)}


def _is_file(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("filename"), str) and bool(item["filename"])


def _failure(error: Mapping[str, Any], shown: Mapping[str, str]) -> Failure:
    node_id = str(error.get("node_id") or "")
    message = " ".join(str(error.get("exception_message") or "the server gave no reason").split())
    return Failure(
        node=shown.get(node_id, node_id),
        class_type=str(error.get("node_type") or ""),
        exception=str(error.get("exception_type") or ""),
        message=message if len(message) <= _MESSAGE_LENGTH else message[:_MESSAGE_LENGTH] + " …",
    )


def _seconds(messages: Mapping[str, Mapping[str, Any]], last: str) -> float | None:
    start, end = messages.get("execution_start", {}).get("timestamp"), messages.get(last, {}).get("timestamp")
    if not isinstance(start, int) or not isinstance(end, int):
        return None
    return (end - start) / 1000 if 0 <= end - start < _LONGEST else None


class Health:
    """What has been seen of one server lately.

    Args:
        timeouts: How long it may be out of order.

    Attributes:
        timeouts: Likewise; may be set anew.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self._failing_since: float | None = None
        self._idle_since: float | None = None

    @property
    def failing(self) -> bool:
        """Return whether the last question was not answered."""
        return self._failing_since is not None

    @property
    def idle(self) -> bool:
        """Return whether prompts were pending, and none was running, when its queue was last seen."""
        return self._idle_since is not None

    def answered(self) -> None:
        """Note that a question was answered."""
        self._failing_since = None

    def failed(self, now: float, *, asked: float | None = None) -> bool:
        """Note that a question was not answered; return whether that has gone on for too long.

        Args:
            now: The moment, on the clock.
            asked: When it was asked, for a server that is silent was so all the time; None for now.
        """
        if self._failing_since is None:
            self._failing_since = now if asked is None else asked
        # A standstill is something that is seen, and nothing is seen now.
        self._idle_since = None
        return now - self._failing_since > self.timeouts.outage

    def stands_still(self, queue: Mapping[str, Any], now: float) -> bool:
        """Note the queue; return whether for too long prompts have been pending and none has run."""
        if queue.get("queue_running") or not queue.get("queue_pending"):
            self._idle_since = None
            return False
        self._idle_since = now if self._idle_since is None else self._idle_since
        return now - self._idle_since > self.timeouts.idle

    def forget(self) -> None:
        """Start anew."""
        self._failing_since = self._idle_since = None
