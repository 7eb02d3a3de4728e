"""Where the size of the first pass and of its batch stand: at its empty latent, and at nodes that are told the size once more."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_runner.graph.workflow import Workflow
from comfy_runner.importer.recognising.leaves import MOST_STEPS, PIPES, Leaf, chosen, is_integer, leaf_of, link_of

_SIDES = (("width", "height"), ("empty_latent_width", "empty_latent_height"))
_LATENTS = ("latent_image", "latent", "samples", "latents", "optional_latent")
_PICTURES = ("image", "images", "pixels", "samples")
_AGAIN = ("ModelSamplingFlux", "Flux2Scheduler", "CLIPTextEncodeSDXL")
_SIDES_AGAIN = (("width", "height"), ("target_width", "target_height"))


def size_of(workflow: Workflow, node_id: str) -> tuple[Leaf, Leaf] | None:
    """Return the literals with width and height of a pass's empty latent; None where it begins with a picture, or computes them.

    Args:
        workflow: The graph.
        node_id: The pass.
    """
    node_id, names = _empty_latent(workflow, node_id)
    sides = [leaf for name in names if (leaf := leaf_of(workflow, node_id, name, is_integer)) is not None]
    return (sides[0], sides[1]) if len(sides) == len(_SIDES[0]) else None


def batch_of(workflow: Workflow, node_id: str) -> Leaf | None:
    """Return the literal with how many pictures a pass makes at once; None where it begins with a picture, or computes that.

    Args:
        workflow: The graph.
        node_id: The pass.
    """
    node_id, names = _empty_latent(workflow, node_id)
    return leaf_of(workflow, node_id, "batch_size", is_integer) if names else None


def _empty_latent(workflow: Workflow, node_id: str) -> tuple[str, tuple[str, ...]]:
    """Return the node that a pass's latent begins with, and what its sides are called; nothing where it is no empty latent."""
    for _ in range(MOST_STEPS):
        node = workflow.nodes[node_id]
        for names in _SIDES:
            if all(name in node.inputs for name in names) and not any(name in node.inputs for name in _PICTURES):
                return node_id, names
        pipes = [name for name in node.inputs if PIPES.match(name)]
        link = link_of(node, chosen(workflow, node_id) or "", *_LATENTS, *pipes)
        if link is None:
            break
        node_id = link.node
    return node_id, ()


def sizes_again(workflow: Workflow, passes: Sequence[str], width: int, height: int) -> list[tuple[Leaf, Leaf]]:
    """Return the literals of nodes above passes that are told the same size once more, such as a model's sampling.

    Args:
        workflow: The graph.
        passes: The passes.
        width: The width, in pixels.
        height: The height, in pixels.
    """
    found = []
    above = workflow.ancestors(passes)
    for node_id, node in workflow.nodes.items():
        for names in _SIDES_AGAIN if node.class_type in _AGAIN and node_id in above else ():
            values = [node.inputs.get(name) for name in names]
            if values == [width, height] and all(map(is_integer, values)):
                found.append((Leaf((node_id, names[0]), width), Leaf((node_id, names[1]), height)))
    return found
