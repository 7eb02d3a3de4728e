"""The texts that a pass is told: what leads from its positive and negative inputs to literals."""

from __future__ import annotations

import re
from collections.abc import Iterator

from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link
from comfy_runner.importer.recognising.leaves import MOST_STEPS, Leaf, Texts, is_text, texts_of

_SIDES = ("positive", "negative")
# Through which a pass that has no such inputs gets its conditioning.
_CARRIERS = ("guider", "basic_pipe", "pipe", "sdxl_pipe", "detailer_pipe", "context", "base_ctx", "ctx")
_CONDITIONING = re.compile(r"^(cond|conditioning|guider)", re.IGNORECASE)
# What leads to no text of a prompt.
_ASIDE = re.compile(
    r"^(model|clip|vae|control_net|image|images|pixels|mask|style_model|clip_vision|latent|samples|noise|sampler|sigmas|seed|width|height|strength)",
    re.IGNORECASE,
)
_TEXTS = (
    "text",
    "text_g",
    "text_l",
    "t5xxl",
    "clip_l",
    "clip_g",
    "prompt",
    "text_positive",
    "positive_prompt",
    "string",
    "wildcard_text",
)


def prompt_texts(workflow: Workflow, node_id: str, side: str) -> Texts:
    """Return the texts that a pass is told.

    Args:
        workflow: The graph.
        node_id: The pass.
        side: ``positive`` or ``negative``.
    """
    found: dict[InputKey, Leaf] = {}
    computed = False
    seen: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str]] = [(node_id, side)]
    while waiting and len(seen) < MOST_STEPS:
        here, wanted = waiting.pop(0)
        if (here, wanted) in seen:
            continue
        seen.add((here, wanted))
        node = workflow.nodes[here]
        if here != node_id or is_text(node.inputs.get(side)):
            texts = [texts_of(workflow, here, name) for name in _own_texts(node, wanted)]
            if texts:
                found.update({leaf.place: leaf for text in texts for leaf in text.leaves})
                computed = computed or any(text.is_computed for text in texts)
                continue
        if node.class_type == "ConditioningZeroOut":
            continue
        waiting[:0] = [(link.node, _side_of(workflow, link, wanted)) for link in _onward(node, wanted)]
    return Texts(tuple(found.values()), computed or bool(waiting))


def _own_texts(node: Node, side: str) -> Iterator[str]:
    """Yield the inputs with the text that a node encodes for a side."""
    other = _SIDES[side == _SIDES[0]]
    if is_text(node.inputs.get(side)):
        yield side
        return
    if is_text(node.inputs.get(other)) or as_link(node.inputs.get(side)) is not None:
        return
    if side == "negative" and "negative_prompt" in node.inputs:
        yield "negative_prompt"
        return
    yield from (name for name in _TEXTS if name in node.inputs)


def _onward(node: Node, side: str) -> Iterator[Link]:
    """Yield the links that lead to the text of a side."""
    links = dict(node.links())
    if side in links:
        yield links[side]
        return
    if side == "negative" and "guider" not in links and "conditioning" in links and not any(name in links for name in _CARRIERS):
        conditioning = [link for name, link in links.items() if _CONDITIONING.match(name)]
        yield from conditioning
        return
    named = [link for name, link in links.items() if _CONDITIONING.match(name)]
    if named:
        yield from named
        return
    carried = next((links[name] for name in _CARRIERS if name in links), None)
    if carried is not None:
        yield carried
        return
    if not any(name in links for name in _SIDES):
        yield from (link for name, link in links.items() if not _ASIDE.match(name))


def _side_of(workflow: Workflow, link: Link, side: str) -> str:
    """Return which side a link's node is asked for: nodes with both give the positive first, then the negative."""
    node = workflow.nodes[link.node]
    has_both = all(name in node.inputs for name in _SIDES)
    return _SIDES[link.slot] if has_both and link.slot < 2 and as_link(node.inputs["positive"]) is not None else side
