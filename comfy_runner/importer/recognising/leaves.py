"""Where a value comes from: the literal at the end of the links that lead to a node's input.

People give values through nodes that do nothing else: primitives, seed nodes, text boxes, reroutes. The value of such an input is
the literal at the end, if there is exactly one and nothing is computed on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link

MOST_STEPS = 200
"""How many links are followed at most from one input."""

_MOST_TEXTS = 50
# What the page keeps in a graph, and what says nothing of the value.
_BESIDE = re.compile(
    r"control_?after|control_before|speak|unique_id|extra_pnginfo|^(mode|preview|display|mark|label|title|note)$", re.I
)
# Inputs of nodes that make or show texts which are texts of the prompt themselves.
_TEXTUAL = re.compile(
    r"text|string|prompt|positive|negative|value|^(str|line|content|any|anything|input|source)\w*$|caption|wildcard", re.I
)
_NO_TEXT = re.compile(r"delimiter|separator|linebreak|font|colou?r|model|mode|encoding|format|file|path|dir|task|populated", re.I)
_SHOWN = re.compile(r"show|display|preview|debug", re.I)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A literal that decides an input.

    Attributes:
        place: The node and the input where it stands.
        value: The literal.
    """

    place: InputKey
    value: Any


def is_integer(value: Any) -> bool:
    """Return whether a value is a whole number, and not true or false."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is a number, and not true or false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Return whether a value is a text."""
    return isinstance(value, str)


def literals(node: Node) -> dict[str, Any]:
    """Return the inputs of a node that are no links, without what the page alone needs."""
    return {name: value for name, value in node.inputs.items() if as_link(value) is None and not _BESIDE.search(name)}


def leaf_of(workflow: Workflow, node_id: str, name: str, fits: Callable[[Any], bool]) -> Leaf | None:
    """Return the one literal that decides a node's input; None where there is none, or a node computes it.

    Args:
        workflow: The graph.
        node_id: The node.
        name: The input.
        fits: Whether a literal is of the right type.
    """
    value = workflow.nodes[node_id].inputs.get(name)
    for _ in range(MOST_STEPS):
        link = as_link(value)
        if link is None:
            return Leaf((node_id, name), value) if fits(value) else None
        node_id = link.node
        node = workflow.nodes[node_id]
        links, own = dict(node.links()), literals(node)
        if links:
            # A reroute, or what makes one type of another.
            if len(links) > 1 or own:
                return None
            name = next(iter(links))
        elif len(own) == 1:
            name = next(iter(own))
        elif name in own:
            # A node with several settings, one of which has the name of the input.
            if name in ("width", "height") and len(own) > 3:
                return None
        else:
            return None
        value = node.inputs[name]
    return None


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts that make a prompt.

    Attributes:
        leaves: The literals, in the order in which the links lead to them; the same place once.
        is_computed: Whether something else has a part in it, such as a node that describes a picture.
    """

    leaves: tuple[Leaf, ...]
    is_computed: bool = False


def texts_of(workflow: Workflow, node_id: str, name: str) -> Texts:
    """Return all literal texts that a node's input is made of, through nodes that join, choose, replace or show texts."""
    found: dict[InputKey, Leaf] = {}
    computed = False
    seen: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str]] = [(node_id, name)]
    while waiting and len(seen) < MOST_STEPS:
        here = waiting.pop(0)
        if here in seen:
            continue
        seen.add(here)
        value = workflow.nodes[here[0]].inputs.get(here[1])
        link = as_link(value)
        if link is None:
            if is_text(value):
                found.setdefault(here, Leaf(here, value))
            continue
        inner = list(_textual(workflow.nodes[link.node]))
        if not inner:
            computed = True
        waiting[:0] = [(link.node, other) for other in inner]
    return Texts(tuple(found.values())[:_MOST_TEXTS], computed or bool(waiting))


def _textual(node: Node) -> Iterator[str]:
    """Yield the inputs of a node whose texts are what it gives; none where it makes a text of something else."""
    links = dict(node.links())
    named = [name for name in node.inputs if _TEXTUAL.search(name) and not _NO_TEXT.search(name)]
    linked = [name for name in named if name in links]
    others = [name for name in links if name not in named]
    if not others and linked and _SHOWN.search(node.class_type):
        yield from linked  # what else it holds is what it has shown before
        return
    if len(links) == 1 and not literals(node):
        yield from links  # a reroute
        return
    if others and not linked:
        return
    own = [name for name, value in literals(node).items() if is_text(value)]
    if not links and len(own) == 1:
        yield from own  # a text box, whatever it calls its text
        return
    yield from (name for name in named if name in links or is_text(node.inputs[name]))


def link_of(node: Node, *names: str) -> Link | None:
    """Return the first of these inputs that is a link; None where none is."""
    return next((link for name in names if (link := as_link(node.inputs.get(name))) is not None), None)
