"""A graph as a Mermaid flowchart, which GitHub, editors and wikis draw.

Titles and names come from files that anybody wrote. They are only ever within quotes, and there each character that means anything
to Mermaid, HTML or Markdown is written as its number; ids are the program's own.

https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

from typing import Literal

from comfy_runner.graph.workflow import Workflow

_LONGEST = 60
_PLAIN = frozenset(" -_./,()")
# Mermaid 11 looks into labels once more after it has decoded numbers: it draws no list items (1. Load), and makes line breaks of
# \n, formulas of $$ and icons of fa:. A word joiner, which has no width, keeps them apart.
_FENCE = "#8288;"
_FENCED = frozenset("\\$:")


def mermaid(workflow: Workflow, *, direction: Literal["LR", "TD"] = "LR") -> str:
    """Return a flowchart: nodes with title and class, outputs as rounded ones, links with the names of their inputs.

    Args:
        workflow: The graph.
        direction: Where it leads: to the right, or down.
    """
    order = workflow.in_order
    ids = {node_id: f"n{number}" for number, node_id in enumerate(order, 1)}
    lines = [f"flowchart {direction}"]
    for node_id in order:
        node = workflow.nodes[node_id]
        label = quoted(node.title, node.class_type) if node.title != node.class_type else quoted(node.class_type)
        lines.append(f"    {ids[node_id]}([{label}])" if node.is_output else f"    {ids[node_id]}[{label}]")
    for node_id in order:
        together: dict[str, list[str]] = {}
        for name, link in workflow.nodes[node_id].links():
            together.setdefault(link.node, []).append(name)
        lines += [f"    {ids[source]} -->|{quoted(', '.join(names))}| {ids[node_id]}" for source, names in together.items()]
    return "\n".join(lines)


def quoted(*parts: str) -> str:
    """Return texts as one Mermaid string, each on a line of its own."""
    return '"' + "<br/>".join(map(_label, parts)) + '"'


def _label(text: str) -> str:
    words = " ".join(text.split())
    short = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
    return ("" if short[:1].isalpha() else _FENCE) + "".join(map(_escaped, short))


def _escaped(char: str) -> str:
    if char.isalnum() or char in _PLAIN:
        return char
    if not char.isprintable():
        return "\N{REPLACEMENT CHARACTER}"
    return f"#{ord(char)};" + (_FENCE if char in _FENCED else "")
