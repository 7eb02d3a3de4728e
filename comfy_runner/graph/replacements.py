"""Node classes that a server puts in the place of others that it no longer has: ``GET /node_replacements`` (ComfyUI 0.14).

It does so within ``POST /prompt`` before it validates, only where it lacks the class, by the first entry of the table, whose inputs
and outputs may be called otherwise (``app/node_replace_manager.py``). Done here first, the new nodes are checked like all others.
Nodes of an entry without a table of inputs keep theirs, for such a class has only got another name; the server would drop them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from comfy_runner.graph.workflow import Workflow, as_link


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a server makes of a node.

    Attributes:
        class_type: The class that is run.
        renamed: The new name of each old input that is kept; None where all keep their names.
        added: The values of further inputs.
        slots: The new index of an output by its old one; others keep theirs.
    """

    class_type: str
    renamed: Mapping[str, str] | None
    added: Mapping[str, Any]
    slots: Mapping[int, int]

    def new_name(self, name: str) -> str:
        """Return what an input is called now; empty for one that is left out."""
        return name if self.renamed is None else self.renamed.get(name, "")


def parse_replacements(answer: Any) -> dict[str, Replacement]:
    """Return what the answer of ``/node_replacements`` says by class, without what is malformed."""
    found = {}
    for class_type, entries in answer.items() if isinstance(answer, dict) else ():
        entry = entries[0] if isinstance(entries, list) and entries else None
        if isinstance(entry, dict) and isinstance(entry.get("new_node_id"), str):
            maps = [each for each in _items(entry.get("input_mapping")) if isinstance(each.get("new_id"), str)]
            renamed = {
                each["old_id"]: each["new_id"] for each in maps if "set_value" not in each and isinstance(each.get("old_id"), str)
            }
            added = {each["new_id"]: each["set_value"] for each in maps if _is_plain(each.get("set_value", {}))}
            indexes = [(each.get("old_idx"), each.get("new_idx")) for each in _items(entry.get("output_mapping"))]
            slots = {old: new for old, new in indexes if type(old) is int and type(new) is int and new >= 0}
            is_told = isinstance(entry.get("input_mapping"), list)
            found[class_type] = Replacement(entry["new_node_id"], renamed if is_told else None, added, slots)
    return found


def with_replacements(
    workflow: Workflow, replacement_of: Callable[[str], Replacement | None]
) -> tuple[Workflow, dict[str, Replacement]]:
    """Return a graph as the server would run it, and what each of its nodes was replaced by, by node id.

    Args:
        workflow: The graph.
        replacement_of: Tells what the server puts in the place of a class; None for nothing.
    """
    found = {
        node_id: replacement
        for node_id, node in workflow.nodes.items()
        if (replacement := replacement_of(node.class_type)) is not None
    }
    nodes = dict(workflow.nodes)
    for node_id, replacement in found.items():
        kept = {name: value for old, value in nodes[node_id].inputs.items() if (name := replacement.new_name(old))}
        nodes[node_id] = replace(nodes[node_id], class_type=replacement.class_type, inputs={**kept, **replacement.added})
    for node_id, node in nodes.items() if found else ():
        moved = {
            name: [link.node, slot]
            for name, value in node.inputs.items()
            if (link := as_link(value))
            and link.node in found
            and (slot := found[link.node].slots.get(link.slot, link.slot)) != link.slot
        }
        if moved:
            nodes[node_id] = replace(node, inputs={**node.inputs, **moved})
    return Workflow(nodes), found


def _items(found: Any) -> Iterator[Mapping[str, Any]]:
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
