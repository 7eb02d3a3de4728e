"""The files that one ComfyUI has of ours: read, or found by their names, and waited for where the server does not answer.

Asked from threads that can do nothing else meanwhile; the thread that follows prompts waits in its own way (`tracker`).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import ServerFile
from comfy_runner.errors import ServerError, ServerRefused, Unreachable

T = TypeVar("T")

_MOST_BREAKS = 3  # answers of no use that come one after the other, however long each of them took
_PAUSES = (0.1, 0.2, 0.5, 1.0)  # seconds between two questions whether the server answers; the last one is repeated
_MOST = 4096
"""Pictures that one batch can hold in ComfyUI; whoever claims to have more claims to have anything."""


class ServerFiles:
    """The files of one server, shared by the threads that collect from it; see `FileSource` for what its methods do.

    Args:
        http: The server.
        timeouts: How long it may be out of order.

    Attributes:
        timeouts: Likewise; may be set anew.
    """

    def __init__(self, http: ComfyHttp, timeouts: Timeouts) -> None:
        self._http, self.timeouts = http, timeouts
        self._unwanted = threading.Event()

    @property
    def url(self) -> str:
        """Return the address of the server, without credentials."""
        return self._http.address.url

    def open_file(self, file: ServerFile) -> AbstractContextManager[Iterator[bytes]]:
        """Return the content of a file, in chunks."""
        return self._http.view(file.filename, subfolder=file.subfolder, kind=file.kind or self._kind_of(file))

    def _kind_of(self, file: ServerFile) -> str:
        """Return in which of its folders the server has a file that a node tells of by its bare name."""
        # It would look for the last part alone of what leads out of its folders, and find another file.
        leads_out = any(part in ("", "..") or ":" in part for part in f"{file.subfolder or '.'}/{file.filename}".split("/"))
        for kind in () if leads_out else ("output", "temp"):
            if self._http.size_of(file.filename, subfolder=file.subfolder, kind=kind) is not None:
                return kind
        error = ServerRefused(f"has no {file.filename}, neither in output nor in temp", where=self.url)
        error.status = 404
        raise error

    def find_files(self, prefixes: Mapping[str, str]) -> dict[str, tuple[ServerFile, ...]]:
        """Return the PNG files that the server has under these file prefixes: a restart wipes no files.

        ComfyUI's SaveImage numbers the files of a prefix from 1: ``<prefix>_00001_.png``. Nothing is downloaded, and whether a
        file is whole is not known: the server may have died while it wrote it.
        """
        found = {node_id: tuple(self._files(prefix)) for node_id, prefix in prefixes.items()}
        return {node_id: files for node_id, files in found.items() if files}

    def _files(self, prefix: str) -> Iterator[ServerFile]:
        subfolder, _, stem = prefix.rpartition("/")
        for number in range(1, _MOST + 1):
            name = f"{stem}_{number:05}_.png"
            if self._http.size_of(name, subfolder=subfolder, kind="output") is None:
                return
            yield ServerFile(name, subfolder, "output")

    def retrying(self, ask: Callable[[], T]) -> T:
        """Return what a question gives that is asked again after errors that may pass."""
        began, failures = time.monotonic(), 0
        while True:
            try:
                return ask()
            except ServerError as error:
                failures += 1
                if not self._may_ask_again(error, failures, time.monotonic() - began):
                    raise

    def _may_ask_again(self, error: ServerError, failures: int, failing_for: float) -> bool:
        if isinstance(error, Unreachable) and not self.wait_until_reachable():
            return False
        # A long file has taken long already when it breaks off.
        failing_for = 0.0 if failures < _MOST_BREAKS else failing_for
        pause = self.timeouts.pause_before_retry(error, failures=failures, failing_for=failing_for)
        return pause is not None and not self._unwanted.wait(pause)

    def stop_waiting(self) -> None:
        """Wait for the server no longer, now and in future."""
        self._unwanted.set()
        self._http.hurry()

    def wait_until_reachable(self) -> bool:
        """Wait until the server answers, for `Timeouts.outage` seconds at most; return whether it does."""
        end = time.monotonic() + self.timeouts.outage
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            if self._unwanted.is_set():
                break
            try:
                self._http.system_stats()
            except ServerError:
                if time.monotonic() + pause > end or self._unwanted.wait(pause):
                    break
            else:
                return True
        return False
