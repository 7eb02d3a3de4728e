"""The files that one ComfyUI has of ours: read, or found by their names, and waited for where the server does not answer.

Asked from threads that can do nothing else meanwhile; the thread that follows prompts waits in its own way (`tracker`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.retrying import RetryingSource
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import ServerFile
from comfy_runner.errors import ServerRefused

_MOST = 4096
"""Pictures that one batch can hold in ComfyUI; whoever claims to have more claims to have anything."""


class ServerFiles(RetryingSource):
    """The files of one server, shared by the threads that collect from it; see `FileSource` for what its methods do.

    Args:
        http: The server.
        timeouts: How long it may be out of order.
    """

    def __init__(self, http: ComfyHttp, timeouts: Timeouts) -> None:
        super().__init__(timeouts, http.system_stats)
        self._http = http

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

    def stop_waiting(self) -> None:
        """Wait for the server no longer, now and in future."""
        super().stop_waiting()
        self._http.hurry()
