"""A workflow held against a server's object_info before it is posted: what the server would refuse, or silently run otherwise.

ComfyUI has no dry run. It turns ``"false"`` into true and 64.9 into 64, ignores misspelt optional inputs, and answers 200 where one
of two outputs is invalid; here all of that is an error, found before anything is rendered. What only a node's own code can judge,
such as whether a file is a model, is left to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from comfy_runner.errors import Note, Problem, WorkflowError
from comfy_runner.graph.decoding import LATER_INPUTS
from comfy_runner.graph.model_names import candidates
from comfy_runner.graph.object_info import InputInfo, NodeInfo, ObjectInfo, type_names
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link
from comfy_runner.hints import LISTED, did_you_mean, nearest
from comfy_runner.input_files import is_upload_name
from comfy_runner.yaml_loader import got

Locate = Callable[[str, str], str]
"""Tells where a recipe gives the value of (node id, input name): ``file:line: field``, or nothing."""

Acceptance = Literal["fine", "changed", "refused"]
"""What a server makes of a literal: it is taken as it is, goes by the server's own name, or is a problem."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A workflow that this server will take.

    Attributes:
        workflow: The graph with the server's own names for models, missing inputs filled in, and orphans gone.
        notes: What was changed, for the user.
    """

    workflow: Workflow
    notes: tuple[Note, ...]


def check(
    workflow: Workflow,
    info: ObjectInfo,
    *,
    where: str,
    locate: Locate | None = None,
    allow_partial: bool = False,
    packs: Mapping[str, str] | None = None,
    version: str = "",
) -> Checked:
    """Fit a workflow to a server.

    Args:
        workflow: The graph.
        info: What the server says of its nodes.
        where: The place for problems that no recipe line can be blamed for, such as the template.
        locate: Where the recipe gives an input's value.
        allow_partial: Whether outputs that the server would refuse are left out, as long as one remains.
        packs: Where node classes come from that are not ComfyUI's own, by class, for the way out.
        version: The first ComfyUI that has all others; empty where nobody says.

    Raises:
        WorkflowError: With everything that is wrong, each with node, input, reason and the nearest right values.
    """
    checker = _Checker(workflow, info, where, locate)
    checker.packs, checker.version = packs or {}, version
    for node_id in workflow.nodes:
        checker.check_node(node_id)
    if checker.problems and not (allow_partial and checker.good_outputs(checker.bad)):
        raise WorkflowError.of(checker.problems)
    return checker.result()


class ShapeCheck:
    """All graphs that differ in their literals alone, held against a server: the graph once, each literal by itself.

    It comes to the same as a `check` of each graph, because what is made of a literal depends on no other one.

    Args:
        workflow: Any graph of the shape; its literals are not looked at.
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
        known = self._checker.info.get(self._checker.workflow.nodes[node_id].class_type)
        wanted = known.inputs.get(name) if known and not _is_part(name, known.inputs) else None
        if wanted is None:
            return "fine"  # if anything is wrong, it is not the value
        value = _unwrapped(value)
        if wanted.options is None:
            return "refused" if self._checker.literal_problem(value, wanted) else "fine"
        found = _meant(value, wanted)
        if len(found) != 1:
            return "refused"
        return "fine" if found[0] is value else "changed"

    def has_output_without(self, bad: Set[str]) -> bool:
        """Return whether some output depends on none of these nodes."""
        return bool(self._checker.good_outputs(bad))


class _Checker:
    def __init__(self, workflow: Workflow, info: ObjectInfo, where: str = "", locate: Locate | None = None) -> None:
        self.workflow, self.info, self.where = workflow, info, where
        self.locate = locate or (lambda _node, _name: "")
        self.packs: Mapping[str, str] = {}
        self.version = ""
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.changes: dict[tuple[str, str], Any] = {}
        self.dropped: list[tuple[str, str]] = []
        self.node_id = ""
        self.bad: set[str] = set()

    def good_outputs(self, bad: Set[str]) -> list[str]:
        """Return the output nodes that depend on none of these nodes."""
        nodes = self.workflow.nodes.items()
        ends = [node_id for node_id, node in nodes if (known := self.info.get(node.class_type)) and known.is_output]
        return [end for end in ends if bad.isdisjoint(self.workflow.ancestors([end]))] if bad else ends

    def result(self) -> Checked:
        workflow = self.workflow.with_inputs(self.changes).without_inputs(self.dropped)
        ends = self.good_outputs(self.bad)
        if not ends:
            raise WorkflowError("no node of the workflow is an output node", where=self.where, hint="add a SaveImage")
        needed = workflow.ancestors(ends)
        for node_id, node in workflow.nodes.items():
            if node_id not in needed and not self.bad:
                self.note(f"{_place(node_id, node)} leads to no output and is left out")
        self.notes += [Note(f"left out: {problem.what}", problem.where) for problem in self.problems]
        return Checked(workflow.keep(needed), tuple(self.notes))

    def problem(self, what: str, hint: str = "", *, at: tuple[str, str] = ("", "")) -> None:
        self.bad.add(self.node_id)
        self.problems.append(Problem(what, self.locate(*at) or self.where, hint))

    def note(self, what: str, *, at: tuple[str, str] = ("", "")) -> None:
        self.notes.append(Note(what, self.locate(*at) or self.where, "changed"))

    def check_node(self, node_id: str, *, literals: bool = True) -> None:
        self.node_id = node_id
        node = self.workflow.nodes[node_id]
        known = self.info.get(node.class_type)
        if known is None:
            self.problem(f'node "{node_id}": {self.info.source} has no node class {node.class_type}', self.way_to(node.class_type))
            return
        if node.is_output and not known.is_output:
            what = f"{_place(node_id, node)} has the role {got(node.role or node_id)}, but is no output node on {self.info.source}"
            self.problem(what, "give the role to a node that saves, such as SaveImage")
        for name, value in node.inputs.items():
            if _is_part(name, known.inputs):
                continue
            if name not in known.inputs:
                self.unknown_input(node_id, node, known, name)
            elif (link := as_link(value)) is not None:
                self.check_link(node_id, node, name, link, known.inputs[name])
            elif literals:
                self.check_literal(node_id, node, name, value, known.inputs[name])
        for name, wanted in known.inputs.items():
            if wanted.required and name not in node.inputs and not any(_is_part(given, {name: wanted}) for given in node.inputs):
                self.missing_input(node_id, node, name, wanted)

    def way_to(self, class_type: str) -> str:
        """Return how a server comes by a node class that it lacks, or what may have been meant."""
        if class_type in self.packs:
            return f"it comes with {self.packs[class_type]}"
        close = nearest(class_type, self.info.classes)
        meant = did_you_mean(class_type, close) if close else ""
        if self.version:
            return f"it comes with ComfyUI {self.version} or newer" + (f"; or {meant}" if meant else "")
        return meant or "install the node pack that has it, or use another template"

    def unknown_input(self, node_id: str, node: Node, known: NodeInfo, name: str) -> None:
        what = f"{_place(node_id, node)} has no input {name}"
        if node.class_type == "VAEDecodeTiled" and name in LATER_INPUTS:
            self.dropped.append((node_id, name))
            self.note(f"{what} on {self.info.source}, which does without it", at=(node_id, name))
        elif known.is_core:
            self.problem(what, did_you_mean(name, known.inputs), at=(node_id, name))
        else:  # some custom nodes take inputs that they do not announce
            self.notes.append(Note(f"{what} that {self.info.source} knows of, and may ignore it", self.where))

    def missing_input(self, node_id: str, node: Node, name: str, wanted: InputInfo) -> None:
        place = f"{_place(node_id, node)}, input {name}"
        if self.wants_link(wanted):
            self.problem(f"{place}: required by the server, not given", f"link it to a node's {wanted.type}")
        elif wanted.has_default:
            self.changes[node_id, name] = wanted.default
            self.note(f"{place}: not given, so the server's default {got(wanted.default)} is used")
        else:
            hint = did_you_mean("", map(str, wanted.options)) if wanted.options else ""
            self.problem(f"{place}: required by the server, not given", hint)

    def wants_link(self, wanted: InputInfo) -> bool:
        return wanted.types.isdisjoint(("*", "COMBO", *_LITERALS)) and self.info.is_produced(wanted.type)

    def check_link(self, node_id: str, node: Node, name: str, link: Link, wanted: InputInfo) -> None:
        source = self.workflow.nodes[link.node]
        known = self.info.get(source.class_type)
        if known is None:
            return  # said where that node is checked
        place = f"{_place(node_id, node)}, input {name}"
        if link.slot >= len(known.outputs):
            count = f"{len(known.outputs)} output{'s' if len(known.outputs) != 1 else ''}"
            self.problem(f'{place}: node "{link.node}" ({source.class_type}) has {count} (got index {link.slot})')
        elif not _types_meet(known.outputs[link.slot], wanted.type):
            given = known.outputs[link.slot]
            fitting = [str(slot) for slot, type_ in enumerate(known.outputs) if _types_meet(type_, wanted.type)]
            hint = f'output {" or ".join(fitting)} of node "{link.node}" is {wanted.type}' if fitting else ""
            self.problem(f'{place}: wants {wanted.type} (got {given} from node "{link.node}")', hint)

    def check_literal(self, node_id: str, node: Node, name: str, value: Any, wanted: InputInfo) -> None:
        value = _unwrapped(value)
        if wanted.options is not None:
            self.check_option(node_id, node, name, value, wanted)
        elif what := self.literal_problem(value, wanted):
            self.problem(f"{_place(node_id, node)}, input {name}: {what}", at=(node_id, name))

    def literal_problem(self, value: Any, wanted: InputInfo) -> str:
        if self.wants_link(wanted):
            return f"wants a link to a {wanted.type} (got {got(value)})"
        kinds = [kind for type_, kind in _LITERALS.items() if type_ in wanted.types]
        if kinds and not wanted.types & {"*", "COMBO"} and not any(fits(value) for _, fits in kinds):
            return f"must be {' or '.join(expected for expected, _ in kinds)} (got {got(value)})"
        return _range_problem(value, wanted)

    def check_option(self, node_id: str, node: Node, name: str, value: Any, wanted: InputInfo) -> None:
        found = _meant(value, wanted)
        if len(found) == 1 and found[0] is value:
            return
        options = wanted.options or ()
        place = f"{_place(node_id, node)}, input {name}"
        if len(found) == 1:
            self.changes[node_id, name] = found[0]
            self.note(f"{got(value)} is {got(found[0])} on {self.info.source} ({place})", at=(node_id, name))
        elif found:
            what = f"{got(value)} can be {len(found)} of those that {self.info.source} has ({place})"
            self.problem(what, f"write one of {', '.join(found[:LISTED])}", at=(node_id, name))
        else:
            what = f"{got(value)} is not among the {len(options)} that {self.info.source} has ({place})"
            hint = did_you_mean(str(value), _texts(options))
            if wanted.takes_unlisted and not options:
                hint = "a template's parameter of the type image or file brings a file of yours to the server"
            self.problem(what, hint, at=(node_id, name))


def _unwrapped(value: Any) -> Any:
    """Return what a literal is to the server, for a list is written as an object."""
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value


def _meant(value: Any, wanted: InputInfo) -> list[Any]:
    """Return the options that a value can mean; the very value where the server takes it as it is."""
    options = wanted.options or ()
    if any(value == option and type(value) is type(option) for option in options):
        return [value]
    if wanted.takes_unlisted and isinstance(value, str) and ("/" in value or value.endswith("]")):
        return [value]  # LoadImage takes folder/file and "file [output]"
    if is_upload_name(value):
        return [value]  # it will be there; LoadLatent takes it, too, and does not announce that it takes more than it lists
    return list(candidates(value, _texts(options))) if isinstance(value, str) else []


def _texts(options: Sequence[Any]) -> list[str]:
    return [option for option in options if isinstance(option, str)]


def _place(node_id: str, node: Node) -> str:
    title = "" if node.title == node.class_type else f"{node.title}, "
    return f'node "{node_id}" ({title}{node.class_type})'


def _types_meet(given: str, wanted: str) -> bool:
    """Return whether a link fits, as ``comfy_execution/validation.py`` decides it: one type in common, or a wildcard."""
    have, want = type_names(given), type_names(wanted)
    # V3 nodes name types such as COMFY_MATCHTYPE_V3, whose meaning only the server knows.
    return bool(have & want) or "*" in have | want or any(part.startswith("COMFY_") for part in have | want)


def _is_part(name: str, inputs: Mapping[str, InputInfo]) -> bool:
    """Return whether this belongs to an input that grows: newer servers take ``images.image0`` for their input ``images``."""
    whole = inputs.get(name.partition(".")[0])
    return "." in name and whole is not None and whole.type.startswith("COMFY_")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    # 512.0 is what a division in a template gives, and what some servers announce as a default.
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


_LITERALS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "INT": ("a whole number", _is_whole),
    "FLOAT": ("a number", _is_number),
    "STRING": ("text", lambda value: isinstance(value, str)),
    "BOOLEAN": ("true or false", lambda value: isinstance(value, bool)),
}


def _range_problem(value: Any, wanted: InputInfo) -> str:
    if not _is_number(value):
        return ""
    if wanted.minimum is not None and value < wanted.minimum:
        return f"must be at least {_bound(wanted.minimum)} (got {got(value)})"
    if wanted.maximum is not None and value > wanted.maximum:
        return f"must be at most {_bound(wanted.maximum)} (got {got(value)})"
    return ""


def _bound(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)
