"""Following links: through subgraphs, reroutes, Set and Get, and bypassed nodes, to the node whose output is meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from comfy_runner.importer.convert.controls import Control
from comfy_runner.importer.convert.expanded import Expanded, Scope
from comfy_runner.importer.convert.page_graph import BYPASSED, INPUT_SIDE, MUTED, PageLink, PageNode, Socket
from comfy_runner.importer.convert.promoted import Promoted, PromotedValues
from comfy_runner.importer.convert.virtual_nodes import REROUTES, SETTERS, SILENT, name_of, setters

_MOST_STEPS = 3_000_000  # of all links of a file together, so that a hostile one ends


@dataclass(frozen=True, slots=True)
class FromNode:
    """The output of a node that runs, or would if it was not muted.

    Attributes:
        node_id: Its id in the API format.
        slot: The index of the output.
    """

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class FromInstance:
    """The value of an instance of a subgraph.

    Attributes:
        promoted: The value.
        is_linked: Whether the instance's input is linked, to something that gives nothing.
    """

    promoted: Promoted
    is_linked: bool = False


@dataclass(frozen=True, slots=True)
class FromPrimitive:
    """The value of a PrimitiveNode.

    Attributes:
        scope: Where that is.
        node: That node.
        is_within: Whether the input is that of a node in a subgraph, whose instance the PrimitiveNode is linked to.
    """

    scope: Scope
    node: PageNode
    is_within: bool = False


class BrokenLink(Exception):
    """A link does not lead to a node: the page fails there, too."""


InputSource = FromNode | FromInstance | FromPrimitive | None
"""What an input gets; None for nothing."""


class Wiring:
    """The links of a file.

    Args:
        expanded: The file.
        promoted: The values of its subgraphs' instances.
    """

    def __init__(self, expanded: Expanded, promoted: PromotedValues) -> None:
        self.expanded, self.promoted = expanded, promoted
        self._setters: dict[str, Mapping[tuple[str, str], list[PageNode]]] = {}
        self._consumers: dict[str, dict[str, list[tuple[PageNode, Control | None]]]] = {}
        self._left = _MOST_STEPS

    def source(self, scope: Scope, node: PageNode, index: int) -> InputSource:
        """Return what an input gets.

        Args:
            scope: Where the node is.
            node: The node.
            index: The index of its input, in the order of its class.

        Raises:
            BrokenLink: The link leads nowhere, or in a circle.
        """
        seen: set[tuple[tuple[str, ...], str, str, int]] = set()
        wanted = ""  # the type of the input that all this is for; changes behind a bypassed node
        is_straight = True  # whether nothing but subgraphs has been passed
        crossed: Promoted | None = None  # the value of the outermost instance that the way has left
        while True:
            self._left -= 1
            if self._left < 0:
                raise BrokenLink("its links are too many and too long to be followed")
            _once(seen, scope, node, "in", index)
            sockets = self.expanded.known(scope, node).sockets
            if index >= len(sockets):
                raise BrokenLink(f"{node.shown} has no input {index}")
            socket = sockets[index]
            if socket.link is None:
                return FromInstance(crossed, is_linked=True) if crossed else None
            link = scope.graph.links.get(socket.link)
            if link is None:
                raise BrokenLink(f"{node.shown}, input {socket.name}: its link {socket.link[:50]} is not in the file")
            above, instance = scope.above, scope.instance
            if link.origin == INPUT_SIDE and above is not None and instance is not None:
                value = self._value_of(scope, link.origin_slot)
                outer = self.expanded.known(above, instance).sockets
                if not 0 <= link.origin_slot < len(outer):
                    raise BrokenLink(f"{node.shown}, input {socket.name}: its subgraph has no input {link.origin_slot}")
                if outer[link.origin_slot].link is None:
                    return FromInstance(value) if value else None
                crossed = value if value and not value.is_hidden else crossed
                scope, node, index, wanted = above, instance, link.origin_slot, ""
                continue
            wanted = wanted or socket.type
            slot, is_direct, origin = link.origin_slot, True, _origin(scope, node, socket, link)
            while True:  # from outputs inwards, until there is an input to go on from
                _once(seen, scope, origin, "out", slot)
                step = self._step(scope, origin, slot, wanted)
                if isinstance(step, _Within):
                    scope, origin, slot, is_direct = step.scope, step.node, step.slot, False
                    continue
                break
            if isinstance(step, FromPrimitive):
                # Only a control that it is linked to without anything between takes its value.
                is_met = is_straight and is_direct and (socket.control or crossed)
                step = replace(step, is_within=crossed is not None) if is_met else None
            if isinstance(step, FromNode | FromPrimitive):
                return step
            if step is None:
                return FromInstance(crossed, is_linked=True) if crossed else None
            scope, node, index, is_straight = step.scope, step.node, step.slot, False
            if step.is_new:
                wanted = ""

    def consumers(self, scope: Scope, node: PageNode) -> list[tuple[PageNode, Control | None]]:
        """Return the nodes that the links of a node lead to, one for each link, with the controls that these stand for."""
        graph = scope.graph
        if graph.id not in self._consumers:
            found = self._consumers[graph.id] = {}
            for other in graph.nodes.values():
                known = self.expanded.known(scope, other)
                for socket in known.sockets:
                    link = graph.links.get(socket.link) if socket.link else None
                    if link is not None:
                        control = known.controls.get(socket.control) if socket.control else None
                        found.setdefault(link.origin, []).append((other, control))
        return self._consumers[graph.id].get(node.id, [])

    def _step(self, scope: Scope, node: PageNode, slot: int, wanted: str) -> FromNode | FromPrimitive | _Within | _Input | None:
        """Return what an output stands for."""
        known = self.expanded.known(scope, node)
        if node.class_type == "PrimitiveNode":  # whether it is off does not count
            return FromPrimitive(scope, node)
        if node.mode == BYPASSED:
            if not 0 <= slot < len(known.outputs):
                raise BrokenLink(f"{node.shown} has no output {slot}")
            index = passed_on([socket.type for socket in known.sockets], known.outputs[slot], slot, wanted)
            return _Input(scope, node, index, is_new=True) if index >= 0 else None
        inner = scope.inner.get(node.id)
        if inner is not None:
            return None if node.mode == MUTED else self._into(inner, node, slot)
        if node.class_type in REROUTES or node.class_type in SETTERS.values():
            return _Input(scope, node, slot if slot < len(known.sockets) else 0) if known.sockets else None
        if node.class_type in SETTERS:
            return self._setter(scope, node)
        if node.class_type in SILENT:
            return None
        if slot < 0:
            raise BrokenLink(f"a link comes from an output of {node.shown} that is not a number")
        return FromNode(scope.full_id(node.id), slot)

    def _into(self, inner: Scope, node: PageNode, slot: int) -> _Within | None:
        if not 0 <= slot < len(inner.graph.outputs):
            raise BrokenLink(f"{node.shown} has no output {slot}")
        links = (inner.graph.links.get(link_id) for link_id in inner.graph.outputs[slot].links)
        link = next((link for link in links if link is not None), None)
        if link is None:
            return None
        origin = inner.graph.nodes.get(link.origin)
        if origin is None:
            raise BrokenLink(f"{node.shown}, output {slot}: no node within gives it")
        return _Within(inner, origin, link.origin_slot)

    def _setter(self, scope: Scope, node: PageNode) -> _Input | None:
        """Return the input of the SetNode that a GetNode belongs to: in its own graph, else in those around it."""
        name, place = name_of(node), scope
        while True:
            graph = place.graph
            if graph.id not in self._setters:
                self._setters[graph.id] = setters(graph)
            kind = SETTERS[node.class_type]
            found = self._setters[graph.id].get((kind, name), [])
            if len(found) > 1:
                raise BrokenLink(f'{node.shown}: several nodes of the class {kind} have the name "{name[:50]}"')
            if found:
                return _Input(place, found[0], 0) if found[0].sockets else None
            if place.above is None:
                self.expanded.note(f'{node.shown}: no {kind} has the name "{name[:50]}", so it gives nothing')
                return None
            place = place.above

    def _value_of(self, scope: Scope, index: int) -> Promoted | None:
        inputs = scope.graph.inputs
        return self.promoted.of(scope).get(inputs[index].name) if 0 <= index < len(inputs) else None


@dataclass(frozen=True, slots=True)
class _Within:
    """An output of a node within a subgraph."""

    scope: Scope
    node: PageNode
    slot: int


@dataclass(frozen=True, slots=True)
class _Input:
    """An input to go on from; is_new where its own type counts from now on."""

    scope: Scope
    node: PageNode
    slot: int
    is_new: bool = False


def _once(seen: set[tuple[tuple[str, ...], str, str, int]], scope: Scope, node: PageNode, side: str, slot: int) -> None:
    key = (scope.path, node.id, side, slot)
    if key in seen:
        raise BrokenLink(f"{node.shown}: links lead in a circle")
    seen.add(key)


def _origin(scope: Scope, node: PageNode, socket: Socket, link: PageLink) -> PageNode:
    """Return the node that a link comes from."""
    origin = scope.graph.nodes.get(link.origin)
    if origin is None:
        raise BrokenLink(
            f"{node.shown}, input {socket.name}: its link comes from node {link.origin[:50]}, which is not in the file"
        )
    return origin


def passed_on(inputs: Sequence[str], output: str, slot: int, wanted: str) -> int:
    """Return the index of the input that a bypassed node passes on as an output, by the rule of ComfyUI's page; -1 for none.

    Args:
        inputs: The types of the node's inputs, in the order of its class.
        output: The type of the output.
        slot: The index of the output.
        wanted: The type of the input that the output is linked to.
    """
    if wanted in ("*", ""):
        return slot if len(inputs) > slot else 0 if inputs else -1
    if slot < len(inputs) and fits(inputs[slot], output) and fits(inputs[slot], wanted):
        return slot
    if wanted in inputs:
        return inputs.index(wanted)
    both = (index for index, type_ in enumerate(inputs) if fits(type_, output) and fits(type_, wanted))
    return next(both, -1)


def fits(one: str, other: str) -> bool:
    """Return whether a link may join two types: equal but for case, anything, or any member of a list with commas."""
    if _is_any(one) or _is_any(other) or one == other:
        return True
    members = set(one.lower().split(","))
    others = set(other.lower().split(","))
    return bool(members & others) or any(_is_any(each) for each in members | others)


def _is_any(type_: str) -> bool:
    return type_ in ("", "*")
