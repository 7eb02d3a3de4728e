"""What a graph computes, without computing it: cache keys, the order of nodes, sizes in pixels, and pictures made of a hash.

The key of a node is its class, its literals and the keys of its ancestors; node ids are not part of it. A node
that can be looked at comes first, so an original is saved before its upscaling begins.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from typing import Any

from PIL import Image

Graph = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """What a node has made, as far as pictures are concerned.

    Attributes:
        width: Pixels, also of latents.
        height: Pixels.
        count: Pictures in the batch.
        seed: What the pixels depend on.
        color: The one colour of a picture that has only one.
    """

    width: int = 0
    height: int = 0
    count: int = 1
    seed: str = ""
    color: int | None = None


def parents(node: dict[str, Any]) -> list[str]:
    """Return the ids that a node's inputs lead to."""
    return [value[0] for value in node["inputs"].values() if isinstance(value, list) and len(value) == 2]


def signature(graph: Graph, node_id: str) -> str:
    """Return the cache key of a node; of a node that is not there too, for a graph with a bad half is taken."""
    if node_id not in graph:
        return f"no {node_id}"
    node = graph[node_id]
    inputs = {}
    for name, value in node["inputs"].items():
        is_link = isinstance(value, list) and len(value) == 2
        inputs[name] = ["link", signature(graph, value[0]), value[1]] if is_link else ["value", value]
    text = json.dumps([node["class_type"], inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def needed(graph: Graph, outputs: list[str], is_cached: dict[str, bool]) -> list[str]:
    """Return the nodes that a run visits: outputs, and ancestors that are not cached."""
    found: list[str] = []
    waiting = list(outputs)
    while waiting:
        node_id = waiting.pop()
        if node_id not in found:
            found.append(node_id)
            if not is_cached[node_id]:
                waiting += [parent for parent in parents(graph[node_id]) if not is_cached[parent]]
    return [node_id for node_id in graph if node_id in found]


def next_node(graph: Graph, waiting: list[str], output_nodes: set[str]) -> str:
    """Return which of the waiting nodes runs next."""
    ready = [node_id for node_id in waiting if not any(parent in waiting for parent in parents(graph[node_id]))]
    children = {node_id: [other for other in waiting if node_id in parents(graph[other])] for node_id in waiting}

    def leads_to_output(node_id: str, generations: int) -> bool:
        if generations == 0:
            return node_id in output_nodes
        return any(leads_to_output(child, generations - 1) for child in children[node_id])

    for generations in range(3):
        for node_id in ready:
            if leads_to_output(node_id, generations):
                return node_id
    return ready[0]


def make(graph: Graph, node_id: str, made: dict[str, Made]) -> Made:
    """Return what a node makes of what its parents have made."""
    node = graph[node_id]
    inputs = node["inputs"]
    seed = signature(graph, node_id)
    sources = [made[parent] for parent in parents(node) if made[parent].width]
    source = sources[0] if sources else Made()
    match node["class_type"]:
        case "EmptyLatentImage":
            return Made(inputs["width"] // 8 * 8, inputs["height"] // 8 * 8, inputs["batch_size"], seed)
        case "EmptyImage":
            return Made(inputs["width"], inputs["height"], inputs["batch_size"], seed, inputs["color"])
        case "LatentUpscale":
            width, height = inputs["width"], inputs["height"]
            if width == 0 and height == 0:
                return source
            # 0 keeps the aspect; the node never goes below 64 pixels.
            width = width or max(64, round(source.width * height / source.height))
            height = height or max(64, round(source.height * width / source.width))
            return Made(max(64, width) // 8 * 8, max(64, height) // 8 * 8, source.count, seed)
        case "LatentUpscaleBy":
            width, height = (8 * round(size // 8 * inputs["scale_by"]) for size in (source.width, source.height))
            return Made(width, height, source.count, seed)
        case _:
            return Made(source.width, source.height, source.count, seed, source.color)


def steps(node: dict[str, Any]) -> int:
    """Return in how many steps a node reports progress; 0 for a node that reports none."""
    return int(node["inputs"].get("steps", 0)) if "Sampler" in node["class_type"] else 0


def picture(made: Made, number: int) -> Image.Image:
    """Draw a picture of a batch: coloured patches that depend on the graph and the number."""
    if made.color is not None:
        return Image.new("RGB", (made.width, made.height), f"#{made.color:06x}")
    pixels = random.Random(f"{made.seed}/{number}").randbytes(12 * 12 * 3)  # noqa: S311 - a picture, not a secret
    return Image.frombytes("RGB", (12, 12), pixels).resize((made.width, made.height), Image.Resampling.BICUBIC)
