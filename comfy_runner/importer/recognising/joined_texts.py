"""Which literal texts an input is made of, through nodes that join, choose, replace and show texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow, as_link
from comfy_runner.importer.recognising.leaves import MOST_STEPS, PIPES, Leaf, chosen, is_text, literals

_MOST_TEXTS = 50
# Inputs of nodes that make or show texts which are texts of the prompt themselves.
_TEXTUAL = re.compile(
    r"text|string|prompt|positive|negative|value|^(str|line|content|any|anything|input|source)\w*$|caption|wildcard", re.IGNORECASE
)
_NO_TEXT = re.compile(
    r"delimiter|separator|linebreak|font|colou?r|model|mode|encoding|format|file|path|dir|task|pattern", re.IGNORECASE
)
_SHOWN = re.compile(r"show|display|preview|debug", re.IGNORECASE)
# What makes another text of one each time.
_FILLED = re.compile(r"populated|mutable_prompt|seed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts that make a text.

    Attributes:
        leaves: The literals, in the order in which links lead to them; each place once.
        is_computed: Whether something else has a part in it, such as a node that describes a picture or fills in words.
    """

    leaves: tuple[Leaf, ...]
    is_computed: bool = False


def texts_of(workflow: Workflow, node_id: str, name: str) -> Texts:
    """Return all literal texts that a node's input is made of."""
    found: dict[InputKey, Leaf] = {}
    computed = False
    seen: set[InputKey] = set()
    waiting: list[InputKey] = [(node_id, name)]
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
        inner, makes = _inputs_of_text(workflow, link.node)
        computed = computed or makes or not inner
        waiting[:0] = [(link.node, other) for other in inner]
    return Texts(tuple(found.values())[:_MOST_TEXTS], computed or bool(waiting))


def _inputs_of_text(workflow: Workflow, node_id: str) -> tuple[list[str], bool]:
    """Return the inputs of a node whose texts are in what it gives, and whether it makes another text of them."""
    node = workflow.nodes[node_id]
    links, own = dict(node.links()), literals(node)
    if (passed := chosen(workflow, node_id)) is not None:
        return [passed], False
    named = [name for name in node.inputs if _TEXTUAL.search(name) and not _NO_TEXT.search(name)]
    linked = [name for name in named if name in links]
    if any(name not in named and not PIPES.match(name) for name in links) or any(map(_FILLED.search, node.inputs)):
        return linked or [name for name in named if _FILLED.search(name) is None and is_text(node.inputs[name]) and not links], True
    if linked and _SHOWN.search(node.class_type):
        return linked, False  # what else it holds is what it has shown before
    if len(links) == 1 and not own:
        return list(links), False  # a reroute
    texts = [name for name, value in own.items() if is_text(value)]
    if not links and len(texts) == 1:
        return texts, False  # a text box, whatever it calls its text
    return [name for name in named if name in links or is_text(node.inputs[name])], False
