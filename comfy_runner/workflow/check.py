"""A workflow held against a server's object_info before it is posted: what the server would refuse, or silently run otherwise.

ComfyUI has no dry run. It turns ``"false"`` into true and 64.9 into 64, ignores misspelt optional inputs, and answers 200 where one
of two outputs is invalid; here all of that is an error, found before anything is rendered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from comfy_runner.errors import Note, Problem, WorkflowError
from comfy_runner.hints import did_you_mean, nearest
from comfy_runner.workflow.graph import Link, Node, Workflow, as_link
from comfy_runner.workflow.names import resolve_name
from comfy_runner.workflow.object_info import InputInfo, NodeInfo, ObjectInfo

Locate = Callable[[str, str], str]
"""Tells where a recipe gives the value of (node id, input name): ``file:line: field``, or nothing."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A workflow that this server will take.

    Attributes:
        workflow: The graph with the server's own names for models, missing inputs filled in, and orphans gone.
        notes: What was changed, for the user.
    """

    workflow: Workflow
    notes: tuple[Note, ...]


def check(workflow: Workflow, info: ObjectInfo, *, where: str, locate: Locate | None = None) -> Checked:
    """Fit a workflow to a server.

    Args:
        workflow: The graph.
        info: What the server says of its nodes.
        where: The place for problems that no recipe line can be blamed for, such as the template.
        locate: Where the recipe gives an input's value.

    Raises:
        WorkflowError: With everything that is wrong, each with node, input, reason and the nearest right values.
    """
    checker = _Checker(workflow, info, where, locate or (lambda _node, _name: ""))
    for node_id in workflow.nodes:
        checker.check_node(node_id)
    if checker.problems:
        raise WorkflowError.of(checker.problems)
    return checker.result()


class _Checker:
    def __init__(self, workflow: Workflow, info: ObjectInfo, where: str, locate: Locate) -> None:
        self.workflow, self.info, self.where, self.locate = workflow, info, where, locate
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.changes: dict[tuple[str, str], Any] = {}

    def result(self) -> Checked:
        workflow = self.workflow.with_inputs(self.changes)
        ends = [node_id for node_id, node in workflow.nodes.items() if _known(self.info, node).is_output]
        if not ends:
            raise WorkflowError("no node of the workflow is an output node", where=self.where, hint="add a SaveImage")
        needed = workflow.ancestors(ends)
        for node_id, node in workflow.nodes.items():
            if node_id not in needed:
                self.note(f"{_place(node_id, node)} leads to no output and is left out")
        return Checked(workflow.keep(needed), tuple(self.notes))

    def problem(self, what: str, hint: str = "", *, at: tuple[str, str] = ("", "")) -> None:
        self.problems.append(Problem(what, self.locate(*at) or self.where, hint))

    def note(self, what: str, *, at: tuple[str, str] = ("", "")) -> None:
        self.notes.append(Note(what, self.locate(*at) or self.where, "changed"))

    def check_node(self, node_id: str) -> None:
        node = self.workflow.nodes[node_id]
        known = self.info.get(node.class_type)
        if known is None:
            hint = did_you_mean(node.class_type, nearest(node.class_type, self.info.classes))
            if hint == did_you_mean("", []):
                hint = "install the node pack that has it, or use another template"
            self.problem(f'node "{node_id}": {self.info.source} has no node class {node.class_type}', hint)
            return
        for name, value in node.inputs.items():
            if name not in known.inputs:
                self.unknown_input(node_id, node, known, name)
            elif (link := as_link(value)) is not None:
                self.check_link(node_id, node, name, link, known.inputs[name])
            else:
                self.check_literal(node_id, node, name, value, known.inputs[name])
        for name, wanted in known.inputs.items():
            if wanted.required and name not in node.inputs:
                self.missing_input(node_id, node, name, wanted)

    def unknown_input(self, node_id: str, node: Node, known: NodeInfo, name: str) -> None:
        what = f"{_place(node_id, node)} has no input {name}"
        if known.is_core:
            self.problem(what, did_you_mean(name, known.inputs), at=(node_id, name))
        else:  # some custom nodes take inputs that they do not announce
            self.notes.append(Note(f"{what}; the server will ignore it or the node will", self.where))

    def missing_input(self, node_id: str, node: Node, name: str, wanted: InputInfo) -> None:
        place = f"{_place(node_id, node)}, input {name}"
        if wanted.has_default and not self.info.is_produced(wanted.type):
            self.changes[node_id, name] = wanted.default
            self.note(f"{place}: not given, so the server's default {wanted.default!r} is used")
        else:
            self.problem(f"{place}: required by the server, not given")

    def check_link(self, node_id: str, node: Node, name: str, link: Link, wanted: InputInfo) -> None:
        source = self.workflow.nodes[link.node]
        known = self.info.get(source.class_type)
        if known is None:
            return  # said where that node is checked
        place = f"{_place(node_id, node)}, input {name}"
        if link.slot >= len(known.outputs):
            count = len(known.outputs)
            self.problem(f'{place}: node "{link.node}" ({source.class_type}) has {count} outputs (got index {link.slot})')
        elif not _types_meet(known.outputs[link.slot], wanted.type):
            given = known.outputs[link.slot]
            fitting = [str(slot) for slot, type_ in enumerate(known.outputs) if _types_meet(type_, wanted.type)]
            hint = f'output {" or ".join(fitting)} of node "{link.node}" is {wanted.type}' if fitting else ""
            self.problem(f'{place}: wants {wanted.type} (got {given} from node "{link.node}")', hint)

    def check_literal(self, node_id: str, node: Node, name: str, value: Any, wanted: InputInfo) -> None:
        if wanted.options is not None:
            self.check_option(node_id, node, name, value, wanted.options)
            return
        what = ""
        if wanted.type in _EXPECTED:
            expected, fits = _EXPECTED[wanted.type]
            what = _range_problem(value, wanted) if fits(value) else f"must be {expected} (got {value!r})"
        elif self.info.is_produced(wanted.type):
            what = f"wants a link to a {wanted.type} (got {value!r})"
        if what:
            self.problem(f"{_place(node_id, node)}, input {name}: {what}", at=(node_id, name))

    def check_option(self, node_id: str, node: Node, name: str, value: Any, options: tuple[Any, ...]) -> None:
        if value in options and type(value) in {type(option) for option in options}:
            return
        texts = [option for option in options if isinstance(option, str)]
        found = resolve_name(value, texts) if isinstance(value, str) else None
        place = f"{_place(node_id, node)}, input {name}"
        if found is not None:
            self.changes[node_id, name] = found
            self.note(f"{value!r} is {found!r} on {self.info.source} ({place})", at=(node_id, name))
        else:
            what = f"{value!r} is not among the {len(options)} that {self.info.source} has ({place})"
            self.problem(what, did_you_mean(str(value), texts), at=(node_id, name))


def _known(info: ObjectInfo, node: Node) -> NodeInfo:
    known = info.get(node.class_type)
    if known is None:
        raise KeyError(node.class_type)
    return known


def _place(node_id: str, node: Node) -> str:
    title = "" if node.title == node.class_type else f"{node.title}, "
    return f'node "{node_id}" ({title}{node.class_type})'


def _types_meet(given: str, wanted: str) -> bool:
    """Return whether a link fits, as ``comfy_execution/validation.py`` decides it: one type in common, or a wildcard."""
    have = {part.strip() for part in given.split(",")}
    want = {part.strip() for part in wanted.split(",")}
    # V3 nodes name types such as COMFY_MATCHTYPE_V3, whose meaning only the server knows.
    return bool(have & want) or "*" in have | want or any(part.startswith("COMFY_") for part in have | want)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "INT": ("a whole number", _is_integer),
    "FLOAT": ("a number", _is_number),
    "STRING": ("text", lambda value: isinstance(value, str)),
    "BOOLEAN": ("true or false", lambda value: isinstance(value, bool)),
}


def _range_problem(value: Any, wanted: InputInfo) -> str:
    return next(_range_problems(value, wanted), "")


def _range_problems(value: Any, wanted: InputInfo) -> Iterator[str]:
    if not _is_number(value):
        return
    if wanted.minimum is not None and value < wanted.minimum:
        yield f"must be at least {wanted.minimum:g} (got {value})"
    if wanted.maximum is not None and value > wanted.maximum:
        yield f"must be at most {wanted.maximum:g} (got {value})"
