"""A conversion held against what the front end exports for the same workflow: right, refused, or wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from comfy_runner.errors import WorkflowError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.importer.convert.convert import convert
from tests.truth.truths import Truth


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one conversion went.

    Attributes:
        name: The truth's.
        result: ``wrong`` is the only bad one.
        reasons: Why it was refused, or what differs.
    """

    name: str
    result: Literal["right", "refused", "wrong"]
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return all of it in one line."""
        return ": ".join((self.name, self.result, *self.reasons[:4]))


def verdict(truth: Truth, info: ObjectInfo) -> Verdict:
    """Convert a workflow and compare: the same nodes, each of the same class and with the same inputs; titles are free."""
    try:
        converted = convert(json.loads(truth.workflow), info, where=truth.name)
    except WorkflowError as error:
        return Verdict(truth.name, "refused", (str(error),))
    differences = tuple(_differences(converted.graph, truth.graph))
    return Verdict(truth.name, "wrong" if differences else "right", differences)


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for node in sorted({*ours, *theirs}):
        if node not in theirs:
            yield f"node {node} ({ours[node]['class_type']}) is not in the page's graph"
        elif node not in ours:
            yield f"node {node} ({theirs[node]['class_type']}) is missing"
        else:
            yield from _in_node(node, ours[node], theirs[node])


def _in_node(node: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    if ours["class_type"] != theirs["class_type"]:
        yield f"node {node} is a {ours['class_type']}, the page's a {theirs['class_type']}"
    here, there = ours["inputs"], theirs["inputs"]
    for name in sorted({*here, *there}):
        if name not in there:
            yield f"node {node} ({ours['class_type']}) has {name} = {here[name]!r:.80}, the page's has not"
        elif name not in here:
            yield f"node {node} ({ours['class_type']}) lacks {name} = {there[name]!r:.80}"
        elif not _equal(here[name], there[name]):
            yield f"node {node} ({ours['class_type']}) has {name} = {here[name]!r:.80}, the page's {there[name]!r:.80}"


def _equal(ours: Any, theirs: Any) -> bool:
    """Compare as JSON of the page: 1 is 1.0 and not true, and integers are as exact as doubles."""
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return float(ours) == float(theirs)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_equal(ours[key], theirs[key]) for key in ours)
    return type(ours) is type(theirs) and bool(ours == theirs)
