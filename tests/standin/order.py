"""In which order the nodes of a prompt run: from the outputs upwards, and first what can be looked at.

So an original is saved before its upscaling begins. In which order the outputs come, nobody knows: on a real server it
changes from start to start.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tests.standin.graph import Graph, parents


def needed(graph: Graph, outputs: Sequence[str], is_cached: Mapping[str, bool]) -> list[str]:
    """Return the nodes that a run visits: outputs, and ancestors that are not cached, as they are found."""
    found: dict[str, None] = {}
    for output in outputs:
        waiting = [output]
        while waiting:
            node_id = waiting.pop()
            if node_id not in found:
                found[node_id] = None
                waiting += [parent for parent in parents(graph[node_id]) if not is_cached[parent]]
    return list(found)


def next_node(graph: Graph, waiting: Sequence[str], output_nodes: Collection[str]) -> str:
    """Return which of the waiting nodes runs next."""
    children: dict[str, list[str]] = {node_id: [] for node_id in waiting}
    ready = []
    for node_id in waiting:
        above = [parent for parent in parents(graph[node_id]) if parent in children]
        for parent in above:
            children[parent].append(node_id)
        if not above:
            ready.append(node_id)

    def leads_to_output(node_id: str, generations: int) -> bool:
        if generations == 0:
            return node_id in output_nodes
        return any(leads_to_output(child, generations - 1) for child in children[node_id])

    for generations in range(3):
        for node_id in ready:
            if leads_to_output(node_id, generations):
                return node_id
    return ready[0]
