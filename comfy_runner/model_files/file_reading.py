"""A file that is being read from any byte on, wherever it lies: what all sources of model files have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

CHUNK: Final = 1 << 20
"""The most bytes of a piece that is read at once."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is being read.

    Attributes:
        start: The first byte that comes; 0 where it could not be read from the one on that was asked for.
        total: How many bytes the whole file has; None where that is not told.
        version: What is equal as long as the file stays the same; empty where that is not told.
        chunks: What comes. It ends early, or raises, where the source does.
        close: Lets go of the source.
    """

    start: int
    total: int | None
    version: str
    chunks: Iterator[bytes]
    close: Callable[[], None]


class Read(Protocol):
    """Begins to read a file."""

    def __call__(self, start: int, version: str) -> Reading:
        """Return the file from a byte on.

        Args:
            start: The byte, from 0.
            version: That of the file whose bytes before that are known; one that has changed is read from 0 on.

        Raises:
            ComfyRunnerError: It cannot be read; `ServerError.is_transient` tells whether it may be a moment later.
        """
        ...
