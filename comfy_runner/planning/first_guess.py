"""How long a plan may take on a server that nothing is known of yet: a guess, by what others have published of its GPU.

An NVIDIA A100 of 80 GB is the measure, by benchmarks of half precision without a compiler, decoding included:

- SDXL at 1024x1024: 30 steps in 3.704 s (https://huggingface.co/stabilityai/stable-diffusion-xl-1.0-tensorrt, "baseline");
  https://github.com/fal-ai/stable-diffusion-benchmarks has 50 steps in 5.9 s.
- SD1.5 at 512x512: 50 steps in 1.591 s (fal-ai, as above, PyTorch 2.1 with its own attention).

How fast other GPUs are beside it comes from the same page of Stability AI, for the A10 and the H100, and for the others from the
benchmarks of Diffusers (docs/source/en/optimization/torch2.0.md of https://github.com/huggingface/diffusers in 2023: SD1.5, four
pictures at a time, PyTorch 2.0 without a compiler). Of what neither names nothing is said: other families of models, other GPUs,
parts of a GPU, processors.

ComfyUI, its options and the sampler may double a time, or halve it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.sizes import weight
from comfy_runner.recipe.lint import family

_DECODE: Final = 0.7  # of a step
_A100: Final = {
    "SDXL": (30 + _DECODE) * weight(1024 * 1024) / 3.704,
    "SD1.5": (50 + _DECODE) * weight(512 * 512) / 1.591,
}
"""Weighted steps per second, by family."""

_DEVICES: Final = (
    ("H100", r"H100", 3.704 / 2.496),
    ("A100", r"A100", 1.0),
    ("A10", r"A10", 3.704 / 9.399),
    ("RTX 4090", r"RTX 4090", 12.62 / 11.6),
    ("RTX 3090", r"RTX 3090", 6.46 / 11.6),
    ("V100", r"V100", 5.96 / 11.6),
    ("T4", r"T4", 1.79 / 11.6),
)
_OTHERS: Final = re.compile(r"\bMIG\b|\bLaptop\b|\b[34]090 (Ti|D)\b", re.IGNORECASE)
_LOADERS: Final = re.compile(r"unet|diffusion|gguf", re.IGNORECASE)  # of models whose family no checkpoint's name tells


@dataclass(frozen=True, slots=True)
class GuessedPace:
    """How fast a server may be.

    Attributes:
        steps: Weighted steps per second.
        device: The GPU, as people call it.
    """

    steps: float
    device: str


def guessed_pace(device: str, graphs: Iterable[Filled]) -> GuessedPace | None:
    """Return how fast a server may be; None where no published figures tell.

    Args:
        device: What ComfyUI calls its GPU, such as ``cuda:0 NVIDIA GeForce RTX 4090 : native``; empty where it does not say.
        graphs: What it is to render. The slowest family counts, if the names of all checkpoints tell theirs.
    """
    known = next((each for each in _DEVICES if re.search(rf"(?<![\w-]){each[1]}(?![0-9A-Za-z])", device)), None)
    if known is None or _OTHERS.search(device):
        return None
    families = {found and found[0] for found in map(family, _checkpoints(graphs))}
    paces = [_A100.get(each or "") for each in families]
    if not paces or None in paces:
        return None
    return GuessedPace(min(pace for pace in paces if pace) * known[2], known[0])


def _checkpoints(graphs: Iterable[Filled]) -> set[str]:
    """Return the checkpoints that graphs load; an empty name where they load, or may load, anything else to sample with."""
    places: dict[Shape, list[int]] = {}
    found: set[str] = set()
    for graph in graphs:
        if graph.shape not in places:
            places[graph.shape] = [index for index, (_, name) in enumerate(graph.shape.places) if name == "ckpt_name"]
            if not places[graph.shape] or any(_LOADERS.search(node.class_type) for node in graph.shape.bare.nodes.values()):
                found.add("")
        found.update(str(graph.literals[index]) for index in places[graph.shape])
    return found
