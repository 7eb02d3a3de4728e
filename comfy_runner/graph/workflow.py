"""The workflow: ComfyUI's API-format graph as a value, with the shape checks that protect a server.

A node without an ``inputs`` dict, or a cycle, can kill the worker thread of a ComfyUI or be reported as an empty error, so
a `Workflow` that exists is known to be free of both. What a node's inputs *mean* is not known here (see `check`).
"""

from __future__ import annotations

import graphlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any, NamedTuple, TypeVar

from comfy_runner.errors import Problem, WorkflowError

T = TypeVar("T")

EXPORT_HINT = "in ComfyUI use Workflow > Export (API) and give that file"
_DEEPEST = 50
_LONGEST_SHOWN = 12

_NEVER_TWICE = frozenset({"PreviewImage", "PreviewAudio", "PreviewAny", "MaskPreview", "SaveImageWebsocket"})
"""Outputs of ComfyUI's own that take no file prefix, and use no name twice, or none at all."""

_ALWAYS_REPORTING = frozenset(
    {"SaveImage", "SaveAnimatedPNG", "SaveAnimatedWEBP", "SaveVideo", "SaveWEBM", "SaveSVGNode", "SaveGLB", "SaveLatent"}
    | {"SaveAudio", "SaveAudioMP3", "SaveAudioOpus", *_NEVER_TWICE}
)
"""Outputs of ComfyUI's own that tell which files they have saved; where one of them tells of none, something has gone wrong."""

_SILENT = "nothing"


class Link(NamedTuple):
    """An input that is another node's output: the node's id and the index of its output."""

    node: str
    slot: int


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes:
        class_type: The name of the node's class on the server.
        inputs: Literals and links by input name.
        meta: ``_meta``: ``title``, and ``role`` for outputs. The server ignores it.
    """

    class_type: str
    inputs: Mapping[str, Any]
    meta: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Return the title for people: from ``_meta``, else the class."""
        return str(self.meta.get("title") or self.class_type)

    @property
    def role(self) -> str:
        """Return the output role from ``_meta``; empty where there is none."""
        role = self.meta.get("role")
        return str((role["name"] if isinstance(role, dict) else role) or "")

    @property
    def is_silent(self) -> bool:
        """Return whether its role says that the server tells of no file of it, so that nothing is collected."""
        return isinstance(self.meta.get("role"), dict)

    @property
    def may_be_silent(self) -> bool:
        """Return whether nothing is amiss where the server tells of no file of it, as of ComfyUI's VAESave and CheckpointSave."""
        return self.is_silent or not (self.role or self.class_type in _ALWAYS_REPORTING)

    @property
    def is_output(self) -> bool:
        """Return whether the node makes a picture to be collected: it has a role, or takes a ``filename_prefix``."""
        return bool(self.role) or "filename_prefix" in self.inputs

    @property
    def names_its_files(self) -> bool:
        """Return whether an output chooses the names of its files, and may use one twice, as with a fixed name or the time.

        Then a later job's file may take the place of an earlier one's, for it takes no file prefix, which ours never are the same.
        """
        is_collected = self.is_output and not self.is_silent
        return is_collected and "filename_prefix" not in self.inputs and self.class_type not in _NEVER_TWICE

    def with_role(self, name: str) -> Node:
        """Return the node with its role called otherwise."""
        role = self.meta["role"]
        return replace(self, meta={**self.meta, "role": {**role, "name": name} if isinstance(role, dict) else name})

    def links(self) -> Iterator[tuple[str, Link]]:
        """Yield the inputs that are links, sorted by name, as ComfyUI's cache walks them."""
        for name in sorted(self.inputs):
            link = as_link(self.inputs[name])
            if link is not None:
                yield name, link


@dataclass(frozen=True)
class Workflow:
    """An acyclic graph of nodes by id, every link of which ends at a node that exists."""

    nodes: Mapping[str, Node]

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """Return the node id of each output role.

        A role is ``_meta.role``; a node that takes a ``filename_prefix`` and has no role is known by its id.
        """
        return {node.role or node_id: node_id for node_id, node in self.nodes.items() if node.is_output}

    @property
    def classes(self) -> frozenset[str]:
        """Return the classes of its nodes."""
        return frozenset(node.class_type for node in self.nodes.values())

    @property
    def collected(self) -> dict[str, str]:
        """Return the node id of each output role of which files are collected: all but those that are said to report nothing."""
        return {role: node_id for role, node_id in self.outputs.items() if not self.nodes[node_id].is_silent}

    @cached_property
    def parents(self) -> Mapping[str, tuple[str, ...]]:
        """Return by node the ids of those that it links to, once for each link, by the names of its inputs."""
        return {node_id: tuple(link.node for _, link in node.links()) for node_id, node in self.nodes.items()}

    @cached_property
    def in_order(self) -> tuple[str, ...]:
        """Return all node ids, each after those that it links to; always the same for the same graph."""
        # From the standard library because it does not recurse: the depth of a graph comes from outside.
        return tuple(graphlib.TopologicalSorter(self.parents).static_order())

    def ancestors(self, node_ids: Iterable[str]) -> set[str]:
        """Return these nodes and everything that they depend on."""
        seen: set[str] = set()
        waiting = list(node_ids)
        while waiting:
            node_id = waiting.pop()
            if node_id not in seen:
                seen.add(node_id)
                waiting += self.parents[node_id]
        return seen

    def descendants(self, node_ids: Iterable[str]) -> set[str]:
        """Return these nodes and everything that depends on them."""
        found = set(node_ids)
        for node_id in self.in_order:
            if not found.isdisjoint(self.parents[node_id]):
                found.add(node_id)
        return found

    def keep(self, node_ids: Iterable[str]) -> Workflow:
        """Return the graph of these nodes alone."""
        kept = set(node_ids)
        return Workflow({node_id: node for node_id, node in self.nodes.items() if node_id in kept})

    def with_inputs(self, changes: Mapping[tuple[str, str], Any]) -> Workflow:
        """Return the graph with some inputs set, named by (node id, input name)."""
        nodes = dict(self.nodes)
        for (node_id, name), value in changes.items():
            nodes[node_id] = replace(nodes[node_id], inputs={**nodes[node_id].inputs, name: value})
        return Workflow(nodes)

    def without_inputs(self, names: Iterable[tuple[str, str]]) -> Workflow:
        """Return the graph without some inputs, named by (node id, input name)."""
        nodes = dict(self.nodes)
        for node_id, name in names:
            kept = {other: value for other, value in nodes[node_id].inputs.items() if other != name}
            nodes[node_id] = replace(nodes[node_id], inputs=kept)
        return Workflow(nodes)

    def with_prefixes(self, prefixes: Mapping[str, str]) -> Workflow:
        """Return the graph whose outputs save under these file prefixes, given by role."""
        outputs = self.outputs
        return self.with_inputs(
            {
                (outputs[role], "filename_prefix"): prefix
                for role, prefix in prefixes.items()
                if "filename_prefix" in self.nodes[outputs[role]].inputs
            }
        )

    def to_api(self) -> dict[str, Any]:
        """Return the graph as ``POST /prompt`` takes it."""
        return {
            node_id: {
                "class_type": node.class_type,
                "inputs": dict(node.inputs),
                **({"_meta": dict(node.meta)} if node.meta else {}),
            }
            for node_id, node in self.nodes.items()
        }

    def to_json(self) -> str:
        """Return the graph as stable, indented JSON text."""
        return json.dumps(self.to_api(), ensure_ascii=False, indent=2, allow_nan=False)


def once_per_graph(function: Callable[[Workflow], T]) -> Callable[[Workflow], T]:
    """Have a function of a graph alone give for each graph what it gave before, which nobody may change; a decorator."""
    name = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def ask(workflow: Workflow) -> T:
        known = workflow.__dict__  # where cached properties are, too
        if name not in known:
            known[name] = function(workflow)
        found: T = known[name]
        return found

    return ask


def as_link(value: Any) -> Link | None:
    """Return the link that ComfyUI would read in this input value, or None for a literal."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        slot = value[1]
        if isinstance(slot, int) and not isinstance(slot, bool):
            return Link(value[0], slot)
    return None


def parse_workflow(data: Any, *, where: str = "") -> Workflow:
    """Check the shape of an API-format graph.

    Args:
        data: The parsed JSON: a bare graph, or one wrapped as ``{"prompt": …}``.
        where: The place for error messages.

    Raises:
        WorkflowError: The graph is in the UI format, a node is malformed, a link dangles, there is a cycle, or two outputs
            have one role.
    """
    wrapped = data.get("prompt") if isinstance(data, dict) else None
    # A node may be called "prompt" too, and may be malformed.
    if isinstance(wrapped, dict) and not {"class_type", "inputs"} & wrapped.keys():
        data = wrapped
    if not isinstance(data, dict):
        raise WorkflowError(f"a workflow is a JSON object of nodes (got {_kind(data)})", where=where)
    if isinstance(data.get("nodes"), list) and ("links" in data or "last_node_id" in data):
        raise WorkflowError("this is a workflow in the UI format, not the API format", where=where, hint=EXPORT_HINT)
    if not data:
        raise WorkflowError("the workflow has no nodes", where=where)
    problems = [problem for node_id, node in data.items() for problem in _node_problems(node_id, node, data, where)]
    if problems:
        raise WorkflowError.of(problems)
    workflow = Workflow(
        {node_id: Node(node["class_type"], node["inputs"], node.get("_meta") or {}) for node_id, node in data.items()}
    )
    _refuse_cycles(workflow, where)
    _refuse_shared_roles(workflow, where)
    return workflow


def _node_problems(node_id: str, node: Any, data: Mapping[str, Any], where: str) -> Iterator[Problem]:
    place = f'node "{node_id}"'
    if not isinstance(node, dict):
        yield Problem(f"{place}: must be an object with class_type and inputs (got {_kind(node)})", where)
        return
    if not isinstance(node.get("class_type"), str) or not node["class_type"]:
        yield Problem(f"{place}: has no class_type", where)
    meta = node.get("_meta") or {}
    if not isinstance(meta, dict):
        yield Problem(f"{place}: _meta must be an object (got {_kind(meta)})", where)
    elif not _is_role(meta.get("role") or ""):
        example = f'{{"name": "latent", "reports": "{_SILENT}"}}'
        yield Problem(f"{place}: a role must be text, or like {example} (got {_kind(meta['role'])})", where)
    elif reason := _literal_problem(meta):
        yield Problem(f"{place}, _meta: {reason}", where)
    inputs = node.get("inputs")
    if not isinstance(inputs, dict):
        yield Problem(f'{place}: has no "inputs" object; ComfyUI crashes on such a node', where, 'write "inputs": {}')
        return
    for name, value in inputs.items():
        link = as_link(value)
        if link is not None:
            if link.node not in data:
                yield Problem(f'{place}, input {name}: links to node "{link.node}", which does not exist', where)
            elif link.slot < 0:
                yield Problem(f"{place}, input {name}: an output index is never negative (got {link.slot})", where)
        elif isinstance(value, list):
            yield Problem(
                f"{place}, input {name}: not a link; a link is [node id as text, output index]",
                where,
                'a literal list is written {"__value__": […]}',
            )
        elif reason := _literal_problem(value):
            yield Problem(f"{place}, input {name}: {reason}", where)


def _is_role(role: Any) -> bool:
    if isinstance(role, dict):
        name, reports = role.get("name"), role.get("reports")
        return len(role) == 2 and isinstance(name, str) and bool(name) and reports == _SILENT
    return isinstance(role, str)


def _literal_problem(value: Any, depth: int = 0) -> str:
    """Return why a literal cannot be sent as JSON, or hashed; empty where it can."""
    if depth > _DEEPEST:
        return f"must be nested at most {_DEEPEST} deep"
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number (got {value})"
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, (_literal_problem(item, depth + 1) for item in items)), "")


def _refuse_cycles(workflow: Workflow, where: str) -> None:
    try:
        _ = workflow.in_order
    except graphlib.CycleError as error:
        cycle: list[str] = error.args[1]
        shown = cycle if len(cycle) <= _LONGEST_SHOWN else [*cycle[: _LONGEST_SHOWN - 1], "…", cycle[-1]]
        raise WorkflowError(f"the workflow has a cycle: {' -> '.join(shown)}", where=where) from None


def _refuse_shared_roles(workflow: Workflow, where: str) -> None:
    owners: dict[str, str] = {}
    for node_id, node in workflow.nodes.items():
        role = node.role or node_id
        if node.is_output and owners.setdefault(role, node_id) != node_id:
            raise WorkflowError(f'nodes "{owners[role]}" and "{node_id}" both have the role "{role}"', where=where)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
