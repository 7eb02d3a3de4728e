"""A workflow held against a server's object_info before it is posted: what the server would refuse, or silently run otherwise.

ComfyUI has no dry run. It turns ``"false"`` into true and 64.9 into 64, takes unknown options of a dynamic combo and fails of
them later, and answers 200 where one of two outputs is invalid; here all of that is an error, found before anything is rendered.
What only a node's own code can judge, such as whether a file is a model, is left to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from comfy_runner.errors import Note, Problem
from comfy_runner.graph.decoding import LATER_INPUTS
from comfy_runner.graph.literals import Acceptance, Judgement, judge, wants_link
from comfy_runner.graph.model_lists import model_kind
from comfy_runner.graph.object_info import InputInfo, NodeInfo, ObjectInfo, expanded, type_names
from comfy_runner.graph.replacements import with_replacements
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link
from comfy_runner.wording import MISSPELT, counted, did_you_mean, misspelt_or_lacking, named, nearest
from comfy_runner.yaml_loader import got

Locate = Callable[[str, str], str]
"""Tells where a recipe gives the value of (node id, input name): ``file:line: field``, or nothing."""


_NODE = "\0"
_VERBS = {"has": "have", "leads to no output and is": "lead to no output and are"}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a server takes of a workflow.

    Attributes:
        workflow: The graph with the server's own names for models, missing inputs filled in, and without what leads to no output
            that the server takes; without any node where it takes none.
        notes: What was changed, for the user.
        problems: Why it takes no more than that: each with node, input, reason and the nearest right values. Empty where it takes
            the whole.
    """

    workflow: Workflow
    notes: tuple[Note, ...]
    problems: tuple[Problem, ...] = ()


def check(
    workflow: Workflow,
    info: ObjectInfo,
    *,
    where: str,
    locate: Locate | None = None,
    packs: Mapping[str, str] | None = None,
    version: str = "",
    files: Sequence[str] = (),
    models: Mapping[str, str] | None = None,
) -> Checked:
    """Fit a workflow to a server.

    Args:
        workflow: The graph.
        info: What the server says of its nodes.
        where: The place for problems that no recipe line can be blamed for, such as the template.
        locate: Where the recipe gives an input's value.
        packs: Where node classes come from that are not ComfyUI's own, by class, for the way out.
        version: The first ComfyUI that has all others; empty where nobody says.
        files: The recipe's fields that bring files of the user's to a server, such as ``params.image``, for the way out.
        models: Where models come from, by name, likewise.
    """
    checker = _Checker(workflow, info, where, locate)
    checker.packs, checker.version, checker.files, checker.models = packs or {}, version, files, models or {}
    for node_id, replacement in checker.replaced.items():
        old = _described(node_id, workflow.nodes[node_id])
        checker.note(f"node {old} is run as {replacement.class_type} on {info.source}")
    for node_id in workflow.nodes:
        checker.check_node(node_id)
    return checker.result()


class ShapeCheck:
    """All graphs that differ in their literals alone, held against a server: the graph once, each literal by itself.

    It comes to the same as a `check` of each graph, because what is made of a literal depends on no other one but the `selectors`.

    Args:
        workflow: Any graph of the shape, of whose literals only the selectors are looked at.
        info: What the server says of its nodes.

    Attributes:
        bad: The nodes that have a problem whatever their literals are.
    """

    def __init__(self, workflow: Workflow, info: ObjectInfo) -> None:
        self._checker = _Checker(workflow, info)
        for node_id in workflow.nodes:
            self._checker.check_node(node_id, literals=False)
        self.bad = frozenset(self._checker.bad)

    def verdict(self, node_id: str, name: str, value: Any) -> Acceptance:
        """Return what the server makes of a literal as this node's input."""
        return self._checker.judge(node_id, self._checker.new_name(node_id, name), value).acceptance

    def has_output_without(self, bad: Set[str]) -> bool:
        """Return whether some output depends on none of these nodes."""
        return bool(self._checker.good_outputs(bad))


def selectors(workflow: Workflow, info: ObjectInfo) -> frozenset[tuple[str, str]]:
    """Return the inputs whose literals may decide which other inputs there are, as (node id, input name)."""
    checker = _Checker(workflow, info)
    return frozenset(
        (node_id, name)
        for node_id, node in workflow.nodes.items()
        if (known := info.get(checker.workflow.nodes[node_id].class_type)) is not None and known.dynamic
        for name in node.inputs
        if checker.new_name(node_id, name).partition(".")[0] in known.dynamic
    )


class _Checker:
    def __init__(self, workflow: Workflow, info: ObjectInfo, where: str = "", locate: Locate | None = None) -> None:
        self.info, self.where = info, where
        self.workflow, self.replaced = with_replacements(workflow, info.replacement)
        self.names = {node_id: list(workflow.nodes[node_id].inputs) for node_id in self.replaced}
        self.locate = locate or (lambda _node, _name: "")
        self.packs: Mapping[str, str] = {}
        self.version = ""
        self.files: Sequence[str] = ()
        self.models: Mapping[str, str] = {}
        # Each with the nodes that it is said of, which stand in the place of _NODE.
        self.problems: dict[Problem, list[str]] = {}
        self.notes: dict[Note, list[str]] = {}
        self.changes: dict[tuple[str, str], Any] = {}
        self.dropped: list[tuple[str, str]] = []
        self.node_id = ""
        self.bad: set[str] = set()
        self._inputs: dict[str, dict[str, InputInfo]] = {}

    @cached_property
    def ends(self) -> list[str]:
        """Return the output nodes."""
        nodes = self.workflow.nodes.items()
        return [id_ for id_, node in nodes if (known := self.info.get(node.class_type)) and known.is_output]

    def good_outputs(self, bad: Set[str]) -> list[str]:
        """Return the output nodes that depend on none of these nodes."""
        return [end for end in self.ends if bad.isdisjoint(self.workflow.ancestors([end]))] if bad else self.ends

    def new_name(self, node_id: str, name: str) -> str:
        """Return what an input is called on the server; empty for one that it leaves out."""
        return self.replaced[node_id].new_name(name) if node_id in self.replaced else name

    def place_of(self, node_id: str, name: str) -> str:
        """Return where the recipe gives an input, or else the place for problems without one."""
        old = next((old for old in self.names.get(node_id, ()) if self.new_name(node_id, old) == name), name)
        return self.locate(node_id, old) or self.where

    def inputs(self, node_id: str) -> dict[str, InputInfo]:
        """Return what a node's inputs may be, with those that its dynamic ones bring; nothing for a class that is not known."""
        if node_id not in self._inputs:
            node = self.workflow.nodes[node_id]
            known = self.info.get(node.class_type)
            self._inputs[node_id] = dict(expanded(known.inputs, node.inputs)) if known is not None else {}
        return self._inputs[node_id]

    def result(self) -> Checked:
        ends = self.good_outputs(self.bad)
        if not ends and not self.problems:
            self.problem("no node of the workflow is an output node", "add a SaveImage")
        workflow = self.workflow.with_inputs(self.changes).without_inputs(self.dropped)
        needed = workflow.ancestors(ends)
        for node_id in workflow.nodes if not self.bad else ():
            if node_id not in needed:
                self.node_id = node_id
                self.note(f"{_NODE} leads to no output and is left out")
        problems = tuple(replace(each, what=_said_of(nodes, each.what)) for each, nodes in self.problems.items())
        notes = [replace(each, what=_said_of(nodes, each.what)) for each, nodes in self.notes.items()]
        notes += [Note(f"left out: {problem.what}", problem.where) for problem in problems]
        return Checked(workflow.keep(needed), tuple(notes), problems)

    def problem(self, what: str, hint: str = "", *, name: str = "", node: str = "") -> None:
        """Take note of a problem of the node that is looked at, and of its input of this name where the recipe gives that."""
        self.bad.add(self.node_id)
        found = Problem(what, self.place_of(self.node_id, name), hint)
        self.problems.setdefault(found, []).append(node or self.this_node())

    def note(self, what: str, level: Literal["changed", "warning"] = "changed", *, name: str = "") -> None:
        self.notes.setdefault(Note(what, self.place_of(self.node_id, name), level), []).append(self.this_node())

    def this_node(self) -> str:
        node = self.workflow.nodes.get(self.node_id)
        return _described(self.node_id, node) if node else ""

    def check_node(self, node_id: str, *, literals: bool = True) -> None:
        self.node_id = node_id
        node = self.workflow.nodes[node_id]
        known = self.info.get(node.class_type)
        if known is None:
            what = f"{_NODE}: {self.info.source} has no node class {node.class_type}"
            self.problem(what, self.way_to(node.class_type), node=f'"{node_id}"')
            return
        if node.is_output and not known.is_output:
            what = f"{_NODE} has the role {got(node.role or node_id)}, but is not an output node on {self.info.source}"
            self.problem(what, "give the role to a node that saves, such as SaveImage")
        inputs = self.inputs(node_id)
        for name, value in node.inputs.items():
            link, wanted = as_link(value), inputs.get(name)
            if wanted is None:
                if not _is_part(name, inputs):
                    self.unknown_input(node_id, node, name, known)
            elif link is not None:
                self.check_link(name, link, wanted)
            elif literals or (node_id in self.replaced and name in self.replaced[node_id].added):
                self.check_literal(node_id, name, value)
        for name, wanted in inputs.items():
            if wanted.required and name not in node.inputs and not any(_is_part(given, {name: wanted}) for given in node.inputs):
                self.missing_input(node_id, name, wanted)

    def way_to(self, class_type: str) -> str:
        """Return how a server comes by a node class that it lacks, or what may have been meant."""
        if class_type in self.packs:
            return f"it comes with {self.packs[class_type]}"
        if self.version:
            close = nearest(class_type, self.info.classes, like=MISSPELT)
            meant = f"; or {did_you_mean(class_type, close)}" if close else ""
            return f"it comes with ComfyUI {self.version} or newer{meant}"
        return f"{misspelt_or_lacking(class_type, self.info.classes)}, or use another template"

    def way_to_file(self, meant: str) -> str:
        """Return how a server comes by a file that it lacks, and which of its own may have been meant."""
        if not self.files:
            return meant or "use a template parameter of type image or file to bring your own file to the server"
        bring = f"bring your own file with {' or '.join(f'--set {field}=FILE' for field in self.files)}"
        return f"{bring}; {meant}" if meant else bring

    def way_to_model(self, node_id: str, name: str, value: Any, meant: str) -> str:
        """Return how a server comes by a model that it lacks, or else which of its own may have been meant."""
        source = self.models.get(value) if isinstance(value, str) else None
        if source is None:
            return meant
        kind = model_kind(self.workflow.nodes[node_id].class_type, name)
        return f"put {source} in its folder {kind or 'of such models'}, under that name" + (f"; or {meant}" if meant else "")

    def unknown_input(self, node_id: str, node: Node, name: str, known: NodeInfo) -> None:
        what = f"{_NODE} has no input {name}"
        if node.class_type == "VAEDecodeTiled" and name in LATER_INPUTS:
            self.dropped.append((node_id, name))
            self.note(f"{what} on {self.info.source}, which does not need it", name=name)
            return
        close = nearest(name, self.inputs(node_id))
        hint = did_you_mean(name, close) if close else ""
        if name in known.inputs and (parts := known.inputs[name].parts):
            hint = f"it grows: write {name}.{next(iter(parts))}"
        if known.is_core and as_link(node.inputs[name]) is not None:
            # Of what is linked ComfyUI makes an argument that the node's function does not take; literals it leaves out.
            self.problem(f"{what}, and would fail because of the link to it", hint, name=name)
            return
        ignored = (
            f"on {self.info.source}, which ignores it" if known.is_core else f"that {self.info.source} knows of, and may ignore it"
        )
        self.note(f"{what} {ignored}" + (f"; {hint}" if hint else ""), "warning", name=name)

    def missing_input(self, node_id: str, name: str, wanted: InputInfo) -> None:
        place = f"{_NODE}, input {name}"
        if wants_link(wanted, self.info):
            self.problem(f"{place}: required by the server, not given", f"link it to a node's {wanted.type}")
        elif wanted.has_default and wanted.choices is None:
            self.changes[node_id, name] = wanted.default
            self.note(f"{place}: not given, so the server's default {got(wanted.default)} is used")
        else:
            hint = did_you_mean("", map(str, wanted.options)) if wanted.options else ""
            self.problem(f"{place}: required by the server, not given", hint)

    def check_link(self, name: str, link: Link, wanted: InputInfo) -> None:
        source = self.workflow.nodes[link.node]
        known = self.info.get(source.class_type)
        if known is None:
            return  # said where that node is checked
        place = f"{_NODE}, input {name}"
        if wanted.choices is not None:
            # The server would not know which other inputs there are, and hand the node something that it cannot read.
            self.problem(f"{place}: must be one of its options, not a link", did_you_mean("", wanted.texts))
        elif link.slot >= len(known.outputs):
            count = counted(len(known.outputs), "output")
            self.problem(f'{place}: node "{link.node}" ({source.class_type}) has {count} (got index {link.slot})')
        elif not _types_meet(known.outputs[link.slot], wanted.type):
            given = known.outputs[link.slot]
            fitting = [str(slot) for slot, type_ in enumerate(known.outputs) if _types_meet(type_, wanted.type)]
            hint = f'output {" or ".join(fitting)} of node "{link.node}" is {wanted.type}' if fitting else ""
            self.problem(f'{place}: needs {wanted.type} (got {given} from node "{link.node}")', hint)

    def judge(self, node_id: str, name: str, value: Any) -> Judgement:
        """Return what the server makes of a literal; nothing is said here of an input that it does not have."""
        node, wanted = self.workflow.nodes[node_id], self.inputs(node_id).get(name)
        known = self.info.get(node.class_type)
        if known is None or wanted is None:
            return Judgement("fine", value)
        return judge(value, wanted, known, self.info, at=f"{_NODE}, input {name}")

    def check_literal(self, node_id: str, name: str, value: Any) -> None:
        found = self.judge(node_id, name, value)
        if found.acceptance == "refused":
            way = self.way_to_model(node_id, name, value, found.hint)
            self.problem(found.what, self.way_to_file(way) if found.is_file else way, name=name)
        elif found.acceptance == "noted":
            if is_other := found.value is not value:
                self.changes[node_id, name] = found.value
            self.note(found.what, "changed" if is_other else "warning", name=name)


def _described(node_id: str, node: Node) -> str:
    title = "" if node.title == node.class_type else f"{node.title}, "
    return f'"{node_id}" ({title}{node.class_type})'


def _said_of(nodes: Sequence[str], what: str) -> str:
    """Return a sentence with the nodes that it is said of: a value that both passes take is wrong once."""
    if len(nodes) == 1:
        return what.replace(_NODE, f"node {nodes[0]}")
    for one, many in _VERBS.items():
        what = what.replace(f"{_NODE} {one} ", f"{_NODE} {many} ")
    return what.replace(_NODE, f"nodes {named(nodes[:-1])} and {nodes[-1]}")


def _types_meet(given: str, wanted: str) -> bool:
    """Return whether a link fits, as ``comfy_execution/validation.py`` decides it: one type in common, or a wildcard."""
    have, want = type_names(given), type_names(wanted)
    # V3 nodes name types such as COMFY_MATCHTYPE_V3, whose meaning only the server knows.
    return bool(have & want) or "*" in have | want or any(part.startswith("COMFY_") for part in have | want)


def _is_part(name: str, inputs: Mapping[str, InputInfo]) -> bool:
    """Return whether this belongs to an input that grows in a way that the server does not tell."""
    whole = inputs.get(name.partition(".")[0])
    return "." in name and whole is not None and whole.type.startswith("COMFY_") and whole.choices is None
