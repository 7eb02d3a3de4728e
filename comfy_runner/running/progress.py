"""How far a job is, as a share of its work in pixels times steps: half the steps are not half the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class JobProgress:
    """The share of one job's work that is done.

    Args:
        work: Work by node id, for the nodes that cost noticeable time (`comfy_runner.graph.sizes.node_work`).
    """

    def __init__(self, work: Mapping[str, float]) -> None:
        self._work = dict(work)
        self._done: dict[str, float] = {}
        self._current = ""
        self._fraction = 0.0

    def cached(self, nodes: Iterable[str]) -> None:
        """These nodes need not run; their work counts for nothing."""
        for node in nodes:
            self._work.pop(node, None)
        self._advance()

    def at(self, node: str, step: int, steps: int) -> None:
        """A node runs; what ran before it is finished."""
        if self._current != node:
            self._finish(self._current)
            self._current = node
        if node in self._work and steps > 0:
            self._done[node] = self._work[node] * min(max(step, 0), steps) / steps
        self._advance()

    @property
    def begun(self) -> bool:
        """Return whether the server has told of any node that it runs."""
        return bool(self._current)

    @property
    def fraction(self) -> float:
        """Return the share that is done, 0 to 1; it never goes back, whatever the server says."""
        return self._fraction

    def _advance(self) -> None:
        total = sum(self._work.values())
        if total:
            now = sum(self._done.get(node, 0.0) for node in self._work) / total
            self._fraction = min(1.0, max(self._fraction, now))

    def _finish(self, node: str) -> None:
        if node in self._work:
            self._done[node] = self._work[node]
