"""Several graphs as one: what they have in common runs once even on a server that remembers nothing between prompts.

Equal is what computes the same thing (`signature`). `planning.arrange` decides which jobs are worth merging.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from comfy_runner.graph.signature import signatures
from comfy_runner.graph.workflow import Node, Workflow, as_link


@dataclass(frozen=True, slots=True)
class MergedGraph:
    """One graph out of several.

    Attributes:
        workflow: The graph. Roles would clash in it, so the role of each output is its node id.
        ids: For each of the graphs, in the order given: which node of `workflow` each of its nodes became.
    """

    workflow: Workflow
    ids: tuple[Mapping[str, str], ...]


def merge(workflows: Sequence[Workflow]) -> MergedGraph:
    """Return one graph that does what all of these do, with nodes of equal results made one.

    Outputs are never made one; their file prefixes are to differ already. A node keeps its id where that is free, else it gets
    the next free number: ``second_pass``, ``second_pass_2``, ``second_pass_3``. The same graphs always give the same ids.
    """
    nodes: dict[str, Node] = {}
    fresh_id = _Ids()
    by_signature: dict[str, str] = {}
    ids: list[dict[str, str]] = []
    for workflow in workflows:
        known = signatures(workflow)
        mine: dict[str, str] = {}
        fresh: dict[str, Node] = {}
        for node_id, node in workflow.nodes.items():
            found = None if node.is_output else by_signature.get(known[node_id])
            if found is None:
                found = fresh_id(node_id)
                fresh[found] = node
                if not node.is_output:
                    by_signature[known[node_id]] = found
            mine[node_id] = found
        nodes.update((new, _rewired(node, new, mine)) for new, node in fresh.items())
        ids.append(mine)
    return MergedGraph(Workflow(nodes), tuple(ids))


class _Ids:
    """Gives out ids, each once."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._last: defaultdict[str, int] = defaultdict(int)

    def __call__(self, wanted: str) -> str:
        """Return this id, or the first free one that differs from it by a number at its end."""
        while True:
            self._last[wanted] += 1
            found = wanted if self._last[wanted] == 1 else f"{wanted}_{self._last[wanted]}"
            if found not in self._given:
                self._given.add(found)
                return found


def _rewired(node: Node, new_id: str, ids: Mapping[str, str]) -> Node:
    inputs: dict[str, Any] = {}
    for name, value in node.inputs.items():
        link = as_link(value)
        inputs[name] = [ids[link.node], link.slot] if link else value
    rewired = replace(node, inputs=inputs)
    return rewired.with_role(new_id) if node.role else rewired
