"""Several graphs as one: what they have in common runs once even on a server that remembers nothing between prompts.

Equal is what computes the same thing (`signature`). `planning.arrange` decides which jobs are worth merging.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from comfy_runner.graph.signature import signatures
from comfy_runner.graph.workflow import Node, Workflow


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
    numbers: Counter[str] = Counter()
    by_signature: dict[str, str] = {}
    ids: list[dict[str, str]] = []
    for workflow in workflows:
        known = signatures(workflow)
        mine: dict[str, str] = {}
        fresh: list[str] = []
        for node_id, node in workflow.nodes.items():
            found = None if node.is_output else by_signature.get(known[node_id])
            if found is None:
                found = _free_id(node_id, nodes, numbers)
                nodes[found] = node
                fresh.append(found)
                if not node.is_output:
                    by_signature[known[node_id]] = found
            mine[node_id] = found
        for new in fresh:
            nodes[new] = _rewired(nodes[new], new, mine)
        ids.append(mine)
    return MergedGraph(Workflow(nodes), tuple(ids))


def _free_id(wanted: str, taken: Container[str], numbers: Counter[str]) -> str:
    """Return this id, or the first free one that differs from it by a number at its end."""
    while True:
        numbers[wanted] += 1
        found = wanted if numbers[wanted] == 1 else f"{wanted}_{numbers[wanted]}"
        if found not in taken:
            return found


def _rewired(node: Node, new_id: str, ids: Mapping[str, str]) -> Node:
    moved: dict[str, Any] = {name: [ids[link.node], link.slot] for name, link in node.links()}
    rewired = replace(node, inputs={**node.inputs, **moved})
    return rewired.with_role(new_id) if node.role else rewired
