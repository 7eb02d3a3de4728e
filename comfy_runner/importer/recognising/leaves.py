"""Where a value comes from: the literal at the end of the links that lead to a node's input.

People give values through nodes that do nothing else: primitives, seed nodes, text boxes, reroutes, switches, pipes that carry all
settings at once. The value of such an input is the literal at the end, if there is exactly one and nothing is computed on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link

MOST_STEPS = 200
"""How many links are followed at most from one input."""

PIPES = re.compile(r"^(\w*pipe|\w*context|\w*ctx|sdxl_tuple)(_\d+)?$", re.IGNORECASE)
"""Inputs for all settings at once, as node packs have them."""

_MOST_NESTED, _STEPS_OF_SELECTORS = 2, 20  # of switches that decide what others pass on
# What nodes for a pass's settings may have from others.
_SETTINGS = frozenset({"seed", "noise_seed", "steps", "cfg", "sampler", "sampler_name", "scheduler", "denoise", "model", "vae"})
# What the page keeps in a graph, and what says nothing of the value.
_BESIDE = re.compile(
    r"control_?after|control_before|speak|unique_id|extra_pnginfo|^(mode|sel_mode|preview|display|mark|label|title|note)$", re.I
)
_SELECTOR = re.compile(
    r"^(boolean(_value)?|bool|switch|condition|select(ed|_input|_index)?|index|input|which|choice|enabled?)$", re.I
)
_ANY = re.compile(r"\b(any|context|ctx) switch\b", re.IGNORECASE)


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


def alike(one: Any, other: Any) -> bool:
    """Return whether a server gets the same value, however deep: 8 and 8.0 are one number, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def is_text(value: Any) -> bool:
    """Return whether a value is a text."""
    return isinstance(value, str)


def literals(node: Node) -> dict[str, Any]:
    """Return the inputs of a node that are no links, without what the page alone needs."""
    return {name: value for name, value in node.inputs.items() if as_link(value) is None and not _BESIDE.search(name)}


def link_of(node: Node, *names: str) -> Link | None:
    """Return the first of these inputs that is a link; None where none is."""
    return next((link for name in names if (link := as_link(node.inputs.get(name))) is not None), None)


def leaf_of(
    workflow: Workflow, node_id: str, name: str, fits: Callable[[Any], bool], *, also: Sequence[str] = (), depth: int = 0
) -> Leaf | None:
    """Return the one literal that decides a node's input; None where there is none, or a node computes it.

    Args:
        workflow: The graph.
        node_id: The node.
        name: The input.
        fits: Whether a literal is of the right type.
        also: What nodes that have several settings may call it, too.
        depth: How many switches within each other have been followed to get here.
    """
    names = (name, *also)
    here: str | None = name
    for _ in range(_STEPS_OF_SELECTORS if depth else MOST_STEPS):
        if here is None:
            return None
        value = workflow.nodes[node_id].inputs.get(here)
        link = as_link(value)
        if link is None:
            return Leaf((node_id, here), value) if fits(value) else None
        node_id = link.node
        here = _onward(workflow, node_id, names, depth)
    return None


def _onward(workflow: Workflow, node_id: str, names: Sequence[str], depth: int) -> str | None:
    """Return the input of a node that has what it gives; None where it may be computed.

    Args:
        workflow: The graph.
        node_id: The node.
        names: What is looked for, for nodes that have several settings.
        depth: How many switches within each other have been followed to get here.
    """
    node = workflow.nodes[node_id]
    links, own = dict(node.links()), literals(node)
    if (passed := chosen(workflow, node_id, depth)) is not None:
        return passed
    if links:
        pipe = next((name for name in links if PIPES.match(name)), None)
        named = next((name for name in names if name in node.inputs), None)
        if pipe is not None or (named is not None and len(links) > 2 and not own):
            return named or pipe
        if named in own and _SETTINGS.issuperset(links):
            return named
        # A reroute, or what makes one type of another.
        return next(iter(links)) if len(links) == 1 and not own else None
    if len(own) == 1:
        return next(iter(own))
    named = next((name for name in names if name in own), None)
    # Of nodes with sizes to choose from, a side need not be the one that is made.
    return None if named in ("width", "height") and len(own) > 3 else named


def chosen(workflow: Workflow, node_id: str, depth: int = 0) -> str | None:
    """Return the input that a switch passes on, as far as literals tell; None for a node that is no switch, or leaves it open.

    Args:
        workflow: The graph.
        node_id: The node.
        depth: How many switches within each other have been followed to get here.
    """
    node = workflow.nodes[node_id]
    if depth > _MOST_NESTED:
        return None
    if _ANY.search(node.class_type):
        return next((name for name, value in node.inputs.items() if as_link(value) is not None), None)
    selector = next((name for name in node.inputs if _SELECTOR.match(name)), None)
    if selector is None or len(node.inputs) < 2:
        return None
    leaf = leaf_of(workflow, node_id, selector, lambda value: isinstance(value, int), depth=depth + 1)
    if leaf is None:
        return None
    end = str(leaf.value).lower()
    branches = [name for name in node.inputs if name != selector and name.lower().endswith(end)]
    if not isinstance(leaf.value, bool):
        branches = [name for name in branches if re.sub(r"^.*?(\d+)$", r"\1", name).lstrip("0") == end.lstrip("0")]
    else:
        others = [name for name in node.inputs if name.lower().endswith(("true", "false"))]
        branches = branches if len(others) <= 2 else []
    return branches[0] if len(branches) == 1 else None
