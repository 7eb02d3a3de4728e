"""The graph of a page with each subgraph in the place of its instances, and what each of their nodes has of sockets and values.

What depends on the definition alone is worked out once for each definition, however many instances it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from comfy_runner.errors import Note, Problem
from comfy_runner.graph.object_info import NodeInfo, ObjectInfo
from comfy_runner.importer.convert.controls import Control, Layout, layout_of
from comfy_runner.importer.convert.page_graph import PageFile, PageGraph, PageNode, Socket
from comfy_runner.importer.convert.values import Unreadable, read_values
from comfy_runner.importer.convert.virtual_nodes import SILENT, VIRTUAL
from comfy_runner.text_files import on_one_line

RENAMED = {
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
    "Load3DAnimation": "Load3D",
    "Preview3DAnimation": "Preview3D",
}
"""Classes that the page calls by another name where it loads a file."""

_MOST_NODES = 20_000
_DEEPEST = 50
_MOST_MESSAGES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A graph, or one instance of a subgraph.

    Attributes:
        graph: The graph, or the subgraph's definition.
        path: The ids of the instances that lead to it.
        instance: The node that it stands for; None for the graph itself.
        above: Where that node is; None for the graph itself.
        off: The outermost of the instances that lead to it that is muted or bypassed; None for none.
        inner: The instances in it, by the id of their node.
    """

    graph: PageGraph
    path: tuple[str, ...] = ()
    instance: PageNode | None = None
    above: Scope | None = None
    off: PageNode | None = None
    inner: dict[str, Scope] = field(default_factory=dict)

    def full_id(self, node_id: str) -> str:
        """Return the id that one of its nodes has in the API format."""
        return ":".join([*self.path, node_id])


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a node from its class.

    Attributes:
        info: The class; None for one that the server lacks, and for nodes of the page alone.
        sockets: Its inputs as the page has them, with the links of the file.
        outputs: The types of its outputs.
        controls: Its controls by name.
        said: What they say, by name.
        unreadable: Why what they say is not known; empty where it is.
    """

    info: NodeInfo | None
    sockets: tuple[Socket, ...]
    outputs: tuple[str, ...]
    controls: Mapping[str, Control]
    said: Mapping[str, Any]
    unreadable: str = ""


class Expanded:
    """A file of the page, made ready for following its links.

    Args:
        page: The file.
        info: What the server has.
        where: The place for messages.
    """

    def __init__(self, page: PageFile, info: ObjectInfo, *, where: str) -> None:
        self.page, self.info, self.where = page, info, where
        self.problems: list[Problem] = list(page.problems)
        self.notes: list[Note] = []
        self._known: dict[tuple[str, str], Known] = {}
        self._noted: set[str] = set()
        self.root = Scope(page.root)
        self.scopes: list[Scope] = []
        self._expand()
        for graph in (page.root, *page.subgraphs.values()):
            self._compare_links(graph)

    def problem(self, what: str, hint: str = "") -> None:
        """Take down a reason not to convert the file; the same one once."""
        problem = Problem(on_one_line(what), self.where, hint)
        if len(self.problems) < _MOST_MESSAGES and problem not in self.problems:
            self.problems.append(problem)

    def note(self, what: str, *, changed: bool = False) -> None:
        """Take down what a user should know; the same once."""
        what = on_one_line(what)
        if len(self.notes) < _MOST_MESSAGES and what not in self._noted:
            self._noted.add(what)
            self.notes.append(Note(what, self.where, "changed" if changed else "warning"))

    def _expand(self) -> None:
        """Put each subgraph in the place of its instances."""
        count, waiting = 0, [self.root]
        while waiting:
            scope = waiting.pop()
            self.scopes.append(scope)
            count += len(scope.graph.nodes)
            if count > _MOST_NODES:
                self.problem(f"has more than {_MOST_NODES} nodes, including those of its subgraphs")
                return
            for node in scope.graph.nodes.values():
                definition = self.page.subgraphs.get(node.class_type)
                if definition is None:
                    continue
                chain = scope
                while chain is not self.root and chain.graph is not definition and chain.above is not None:
                    chain = chain.above
                if chain.graph is definition:
                    self.problem(f'{node.shown}: subgraph "{definition.name}" contains itself')
                elif len(scope.path) >= _DEEPEST:
                    self.problem(f"{node.shown}: subgraphs are nested more than {_DEEPEST} deep")
                else:
                    scope.inner[node.id] = inner = Scope(
                        definition, (*scope.path, node.id), node, scope, scope.off or (node if node.is_off else None)
                    )
                    waiting.append(inner)

    def _compare_links(self, graph: PageGraph) -> None:
        """Say which links only the list of links has: some versions of the page take them, others go by the inputs of nodes."""
        linked = {node_id: {socket.link for socket in node.sockets} for node_id, node in graph.nodes.items()}
        for id_, link in graph.links.items():
            origin, target = graph.nodes.get(link.origin), graph.nodes.get(link.target)
            if origin is None or target is None or id_ not in origin.given:
                continue
            sockets = target.sockets
            at_place = sockets[link.target_slot] if 0 <= link.target_slot < len(sockets) else None
            if at_place is not None and at_place.link is None and id_ not in linked[target.id]:
                self.note(f"{target.shown}, input {at_place.name}: has no link, but {origin.shown} has one to it, which is ignored")

    def nodes(self) -> Iterator[tuple[Scope, PageNode]]:
        """Yield all nodes, also those of the page alone, in the order of the file."""
        stack: list[tuple[Scope, Iterator[PageNode]]] = [(self.root, iter(self.root.graph.nodes.values()))]
        while stack:
            scope, rest = stack[-1]
            node = next(rest, None)
            if node is None:
                stack.pop()
                continue
            inner = scope.inner.get(node.id)
            if inner is not None:
                stack.append((inner, iter(inner.graph.nodes.values())))
            yield scope, node

    def known(self, scope: Scope, node: PageNode) -> Known:
        """Return what is known of a node from its class."""
        key = (scope.graph.id, node.id)
        if key not in self._known:
            self._known[key] = self._learn(node)
        return self._known[key]

    def class_of(self, node: PageNode) -> NodeInfo | None:
        """Return the class that the server has for a node; None for none."""
        name = node.class_type
        if name in VIRTUAL or name in SILENT:
            return None
        return self.info.get(name) or self.info.get(RENAMED.get(name, name))

    def _learn(self, node: PageNode) -> Known:
        definition = self.page.subgraphs.get(node.class_type)
        if definition is not None:
            sockets = _joined([Socket(each.name, each.type, None, "") for each in definition.inputs], node)
            named = {each.name for each in definition.inputs}
            return Known(
                None,
                tuple(socket for socket in sockets if socket.name in named),
                tuple(each.type for each in definition.outputs),
                {},
                {},
            )
        info = self.class_of(node)
        if info is None:
            return Known(None, node.sockets, node.outputs, {}, {})
        layout = layout_of(info, node, self.info)
        controls = {control.name: control for control in layout.controls}
        sockets = [socket for socket in _joined(list(layout.sockets), node) if not socket.control or socket.control in controls]
        said, unreadable = self._read(node, layout, info)
        outputs = tuple("*" if type_.startswith("COMFY_") else type_ for type_ in info.outputs)
        # What a node pack's code for the page has added stands behind them.
        outputs += node.outputs[len(outputs) :]
        return Known(info, tuple(sockets), outputs, controls, said, unreadable)

    def _read(self, node: PageNode, layout: Layout, info: NodeInfo) -> tuple[Mapping[str, Any], str]:
        """Return what the controls of a node say, also of one that is off: an instance of its subgraph may have a value from it."""

        def say(what: str) -> None:
            if not node.is_off:
                self.note(f"{node.shown}: {what}")

        if layout.unreadable:
            return {}, layout.unreadable
        try:
            is_own = info.is_core or info.module.startswith("comfy_api_nodes")
            return read_values(node, layout, say, is_own=is_own), ""
        except Unreadable as reason:
            return {}, str(reason)


def _joined(sockets: list[Socket], node: PageNode) -> list[Socket]:
    """Return the sockets of a class with the links of a file, and behind them those that only the file has."""
    given = {socket.name: socket for socket in node.sockets}
    own = {socket.name for socket in sockets}
    joined = [replace(socket, link=given[socket.name].link if socket.name in given else None) for socket in sockets]
    return [*joined, *(socket for socket in node.sockets if socket.name not in own)]
