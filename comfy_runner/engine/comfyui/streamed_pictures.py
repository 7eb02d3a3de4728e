"""Pictures that come over the websocket alone, as ComfyUI's SaveImageWebsocket sends them: they are in no history and no file.

So what was missed is lost, and what came is only taken where all of it did. Not here: frames on the wire (`frames`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_MOST_TOGETHER = 1024 * 1024 * 1024  # of one prompt


@dataclass(slots=True)
class Streamed:
    """The pictures that one prompt sends.

    Attributes:
        longest: How many bytes a picture of each node may have, by node id; nothing else is taken.
    """

    longest: Mapping[str, int]
    _came: dict[str, list[bytes]] = field(default_factory=dict)
    _expected: dict[str, int] = field(default_factory=dict)
    _broken: bool = False

    def expect(self, node: str, count: int) -> None:
        """Note how many pictures a node has, which it tells as its number of steps."""
        if node in self.longest:
            self._expected[node] = count

    def take(self, node: str, picture: bytes) -> None:
        """Take a picture. One that is too large is left out, so that its node has not given all."""
        together = sum(len(found) for several in self._came.values() for found in several)
        if len(picture) <= self.longest.get(node, -1) and together + len(picture) <= _MOST_TOGETHER:
            self._came.setdefault(node, []).append(picture)

    def interrupt(self) -> None:
        """Note that there was no connection for a while: only what is counted is known to be complete."""
        self._broken = True

    @property
    def all_came(self) -> bool:
        """Return whether nothing is missing."""
        return all(self._is_complete(node) for node in self.longest)

    def pictures(self) -> dict[str, tuple[bytes, ...]]:
        """Return the pictures by node id, in order; only of nodes of which all came."""
        return {node: tuple(found) for node, found in self._came.items() if self._is_complete(node)}

    def _is_complete(self, node: str) -> bool:
        count = len(self._came.get(node, ()))
        return count > 0 and (count == self._expected[node] if node in self._expected else not self._broken)
