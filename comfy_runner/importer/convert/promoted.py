"""Values that an instance of a subgraph has for its inputs, which take the place of those of the nodes within.

In the file they are a list, without names. The page reads it by the order of its own inputs, and errs where the server's classes
are older than the file; here it is read by the names that the file has for them elsewhere, and the difference is said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from comfy_runner.importer.convert.controls import Control
from comfy_runner.importer.convert.expanded import Expanded, Scope
from comfy_runner.importer.convert.page_graph import Boundary, PageNode, Socket
from comfy_runner.importer.convert.values import Unreadable, in_control


@dataclass(frozen=True, slots=True)
class Promoted:
    """The value of one input of an instance.

    Attributes:
        control: The control within that it stands for.
        value: What it says.
        says: Whether it says anything.
        is_shifted: Whether the file has another place for the control's socket than the page, some versions of which then take the
            value of another control.
        is_hidden: Whether the instance shows the control within in its place, which keeps its own value.
    """

    control: Control
    value: Any
    says: bool
    is_shifted: bool = False
    is_hidden: bool = False


class PromotedValues:
    """The values of all instances of a file.

    Args:
        expanded: The file.
    """

    def __init__(self, expanded: Expanded) -> None:
        self.expanded = expanded
        self._of: dict[tuple[str, ...], dict[str, Promoted]] = {}
        self._texts: dict[tuple[str, str], str] = {}

    def of(self, scope: Scope) -> dict[str, Promoted]:
        """Return the values of an instance by the names of its inputs; those without a control within have none."""
        if scope.path not in self._of:
            # Set before the work: a subgraph within itself has been refused already.
            self._of[scope.path] = {}
            self._of[scope.path] = self._read(scope)
        return self._of[scope.path]

    def _read(self, scope: Scope) -> dict[str, Promoted]:
        instance = scope.instance
        if instance is None:
            return {}
        found = {each.name: within for each in scope.graph.inputs if (within := self._within(scope, each)) is not None}
        values = instance.values
        hidden: set[str] = set()
        if isinstance(values, Mapping):
            given: dict[str, Any] = {name: value for name, value in values.items() if name in found}
        else:
            proxies = _proxies(instance.properties.get("proxyWidgets"))
            try:
                given = self._by_list(scope, instance, found, values or (), proxies)
            except Unreadable as reason:
                self.expanded.problem(f"{instance.shown}: {reason}", "open the file in ComfyUI's page and save it again")
                given = {}
            if proxies is not None:
                hidden = _hidden(proxies)
        result = {}
        order = [*self.expanded.page.subgraphs]
        is_early = (
            scope.above is not None
            and scope.above.instance is not None
            and order.index(scope.above.graph.id) < order.index(scope.graph.id)
        )
        for name, promoted in found.items():
            if name in hidden:
                result[name] = replace(promoted, is_hidden=True)
                continue
            if name in given:
                if is_early and not _same(given[name], promoted):
                    self.expanded.note(
                        f"{instance.shown}: input {name} has the value of the instance; versions of ComfyUI's page send another"
                    )
                try:
                    result[name] = Promoted(promoted.control, in_control(promoted.control, given[name]), True)
                except Unreadable as reason:
                    self.expanded.problem(f"{instance.shown}: {reason}")
                    continue
            else:
                result[name] = promoted
            self._compare(scope, instance, name, result[name])
            if promoted.is_shifted:
                self.expanded.note(
                    f"{instance.shown}: input {name} is taken from the inner input of the same name; "
                    f"some versions of ComfyUI's page use another"
                )
        return result

    def _compare(self, scope: Scope, instance: PageNode, name: str, promoted: Promoted) -> None:
        """Say where instances of one subgraph have texts of their own, which some versions of the page mix up."""
        page = promoted.control.info.page if promoted.control.info else None
        if promoted.control.kind != "STRING" or page is None or not page.is_multiline or not isinstance(promoted.value, str):
            return
        if self._texts.setdefault((scope.graph.id, name), promoted.value) != promoted.value:
            self.expanded.note(
                f"{instance.shown}: input {name} is another text than in other instances of the subgraph; "
                "some versions of ComfyUI's page send one of them for all"
            )

    def _by_list(
        self,
        scope: Scope,
        instance: PageNode,
        found: Mapping[str, Promoted],
        values: Sequence[Any],
        proxies: Sequence[tuple[str, str]] | None,
    ) -> dict[str, Any]:
        names = list(found)
        at_place = dict(zip(names, values, strict=False))
        if proxies is not None:
            for (id_, name), value in zip(proxies, values, strict=False):
                if id_ == "-1" and value is None and name in found and found[name].value is not None:
                    raise Unreadable(f"it has nothing where the value of input {name} should be")
                if id_ != "-1" and value is not None and name in found and not _same(value, found[name]):
                    raise Unreadable(f"it has a value for {name} of the inner node, which is also a separate input")
            by_name = {
                name: value
                for (id_, name), value in zip(proxies, values, strict=False)
                if id_ == "-1" and value is not None and name in found
            }
            # The page first reads them by position; a value that is not named afterwards may be another's.
            hidden = _hidden(proxies)
            for name, value in at_place.items():
                if name not in by_name and name not in hidden and value is not None and not _same(value, found[name]):
                    raise Unreadable(f"the file does not show which of its values belongs to input {name}")
            return by_name
        told = [each.name for each in scope.graph.inputs if self._is_controlled_in_file(scope, each)]
        if told == names or not values:
            return at_place
        if len(values) == len(told):
            by_name = {name: value for name, value in zip(told, values, strict=True) if name in found}
            if by_name != at_place:
                self.expanded.note(f"{instance.shown}: its values are read by name; ComfyUI's page would shift them here")
            return by_name
        raise Unreadable("the number of its values is not that of its inputs")

    def _within(self, scope: Scope, boundary: Boundary) -> Promoted | None:
        """Return the control that an input of a subgraph stands for, with what it says; None for none."""
        for link_id in boundary.links:
            link = scope.graph.links.get(link_id)
            node = scope.graph.nodes.get(link.target) if link else None
            socket = self._socket(scope, node, link_id) if node else None
            if node is None or socket is None:
                continue
            inner = scope.inner.get(node.id)
            if inner is not None:
                nested = self.of(inner).get(socket.name)
                if nested is not None and not nested.is_hidden:
                    return nested
                continue
            known = self.expanded.known(scope, node)
            control = known.controls.get(socket.control) if socket.control else None
            if control is not None:
                is_shifted = link is not None and not self._is_at_place(known.sockets, socket, link.target_slot)
                return Promoted(control, known.said.get(control.name), control.name in known.said, is_shifted)
        return None

    @staticmethod
    def _is_at_place(sockets: Sequence[Socket], socket: Socket, index: int) -> bool:
        """Return whether the page, which has the inputs in the order of the class, finds a socket where the file says."""
        return 0 <= index < len(sockets) and sockets[index] is socket

    def _socket(self, scope: Scope, node: PageNode, link_id: str) -> Socket | None:
        return next((socket for socket in self.expanded.known(scope, node).sockets if socket.link == link_id), None)

    def _is_controlled_in_file(self, scope: Scope, boundary: Boundary) -> bool:
        links = (scope.graph.links.get(link_id) for link_id in boundary.links)
        nodes = ((scope.graph.nodes.get(link.target), id_) for link, id_ in zip(links, boundary.links, strict=True) if link)
        return any(socket.link == id_ and socket.control for node, id_ in nodes if node for socket in node.sockets)


def _same(value: Any, promoted: Promoted) -> bool:
    try:
        return promoted.says and bool(in_control(promoted.control, value) == in_control(promoted.control, promoted.value))
    except Unreadable:
        return False


def _hidden(proxies: Sequence[tuple[str, str]]) -> set[str]:
    """Return the names that the page shows of controls within, and not of inputs."""
    return {name for id_, name in proxies if id_ != "-1"}.difference(name for id_, name in proxies if id_ == "-1")


def _proxies(told: Any) -> list[tuple[str, str]] | None:
    """Return what the page shows of an instance: id of the node within (-1 for an input) and name of the control; None for all."""
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except (ValueError, RecursionError):
            return None
    if not isinstance(told, list):
        return None
    pairs = (each if isinstance(each, list) and len(each) >= 2 else ["", ""] for each in told)
    return [(str(id_) if isinstance(id_, str | int) else "", name if isinstance(name, str) else "") for id_, name, *_ in pairs]
