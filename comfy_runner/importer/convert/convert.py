"""A workflow of ComfyUI's page (UI format) made into the graph that its server runs (API format), like the page's own export.

It is right, or refused: whatever a file does not tell (nodes of packs that act in the page, controls of packs' own, values that fit
to no rule) is a reason to refuse it, with the node's id, title and class. What the page replaces again in each run stays as it was
typed, and is said. The page's code (ComfyUI_frontend, GPL-3) was read for its rules, and nothing of it is used; the rules are
checked against the page itself in ``tests/importer/convert``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.errors import Note, WorkflowError
from comfy_runner.graph.object_info import NodeInfo, ObjectInfo
from comfy_runner.importer.convert.controls import Control
from comfy_runner.importer.convert.expanded import Expanded, Known, Scope
from comfy_runner.importer.convert.page_graph import PageNode, Socket, parse_page
from comfy_runner.importer.convert.page_text import SAVERS, patterns
from comfy_runner.importer.convert.primitives import primitive_value, rounded, steps_of
from comfy_runner.importer.convert.promoted import PromotedValues
from comfy_runner.importer.convert.values import OPTIONS_MAKER, Unreadable, made_options, sent
from comfy_runner.importer.convert.virtual_nodes import ACTING, LABELS, SILENT, VIRTUAL
from comfy_runner.importer.convert.wiring import BrokenLink, FromInstance, FromNode, FromPrimitive, Wiring
from comfy_runner.wording import misspelt_or_lacking, named
from comfy_runner.yaml_loader import got

_MOST_LOOKED_FOR = 10
_REPLACING = "Run widget replace on values"
_VERSION_OF_LISTS = 0.4  # of all others, also of none, the page takes the links for objects
_GROUPS = ("workflow>", "workflow/")


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted workflow.

    Attributes:
        graph: The API-format graph as JSON values: nodes by id, those within subgraphs as ``OUTER:INNER``.
        notes: What a user should know of it: what the page would replace, what was read in a way that may surprise.
    """

    graph: dict[str, Any]
    notes: tuple[Note, ...]


def convert(ui: Mapping[str, Any], info: ObjectInfo, *, where: str) -> Converted:
    """Convert a workflow of ComfyUI's page.

    Args:
        ui: The parsed JSON, of schema 0.4 or 1.
        info: What the server has that is to run it: the order of a class's inputs is what its values are read by.
        where: The place for messages.

    Raises:
        WorkflowError: It cannot be converted without a guess, or not for this server; one problem for each reason.
    """
    conversion = _Conversion(Expanded(parse_page(ui, where=where), info, where=where))
    graph = conversion.convert()
    expanded = conversion.expanded
    if expanded.problems:
        raise WorkflowError.of(expanded.problems)
    if not graph:
        raise WorkflowError("has no active node", where=where)
    links = ui.get("links")
    if isinstance(links, list) and any(isinstance(each, list) == (ui.get("version") != _VERSION_OF_LISTS) for each in links):
        expanded.note("its links do not have the form of its version; ComfyUI's page would lose them, but here they are read")
    return Converted(graph, tuple(expanded.notes))


class _Conversion:
    def __init__(self, expanded: Expanded) -> None:
        self.expanded = expanded
        self.promoted = PromotedValues(expanded)
        self.wiring = Wiring(expanded, self.promoted)
        self.lacking: dict[str, list[str]] = {}
        self.controlled: set[tuple[str, str]] = set()  # inputs that are linked, and have a control

    def convert(self) -> dict[str, Any]:
        if self.expanded.problems:
            return {}
        graph: dict[str, Any] = {}
        for scope, node in self.expanded.nodes():
            if node.is_off or node.id in scope.inner or node.class_type in SILENT:
                if node.class_type in LABELS:
                    self.expanded.note(f"{node.shown}: only shows something in ComfyUI's page, and is left out")
                continue
            if self.refuse_acting(node) or node.class_type in VIRTUAL:
                continue
            if scope.off is not None:
                self.leave_out(scope.off)
                continue
            known = self.expanded.known(scope, node)
            if known.info is None:
                self.lacking.setdefault(node.class_type, []).append(scope.full_id(node.id))
            elif known.unreadable:
                self.expanded.problem(f"{node.shown}: {known.unreadable}", "export it in ComfyUI's page: Workflow > Export (API)")
            elif scope.full_id(node.id) in graph:
                self.expanded.problem(f"{node.shown}: another node also has the id {scope.full_id(node.id)}")
            else:
                graph[scope.full_id(node.id)] = self.node(scope, node, known, known.info)
        self.refuse_lacking()
        if self.expanded.page.has_far_links:
            self.expanded.problem(
                "Anything Everywhere links its nodes in ComfyUI's page, which the file does not show",
                "turn these links into real ones in ComfyUI's page, or export it there: Workflow > Export (API)",
            )
        for node_id, made in graph.items():
            inputs = made["inputs"]
            for name in [name for name, value in inputs.items() if isinstance(value, list) and value[0] not in graph]:
                del inputs[name]
                if (node_id, name) in self.controlled:
                    self.expanded.note(
                        f"node {node_id}, input {name}: what it is linked to is muted, so it has no value; newer versions of "
                        "ComfyUI's page send the value of its control"
                    )
        return graph

    def node(self, scope: Scope, node: PageNode, known: Known, info: NodeInfo) -> dict[str, Any]:
        """Return a node in the API format."""
        inputs: dict[str, Any] = {}
        said = dict(known.said)
        for index, socket in enumerate(known.sockets):
            try:
                self.wire(scope, node, known, index, socket, said, inputs)
            except BrokenLink as reason:
                self.expanded.problem(str(reason), "open the file in ComfyUI's page, look at its links and save it again")
        for name, control in known.controls.items():
            if (
                control.info
                and control.info.page
                and control.info.page.upload == "image"
                and name not in said
                and name not in inputs
            ):
                self.expanded.problem(f"{node.shown}: input {name}: no file is named, and the server has none")
        if node.class_type == OPTIONS_MAKER:
            try:
                inputs |= made_options(node, inputs.get("choice", said.get("choice")))
            except Unreadable as reason:
                self.expanded.problem(f"{node.shown}: {reason}", "export it in ComfyUI's page: Workflow > Export (API)")
        sent_values = {
            name: self.sent(node, control, said[name])
            for name, control in known.controls.items()
            if control.is_sent and name in said and name not in inputs
        }
        return {
            "class_type": info.name,
            "inputs": {name: _wrapped(value) for name, value in sent_values.items()} | inputs,
            "_meta": {"title": node.title or info.display_name},
        }

    def wire(
        self, scope: Scope, node: PageNode, known: Known, index: int, socket: Socket, said: dict[str, Any], inputs: dict[str, Any]
    ) -> None:
        """Put what an input gets from elsewhere among the inputs, or among what the node's controls say."""
        if socket.link is None:
            return
        source = self.wiring.source(scope, node, index)
        control = known.controls.get(socket.control) if socket.control else None
        if isinstance(source, FromNode):
            inputs[socket.name] = [source.node_id, source.slot]
            if control is not None:
                self.controlled.add((scope.full_id(node.id), socket.name))
        elif isinstance(source, FromInstance) and source.promoted.says:
            if source.promoted.is_hidden and not self.expanded.info.has_dynamic_inputs:
                if control is None:
                    self.expanded.note(
                        f"{node.shown}, input {socket.name}: has no value; newer versions of ComfyUI's page send that of "
                        f"{source.promoted.control.name}, which its subgraph is given"
                    )
                return
            if not source.is_linked:
                inputs[socket.name] = _wrapped(source.promoted.value)
            elif control is not None:
                if said.get(control.name) != source.promoted.value:
                    self.expanded.note(
                        f"{node.shown}, input {socket.name}: its subgraph is linked to something that gives nothing, so it "
                        "has its value; newer versions of ComfyUI's page send its own"
                    )
                said[control.name] = source.promoted.value
        elif isinstance(source, FromPrimitive) and control is not None:
            self.take(source, node, control, said)

    def take(self, source: FromPrimitive, node: PageNode, control: Control, said: dict[str, Any]) -> None:
        """Let a control say what a PrimitiveNode says."""
        primitive = source.node
        value, says = primitive_value(primitive)
        if not says:
            return
        consumers = self.wiring.consumers(source.scope, primitive)
        if any(each.class_type in VIRTUAL for each, _ in consumers):
            what = f"it is linked to {node.shown} and to nodes of the page, so ComfyUI's page may lose its value"
            self.expanded.problem(f"{primitive.shown}: {what}", "remove its link to the reroute")
        elif control.kind in ("INT", "FLOAT") and (isinstance(value, bool) or not isinstance(value, int | float)):
            self.expanded.problem(
                f"{primitive.shown}: {got(value)} is not a number, which {node.shown} requires for {control.name}"
            )
        if primitive.properties.get(_REPLACING) and isinstance(value, str) and patterns(value):
            self.expanded.note(
                f"{primitive.shown}: ComfyUI's page replaces {named(patterns(value))} in its value; here it stays as text"
            )
        plain = rounded(value, control.info)
        if plain != value and len({steps_of(each.info if each else None) for _, each in consumers}) > 1:
            what = f"{value} is outside the range or the steps of {control.name} of {node.shown}, and also goes to other inputs"
            self.expanded.problem(f"{primitive.shown}: {what}", "in ComfyUI's page, give it a value that all of them accept")
        elif plain != value:
            self.expanded.note(
                f"{node.shown}, input {control.name}: is {plain}, as ComfyUI's page rounds the {value} of {primitive.shown}",
                changed=True,
            )
        if source.is_within and said.get(control.name) != plain:
            self.expanded.note(
                f"{node.shown}, input {control.name}: has the value of {primitive.shown} outside its subgraph; "
                "newer versions of ComfyUI's page send its own"
            )
        said[control.name] = plain

    def sent(self, node: PageNode, control: Control, value: Any) -> Any:
        """Return what goes to the server where a control says this."""
        if control.name == "sampler_name" and node.class_type in ("KSampler", "KSamplerAdvanced") and isinstance(value, str):
            value = value.removeprefix("sample_")
        if control.name == "filename_prefix" and node.class_type in SAVERS and isinstance(value, str) and patterns(value):
            self.expanded.note(
                f"{node.shown}: ComfyUI's page replaces {named(patterns(value))} in {control.name}; here it stays as text"
            )
        if control.kind == "CURVE" and value is not None:
            return {"__type__": "CURVE", "__value__": value}
        try:
            return sent(control, value, lambda what: self.expanded.note(f"{node.shown}, {what}"))
        except Unreadable as reason:
            self.expanded.problem(f"{node.shown}: {reason}")
            return None

    def refuse_acting(self, node: PageNode) -> bool:
        """Refuse a node that acts in the page, and return whether it is one."""
        reason = ACTING.get(node.class_type)
        if reason:
            hint = (
                "set the links and switches as intended and remove it, or export the workflow "
                "in ComfyUI's page: Workflow > Export (API)"
            )
            self.expanded.problem(f"{node.shown}: {reason}", hint)
        elif node.class_type.startswith(_GROUPS):
            self.expanded.problem(
                f"{node.shown}: is a group node", "turn it into a subgraph in ComfyUI's page, or export the workflow there"
            )
            reason = "a group"
        return reason is not None

    def leave_out(self, instance: PageNode) -> None:
        """Leave out nodes that are on in a subgraph that is off, as newer versions of the page do; older ones send them."""
        if self.expanded.info.has_dynamic_inputs:
            self.expanded.note(f"{instance.shown}: the subgraph is switched off, so the nodes in it are left out")
        else:
            self.expanded.problem(
                f"{instance.shown}: the subgraph is switched off, but nodes in it are not: "
                f"versions of the page treat this differently",
                "switch it on and off again in ComfyUI's page and save the file",
            )

    def refuse_lacking(self) -> None:
        info = self.expanded.info
        for place, (class_type, ids) in enumerate(sorted(self.lacking.items())):
            # Looking for names that are alike takes its time.
            known = info.classes if place < _MOST_LOOKED_FOR else ()
            what = f"{info.source} has no node class {got(class_type)} ({'node' if len(ids) == 1 else 'nodes'} {named(ids)})"
            self.expanded.problem(what, misspelt_or_lacking(class_type, known))


def _wrapped(value: Any) -> Any:
    """Return a value as it goes to the server, where a bare list would be read as a link."""
    return {"__value__": value} if isinstance(value, list) else value
