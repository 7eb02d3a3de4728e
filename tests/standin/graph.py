"""What a graph computes, without computing it: cache keys, sizes in pixels, and pictures made of a hash.

The key of a node is its class, its literals and the keys of its ancestors; node ids are not part of it. In which order
nodes run is the business of `order`.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
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


def signatures(graph: Graph, *, prefixes: bool = True) -> dict[str, str]:
    """Return the cache key of each node.

    Args:
        graph: The graph. Links may lead nowhere, for a graph with a bad half is taken.
        prefixes: Whether file prefixes are a part of it, as they are for the cache; without, equal pixels have equal keys.
    """
    found: dict[str, str] = {}

    def key(node_id: str) -> str:
        if node_id not in graph:
            return f"no {node_id}"
        if node_id not in found:
            node = graph[node_id]
            inputs = {}
            for name, value in node["inputs"].items():
                is_link = isinstance(value, list) and len(value) == 2
                if prefixes or name != "filename_prefix":
                    inputs[name] = ["link", key(value[0]), value[1]] if is_link else ["value", value]
            text = json.dumps([node["class_type"], inputs], sort_keys=True)
            found[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return found[node_id]

    return {node_id: key(node_id) for node_id in graph}


def passes(graph: Graph) -> dict[str, int]:
    """Return for each node how many samplers there are on the longest way to it, itself included."""
    found: dict[str, int] = {}

    def count(node_id: str) -> int:
        if node_id not in graph:
            return 0
        if node_id not in found:
            before = max((count(parent) for parent in parents(graph[node_id])), default=0)
            found[node_id] = before + ("Sampler" in graph[node_id]["class_type"])
        return found[node_id]

    return {node_id: count(node_id) for node_id in graph}


def make(node: dict[str, Any], seed: str, made: Mapping[str, Made]) -> Made:
    """Return what a node makes of what its parents have made.

    Args:
        node: The node.
        seed: What its pixels depend on.
        made: By node id; at least of its parents.
    """
    inputs = node["inputs"]
    sources = [made[parent] for parent in parents(node) if made[parent].width]
    source = sources[0] if sources else Made()
    match node["class_type"]:
        case "EmptyLatentImage":
            return Made(inputs["width"] // 8 * 8, inputs["height"] // 8 * 8, inputs["batch_size"], seed)
        case "PartnerImage":
            return Made(inputs["width"], inputs["height"], inputs["batch_size"], seed)
        case "EmptyImage":
            return Made(inputs["width"], inputs["height"], inputs["batch_size"], seed, inputs["color"])
        case "LoadImage" | "LoadImageMask":
            return Made(inputs["width"], inputs["height"], 1, seed)
        case "ImageScale":
            return Made(inputs["width"], inputs["height"], source.count, seed, source.color)
        case "LatentUpscale":
            width, height = inputs["width"], inputs["height"]
            if width == 0 and height == 0:
                return source
            # 0 keeps the aspect; the node never goes below 64 pixels.
            width = width or max(64, round(source.width * height / source.height))
            height = height or max(64, round(source.height * width / source.width))
            return Made(max(64, width) // 8 * 8, max(64, height) // 8 * 8, source.count, seed, source.color)
        case "LatentUpscaleBy":
            width, height = (8 * round(size // 8 * inputs["scale_by"]) for size in (source.width, source.height))
            return Made(width, height, source.count, seed, source.color)
        case _:
            return Made(source.width, source.height, source.count, seed, source.color)


def make_all(graph: Graph) -> dict[str, Made]:
    """Return what each node of a graph makes."""
    seeds = signatures(graph, prefixes=False)
    made: dict[str, Made] = {}

    def visit(node_id: str) -> None:
        if node_id not in made:
            for parent in parents(graph[node_id]):
                visit(parent)
            made[node_id] = make(graph[node_id], seeds[node_id], made)

    for node_id in graph:
        visit(node_id)
    return made


def steps(node: dict[str, Any]) -> int:
    """Return in how many steps a node reports progress; 0 for a node that reports none."""
    return int(node["inputs"].get("steps", 0)) if "Sampler" in node["class_type"] else 0


def picture(made: Made, number: int) -> Image.Image:
    """Draw a picture of a batch: coloured patches that depend on the graph and the number."""
    if made.color is not None:
        return Image.new("RGB", (made.width, made.height), f"#{made.color:06x}")
    pixels = random.Random(f"{made.seed}/{number}").randbytes(12 * 12 * 3)  # noqa: S311 - a picture, not a secret
    return Image.frombytes("RGB", (12, 12), pixels).resize((made.width, made.height), Image.Resampling.BICUBIC)


def foreign_graph(number: int, steps: int) -> Graph:
    """Return a prompt of somebody else; its one sampler is the node ``foreign_sampler``."""
    sampler = {"steps": steps, "seed": number, "latent_image": ["foreign_latent", 0]}
    return {
        "foreign_latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "foreign_sampler": {"class_type": "KSampler", "inputs": sampler},
        "foreign_decode": {"class_type": "VAEDecode", "inputs": {"samples": ["foreign_sampler", 0]}},
        "foreign_save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["foreign_decode", 0], "filename_prefix": f"foreign-{number}"},
        },
    }
