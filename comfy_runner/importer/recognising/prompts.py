"""The texts that a pass is told: what leads from its positive and negative inputs to literals.

One text can be the whole, and others parts of it: for an area of the picture, for some of the steps, appended to the first, or for
one of two text encoders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link
from comfy_runner.importer.recognising.joined_texts import texts_of
from comfy_runner.importer.recognising.leaves import MOST_STEPS, PIPES, Leaf, chosen, is_text

POSITIVE, NEGATIVE = "positive", "negative"

_CARRIERS = ("guider",)
_CONDITIONING = re.compile(r"^(cond|conditioning)", re.IGNORECASE)
# Classes whose first two outputs are the positive and the negative conditioning.
_GIVES_BOTH = re.compile(
    r"ControlNetApply(Advanced|SD3)|InpaintModelConditioning|ControlNetInpainting|LTXVConditioning|LTXVImgToVideo"
)
# The input that is no text for the whole, by class.
_APPENDED = {"ConditioningConcat": "conditioning_from", "DualCFGGuider": "cond2"}
# For a part of the picture, or of the steps.
_RESTRICTS = re.compile(r"SetArea|SetMask|SetTimestep|AreaStrength", re.IGNORECASE)
# What leads to no text of a prompt.
_ASIDE = re.compile(
    r"^(model|clip|vae|control_?net|image|pixels|mask|style_model|latent|samples|noise|sampler|sigmas|seed|width|height|strength)",
    re.IGNORECASE,
)
# The inputs of nodes that encode texts, the one that counts most first.
_TEXTS = (
    *("text", "prompt", "user_prompt", "text_g", "t5xxl", "llama", "mt5xl", "clip_g", "text_l", "clip_l", "bert", "wildcard_text"),
    *("text_positive", "positive_prompt", "string", "tags"),
)
_NEGATIVE_TEXTS = ("negative_prompt", "text_negative")


@dataclass(frozen=True, slots=True)
class PromptTexts:
    """The texts of one side of a pass.

    Attributes:
        whole: The literals of the text for the whole picture.
        parts: Those of texts for parts of it, and of what is appended.
        is_computed: Whether something else has a part in the text for the whole.
        is_joined: Whether the literals for the whole are one text, joined by nodes, rather than several for several encoders.
    """

    whole: tuple[Leaf, ...]
    parts: tuple[Leaf, ...]
    is_computed: bool
    is_joined: bool = False

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Return all literals."""
        return (*self.whole, *self.parts)


def prompt_texts(workflow: Workflow, node_id: str, side: str) -> PromptTexts:
    """Return the texts that a pass is told.

    Args:
        workflow: The graph.
        node_id: The pass.
        side: `POSITIVE` or `NEGATIVE`.
    """
    found: dict[bool, dict[InputKey, Leaf]] = {False: {}, True: {}}
    computed = False
    encoded: list[set[InputKey]] = []
    seen: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str, bool]] = [(node_id, side, False)]
    while waiting and len(seen) < MOST_STEPS:
        here, wanted, is_part = waiting.pop(0)
        node = workflow.nodes[here]
        if (here, wanted) in seen or node.class_type == "ConditioningZeroOut":
            continue
        seen.add((here, wanted))
        names = list(_own_texts(node, wanted)) if here != node_id or is_text(node.inputs.get(side)) else []
        onward = list(_onward(workflow, here, wanted, has_text=bool(names)))
        main = next((name for name in names if node.inputs[name] != ""), None) if not onward else None
        for name in names:
            texts = texts_of(workflow, here, name)
            aside = is_part or name != main
            found[aside].update({leaf.place: leaf for leaf in texts.leaves})
            encoded += [{leaf.place for leaf in texts.leaves}] if not aside else []
            computed = computed or (texts.is_computed and not aside)
        if not names and not onward:
            computed = computed or not is_part
        waiting[:0] = [(link.node, _side_of(workflow, name, link, wanted), is_part or aside) for name, link, aside in onward]
    whole = tuple(found[False].values())
    parts = tuple(leaf for place, leaf in found[True].items() if place not in found[False])
    # An empty text is a whole one where there is no other.
    is_joined = bool(encoded) and all(places == encoded[0] for places in encoded)
    return PromptTexts(whole or parts, parts if whole else (), computed or bool(waiting), is_joined)


def _own_texts(node: Node, side: str) -> Iterator[str]:
    """Yield the inputs with the text that a node encodes for a side, the one that counts most first."""
    other = NEGATIVE if side == POSITIVE else POSITIVE
    if is_text(node.inputs.get(side)):
        yield side
    elif is_text(node.inputs.get(other)) or as_link(node.inputs.get(side)) is not None:
        return
    elif side == NEGATIVE and (name := next((name for name in _NEGATIVE_TEXTS if name in node.inputs), None)) is not None:
        yield name
    else:
        yield from (name for name in _TEXTS if name in node.inputs)


def _onward(workflow: Workflow, node_id: str, side: str, *, has_text: bool) -> Iterator[tuple[str, Link, bool]]:
    """Yield the inputs whose links lead to texts of a side, the links, and whether these are parts alone."""
    node = workflow.nodes[node_id]
    links = dict(node.links())
    if (passed := chosen(workflow, node_id)) is not None:
        if passed in links:
            yield passed, links[passed], False
        return
    named = [name for name in links if side in name.lower() and not name.lower().endswith("text")]
    named = named or [name for name in links if _CONDITIONING.match(name)]
    named = named or [name for name in links if name in _CARRIERS or PIPES.match(name)][:1]
    sides = any(name in node.inputs for name in (POSITIVE, NEGATIVE))
    if not named and not has_text and not sides:
        named = [name for name in links if not _ASIDE.match(name)]
    appended = _APPENDED.get(node.class_type)
    restricts = bool(_RESTRICTS.search(node.class_type))
    yield from ((name, links[name], restricts or name == appended) for name in named)


def _side_of(workflow: Workflow, name: str, link: Link, side: str) -> str:
    """Return which side a link's node is asked for: the same, unless its outputs are known to be the one and the other.

    Args:
        workflow: The graph.
        name: The input that the link is of; one that says its side is believed.
        link: The link.
        side: Which side the input's node is asked for.
    """
    gives_both = _GIVES_BOTH.match(workflow.nodes[link.node].class_type)
    if gives_both and link.slot < 2 and not any(each in name.lower() for each in (POSITIVE, NEGATIVE)):
        return (POSITIVE, NEGATIVE)[link.slot]
    return side
