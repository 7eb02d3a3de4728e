"""What servers really ran for finished jobs, counted from their sidecars: first and second passes, loads of models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from comfy_runner.graph.cost import node_kinds
from comfy_runner.graph.signature import signatures
from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.store.sidecar import Sidecar

_NAMES = {"first": "first", "second": "second", "load": "loads"}


def count_passes(sidecars: Iterable[Sidecar]) -> Counter[str]:
    """Return how many ``first`` passes, ``second`` passes and ``loads`` servers ran.

    Nodes that came from a server's cache did not run, and what several jobs of one graph share ran once. A job that has the
    pictures of another one took nothing.

    Args:
        sidecars: Those of the jobs.

    Raises:
        WorkflowError: A graph in them is malformed.
    """
    found: Counter[str] = Counter()
    ran_together: set[tuple[str, str]] = set()
    for sidecar in sidecars:
        if sidecar.shares:
            continue
        graph = parse_workflow(sidecar.workflow, where=sidecar.job_id)
        kinds = node_kinds(graph)
        alike = signatures(graph) if sidecar.posted_with else {}
        for node_id, kind in kinds.items():
            if kind not in _NAMES or node_id in sidecar.cached_nodes:
                continue
            if sidecar.posted_with:
                result = sidecar.prompt_id, alike[node_id]
                if result in ran_together:
                    continue
                ran_together.add(result)
            found[_NAMES[kind]] += 1
    return found
