"""Workflows as ComfyUI's page saves them, to be edited: the top level and each subgraph, whose links are written differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Node = dict[str, Any]

MUTED = 2
BYPASSED = 4

_VIRTUAL = frozenset({"Note", "MarkdownNote", "PrimitiveNode", "Reroute", "SetNode", "GetNode"})


@dataclass(slots=True)
class Wire:
    """One link between two nodes of one level, by ids and indexes of their slots."""

    id: int
    source: int
    output: int
    target: int
    input: int
    type: Any


class Level:
    """The top level of a workflow, or one of its subgraphs.

    Args:
        content: The level's part of the workflow, which is edited in place.
        workflow: The whole, in which new ids have to be new.
    """

    def __init__(self, content: dict[str, Any], workflow: dict[str, Any]) -> None:
        self._content = content
        self._workflow = workflow
        self.is_top = content is workflow

    @property
    def nodes(self) -> list[Node]:
        """Return the nodes; a new one is appended here."""
        nodes: list[Node] = self._content["nodes"]
        return nodes

    @property
    def real(self) -> list[Node]:
        """Return the nodes that a server runs, and instances of subgraphs."""
        return [node for node in self.nodes if node["type"] not in _VIRTUAL]

    def node(self, id_: int) -> Node | None:
        """Return the node of an id; None for the edges of a subgraph, whose ids are negative."""
        return next((node for node in self.nodes if node["id"] == id_), None)

    def wires(self) -> list[Wire]:
        """Return all links."""
        return [_wire(link) for link in self._content.get("links") or ()]

    def inner_wires(self) -> list[Wire]:
        """Return the links that have a node at both ends."""
        ids = {node["id"] for node in self.nodes}
        return [wire for wire in self.wires() if wire.source in ids and wire.target in ids]

    def new_node(self, type_: str, **fields: Any) -> Node:
        """Append a node of a type to the level and return it."""
        identity = max(node["id"] for level in levels(self._workflow) for node in level.nodes) + 1
        self._workflow["last_node_id"] = max(identity, self._workflow.get("last_node_id") or 0)
        state = self._content.get("state")
        if isinstance(state, dict):
            state["lastNodeId"] = max(identity, state.get("lastNodeId") or 0)
        node = {
            "id": identity,
            "type": type_,
            "pos": [0, 0],
            "size": [200, 60],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [],
            "outputs": [],
            "properties": {},
            **fields,
        }
        self.nodes.append(node)
        return node

    def connect(self, source: Node, output: int, target: Node, slot: int, type_: Any) -> None:
        """Link an output of a node to an input that has no link."""
        links = self._content.setdefault("links", [])
        ids = [wire.id for level in levels(self._workflow) for wire in level.wires()]
        identity = max(ids, default=0) + 1
        self._workflow["last_link_id"] = max(identity, self._workflow.get("last_link_id") or 0)
        state = self._content.get("state")
        if isinstance(state, dict):
            state["lastLinkId"] = max(identity, state.get("lastLinkId") or 0)
        wire = Wire(identity, source["id"], output, target["id"], slot, type_)
        links.append(_link(wire, as_list=self.is_top))
        source["outputs"][output]["links"] = [*(source["outputs"][output].get("links") or ()), identity]
        target["inputs"][slot]["link"] = identity

    def disconnect(self, wire: Wire) -> None:
        """Remove a link; an end that is the edge of a subgraph forgets it, too."""
        self._content["links"] = [link for link in self._content["links"] if _wire(link).id != wire.id]
        source, target = self.node(wire.source), self.node(wire.target)
        if source is not None:
            output = source["outputs"][wire.output]
            output["links"] = [id_ for id_ in output.get("links") or () if id_ != wire.id]
        if target is not None:
            target["inputs"][wire.input]["link"] = None
        for edge in (*self._content.get("inputs", ()), *self._content.get("outputs", ())) if not self.is_top else ():
            edge["linkIds"] = [id_ for id_ in edge.get("linkIds") or () if id_ != wire.id]

    def set_inputs(self, node: Node, slots: list[dict[str, Any]]) -> None:
        """Give a node other inputs; links know theirs by its index."""
        at = {slot["link"]: index for index, slot in enumerate(slots) if slot.get("link") is not None}
        node["inputs"] = slots
        self._content["links"] = [
            _link(replace(wire, input=at.get(wire.id, wire.input)) if wire.target == node["id"] else wire, as_list=self.is_top)
            for wire in self.wires()
        ]


def levels(workflow: dict[str, Any]) -> Iterator[Level]:
    """Yield the levels of a workflow, the top first."""
    yield Level(workflow, workflow)
    for subgraph in workflow.get("definitions", {}).get("subgraphs", ()):
        yield Level(subgraph, workflow)


def subgraph_of(workflow: Mapping[str, Any], node: Node) -> dict[str, Any] | None:
    """Return the definition of the subgraph that a node is an instance of."""
    found: list[dict[str, Any]] = workflow.get("definitions", {}).get("subgraphs", [])
    return next((subgraph for subgraph in found if subgraph["id"] == node["type"]), None)


def _wire(link: Any) -> Wire:
    if isinstance(link, list):
        return Wire(*link[:6])
    ends = (link[key] for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"))
    return Wire(*ends)


def _link(wire: Wire, *, as_list: bool) -> Any:
    if as_list:
        return [wire.id, wire.source, wire.output, wire.target, wire.input, wire.type]
    return {
        "id": wire.id,
        "origin_id": wire.source,
        "origin_slot": wire.output,
        "target_id": wire.target,
        "target_slot": wire.input,
        "type": wire.type,
    }
