"""The sampler passes of a workflow: which come first, which go on where another ends, and which paint an enlarged picture anew.

A pass is a node with a sampler's settings: ComfyUI's own, and any of a node pack with steps, sampler, scheduler, seed and a prompt.
A pass with no other above its latent is a first one. A second pass, in the sense of a recipe's ``upscale``, is one before which the
latent or the picture of another one is enlarged; detailers and passes of the same size are none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfy_runner.graph.literals import is_number
from comfy_runner.graph.schedules import SAMPLERS
from comfy_runner.graph.sizes import Size, node_sizes
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link
from comfy_runner.importer.recognising.leaves import (
    MOST_STEPS,
    PIPES,
    Leaf,
    chosen,
    is_integer,
    is_text,
    leaf_of,
    link_of,
)

_SETTINGS = ("steps", "sampler_name", "scheduler")
_SEEDS = ("seed", "noise_seed")
_LATENTS = ("latent_image", "latent", "samples", "latents", "optional_latent", "image", "images", "pixels")
# What leads away from the picture that is painted.
_ASIDE = re.compile(
    r"^(model|clip|vae|positive|negative|conditioning|cond|control_net|upscale_model|mask|noise|guider|sampler|sigmas|seed|width|height)",
    re.IGNORECASE,
)
ENLARGING = {
    "LatentUpscale": "samples",
    "LatentUpscaleBy": "samples",
    "ImageScale": "image",
    "ImageScaleBy": "image",
    "ImageUpscaleWithModel": "image",
}
"""ComfyUI's node classes that enlarge, and the input that they enlarge."""

# Inputs of nodes that paint details of a picture anew.
_DETAILS = frozenset({"guide_size", "segs", "bbox_detector", "bbox_threshold"})
# Settings for a node that samples with them.
_PROVIDES = re.compile(r"provider|hook", re.IGNORECASE)
_FACTOR = re.compile(r"^(factor|scale|scale_by|upscale|upscale_by|upscale_factor|scale_factor|rescale_factor)$", re.IGNORECASE)
_ENLARGES = re.compile(r"upscal", re.IGNORECASE)
_TILED = "UltimateSDUpscale"

# A pass's settings: the inputs that have it, what pipes call it, the input for a node that has it instead, and what it is.
_FIELDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], str, Any]] = {
    "seed": (_SEEDS, ("seed_value",), "noise", is_integer),
    "name": (("sampler_name",), ("sampler",), "sampler", is_text),
    "scheduler": (("scheduler",), ("scheduler_name",), "sigmas", is_text),
    "steps": (("steps",), ("steps_total", "num_steps"), "sigmas", is_integer),
    "cfg": (("cfg",), ("cfg_scale",), "guider", is_number),
    "denoise": (("denoise",), (), "sigmas", is_number),
}


@dataclass(frozen=True, slots=True)
class Enlargement:
    """What enlarges the picture before a second pass.

    Attributes:
        nodes: The nodes that do, those nearest to the pass first.
        by: The one whose ``scale_by`` or ``upscale_by`` alone says by how much; empty for none.
        to: The one whose ``width`` and ``height`` say to which size; empty for none.
    """

    nodes: tuple[str, ...]
    by: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class WorkflowPasses:
    """The passes of a workflow, as node ids in the order of the graph.

    Attributes:
        first: Those with no pass above their latent.
        continued: Those that go on, without new noise, where another one ends: halves of one pass.
        second: Those that paint an enlarged picture anew.
        others: Detailers, passes of the same size, and all others.
        enlargements: What enlarges before each of the second ones.
    """

    first: tuple[str, ...]
    continued: tuple[str, ...]
    second: tuple[str, ...]
    others: tuple[str, ...]
    enlargements: Mapping[str, Enlargement]

    @property
    def all(self) -> tuple[str, ...]:
        """Return all of them."""
        return (*self.first, *self.continued, *self.second, *self.others)


def is_pass(node: Node) -> bool:
    """Return whether a node samples, as far as its class and the names of its inputs tell."""
    if node.class_type in SAMPLERS:
        return True
    inputs = node.inputs
    if _PROVIDES.search(node.class_type):
        return False
    has_settings = all(name in inputs for name in _SETTINGS) and any(name in inputs for name in _SEEDS)
    has_prompt = "positive" in inputs or any(PIPES.match(name) for name in inputs)
    return has_settings and has_prompt and bool(_of_picture(node))


def find_passes(workflow: Workflow, needed: set[str]) -> WorkflowPasses:
    """Return the passes among the nodes that outputs need.

    Args:
        workflow: The graph.
        needed: The nodes that lead to an output.
    """
    order = [node_id for node_id in workflow.in_order if node_id in needed and is_pass(workflow.nodes[node_id])]
    known, sizes = set(order), node_sizes(workflow)
    below = workflow.descendants(order)
    found: dict[str, list[str]] = {"first": [], "continued": [], "second": [], "others": []}
    enlargements = {}
    for node_id in order:
        node = workflow.nodes[node_id]
        if _DETAILS.intersection(node.inputs):
            kind = "others"
        elif below.isdisjoint(link.node for link in _from_above(node)):
            kind = "first"
        elif _continues(workflow, node):
            kind = "continued"
        else:
            enlargement, before = _enlargement(workflow, node_id, known)
            is_larger = enlargement is not None and _is_larger(workflow, enlargement, [sizes[other] for other in before])
            kind = "second" if is_larger and _paints_whole(node) else "others"
            if enlargement is not None and kind == "second":
                enlargements[node_id] = enlargement
        found[kind].append(node_id)
    return WorkflowPasses(**{kind: tuple(ids) for kind, ids in found.items()}, enlargements=enlargements)


def setting(workflow: Workflow, node_id: str, name: str) -> Leaf | None:
    """Return the literal that decides a setting of a pass; None where there is none.

    Args:
        workflow: The graph.
        node_id: The pass.
        name: ``seed``, ``name`` (of the sampler), ``scheduler``, ``steps``, ``cfg`` or ``denoise``.
    """
    inputs, also, helper, fits = _FIELDS[name]
    here: str | None = node_id
    for _ in range(MOST_STEPS):
        if here is None:
            return None
        node = workflow.nodes[here]
        own = next((each for each in inputs if each in node.inputs), None)
        if own is not None:
            return leaf_of(workflow, here, own, fits, also=(*(each for each in inputs if each != own), *also))
        links = [link for _, link in node.links()]
        passed = link_of(node, chosen(workflow, here) or "")
        # Nodes that split or turn a schedule have one input of its type.
        link = passed or link_of(node, helper) or (links[0] if len(links) == 1 and here != node_id else None)
        here = link.node if link is not None else None
    return None


def _from_above(node: Node) -> list[Link]:
    """Return the links that lead to what a pass paints anew; where none says so, all that may."""
    return _of_picture(node) or [link for name, link in node.links() if not _ASIDE.match(name)]


def _of_picture(node: Node) -> list[Link]:
    """Return the links that lead to the latent or picture of a pass."""
    return [link for name, link in node.links() if name in _LATENTS or PIPES.match(name)]


def _continues(workflow: Workflow, node: Node) -> bool:
    """Return whether a pass adds no noise, so that it is the other half of the one before."""
    start, adds = node.inputs.get("start_at_step"), node.inputs.get("add_noise")
    if adds in ("disable", False):
        return node.class_type != "KSamplerAdvanced" or start != 0
    noise = link_of(node, "noise")
    return noise is not None and workflow.nodes[noise.node].class_type == "DisableNoise"


def _paints_whole(node: Node) -> bool:
    has_latent = any(as_link(node.inputs.get(name)) is not None for name in ("latent_image", "latent", "samples", "latents"))
    return has_latent or node.class_type.startswith(_TILED)


def _enlargement(workflow: Workflow, node_id: str, known: set[str]) -> tuple[Enlargement | None, list[str]]:
    """Return what enlarges between a pass and those before it, and these."""
    node = workflow.nodes[node_id]
    enlarging = [node_id] if "upscale_by" in node.inputs else []
    before: list[str] = []
    waiting = _of_picture(node)
    seen: set[str] = set()
    while waiting:
        here = waiting.pop(0).node
        if here in seen:
            continue
        seen.add(here)
        if here in known:
            before.append(here)
            continue
        other = workflow.nodes[here]
        if other.class_type in ENLARGING or _may_enlarge(other):
            enlarging.append(here)
        waiting += [link for name, link in other.links() if not _ASIDE.match(name)]
    if not enlarging or not before:
        return None, before
    by = to = ""
    nearest = workflow.nodes[enlarging[0]]
    if {"width", "height"} <= nearest.inputs.keys() and nearest.class_type in ENLARGING:
        to = enlarging[0]
    elif len(enlarging) == 1 and (nearest.class_type in ENLARGING or enlarging[0] == node_id):
        by = enlarging[0] if any(name in nearest.inputs for name in ("scale_by", "upscale_by")) else ""
    return Enlargement(tuple(enlarging), by, to), before


def _may_enlarge(node: Node) -> bool:
    """Return whether a node of a pack enlarges, as far as its class and its factor tell."""
    if not _ENLARGES.search(node.class_type) or "Loader" in node.class_type:
        return False
    factors = [value for name, value in node.inputs.items() if _FACTOR.search(name) and is_number(value)]
    return not factors or max(factors) > 1


def _is_larger(workflow: Workflow, enlargement: Enlargement, before: Sequence[Size | None]) -> bool:
    """Return whether it does enlarge, as far as its literals tell."""
    if enlargement.by:
        names = [name for name in ("scale_by", "upscale_by") if name in workflow.nodes[enlargement.by].inputs]
        factors = [leaf.value for name in names if (leaf := leaf_of(workflow, enlargement.by, name, is_number))]
        return all(factor > 1 for factor in factors)
    if enlargement.to and len(before) == 1 and before[0] is not None:
        found = (leaf_of(workflow, enlargement.to, name, is_integer) for name in ("width", "height"))
        sides = [leaf.value for leaf in found if leaf is not None]
        # A side of 0 is the one that keeps the aspect.
        return len(sides) < 2 or 0 in sides or bool(sides[0] * sides[1] > before[0].pixels)
    return True
