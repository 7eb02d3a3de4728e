"""The files of an actor's server, as the run reads them where it collects them itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from comfy_runner.engine.ray_actors.messages import FileChunk
from comfy_runner.engine.retrying import RetryingSource
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import ServerFile


class ActorFiles(RetryingSource):
    """A `FileSource` behind an actor.

    Args:
        url: What the engine is called.
        call: Calls a method of the actor, and returns its answer; raises a `ServerError` where there is none.
        timeouts: How long the actor may be gone.
    """

    def __init__(self, url: str, call: Callable[..., Any], timeouts: Timeouts) -> None:
        super().__init__(timeouts, lambda: call("ask", "queue"))
        self._url, self._call = url, call

    @property
    def url(self) -> str:
        """Return what the engine is called."""
        return self._url

    @contextmanager
    def open_file(self, file: ServerFile) -> Iterator[Iterator[bytes]]:
        """Return the content of a file, in chunks."""
        yield self._pieces(self._call("fetch", file))

    def _pieces(self, piece: FileChunk) -> Iterator[bytes]:
        yield piece.content
        while piece.rest:
            piece = self._call("more_of", piece.rest)
            yield piece.content

    def find_files(self, prefixes: Mapping[str, str]) -> Mapping[str, tuple[ServerFile, ...]]:
        """Return the PNG files that the server has under these file prefixes."""
        found: dict[str, tuple[ServerFile, ...]] = self._call("find_files", dict(prefixes))
        return found
