"""Nodes that the page has alone: they never reach a server, and links go through them or end in them."""

from __future__ import annotations

from comfy_runner.importer.convert.page_graph import PageGraph, PageNode

LABELS = frozenset({"Label (rgthree)", "Bookmark (rgthree)"})
"""Nodes of packs that say something to people, and nothing to the graph."""

SILENT = frozenset({"Note", "MarkdownNote", *LABELS})
"""All nodes that do."""

REROUTES = frozenset({"Reroute", "Reroute (rgthree)"})
"""Nodes that only lead a link somewhere else."""

SETTERS = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
"""Nodes that give what a node of another class keeps under the same name, with that class."""

VIRTUAL = frozenset({*REROUTES, "PrimitiveNode", *SETTERS, *SETTERS.values()})
"""Nodes that links are followed through."""

ACTING = {
    "Anything Everywhere": "it links nodes that the file does not show as linked",
    "Anything Everywhere3": "it links nodes that the file does not show as linked",
    "Anything Everywhere?": "it links nodes that the file does not show as linked",
    "Combo Clone": "it links nodes that the file does not show as linked",
    "Prompts Everywhere": "it links nodes that the file does not show as linked",
    "Seed Everywhere": "it links nodes that the file does not show as linked",
    "Fast Muter (rgthree)": "it switches other nodes on and off in the page",
    "Fast Bypasser (rgthree)": "it switches other nodes on and off in the page",
    "Fast Groups Muter (rgthree)": "it switches other nodes on and off in the page",
    "Fast Groups Bypasser (rgthree)": "it switches other nodes on and off in the page",
    "Mute / Bypass Relay (rgthree)": "it switches other nodes on and off in the page",
    "Mute / Bypass Repeater (rgthree)": "it switches other nodes on and off in the page",
    "Random Unmuter (rgthree)": "it switches other nodes on and off in the page",
    "Fast Actions Button (rgthree)": "it operates other nodes in the page",
    "Node Collector (rgthree)": "it links nodes in the page",
}
"""Nodes of packs that act in the page, and why no file tells what they do."""


def name_of(node: PageNode) -> str:
    """Return the name under which a SetNode keeps what it is given, or a GetNode looks it up; empty for none."""
    values = node.values
    first = values[0] if isinstance(values, tuple) and values else None
    return first if isinstance(first, str) else ""


def setters(graph: PageGraph) -> dict[tuple[str, str], list[PageNode]]:
    """Return the nodes of a graph that keep something, by their class and the name under which they keep it."""
    found: dict[tuple[str, str], list[PageNode]] = {}
    for node in graph.nodes.values():
        if node.class_type in SETTERS.values() and name_of(node):
            found.setdefault((node.class_type, name_of(node)), []).append(node)
    return found
