"""A stand-in that answers from a folder of pictures, one for each denoise, as a sweep of a photograph would give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import get_ident
from typing import Any

from PIL import Image

from tests.report.support import photo
from tests.running.support import small
from tests.standin import StandIn
from tests.standin.graph import passes

STEPS = 100
"""Of a sampler: so many that no two denoise values of these tests give the same schedule."""


def recipe(**changes: Any) -> dict[str, Any]:
    """Return a recipe of the size of these pictures."""
    return small(size={"width": 128, "height": 72}, sampler={"steps": STEPS}, **changes)


def answer_from(folder: Path, standin: StandIn, **painted_so: Any) -> None:
    """Have a stand-in give pictures of a folder, which are painted when they are first asked for.

    A method of upscaling but the recipe's own loses detail, and so does every other `cfg` of the second pass than 5.

    Args:
        folder: Where the pictures are; several stand-ins can have the same one.
        standin: What gives them.
        painted_so: How they are painted, as `photo` is told.
    """
    folder.mkdir(exist_ok=True)

    def picture(graph: Mapping[str, Any], node_id: str) -> Image.Image:
        samplers = [node["inputs"] for node in graph.values() if node["class_type"] == "KSampler"]
        second = min(samplers, key=lambda inputs: inputs["denoise"])
        denoise, seed = second["denoise"], min(node["seed"] for node in samplers)
        (method,) = (node["inputs"]["upscale_method"] for node in graph.values() if "upscale_method" in node["inputs"])
        kept = (1.0 if method == "nearest-exact" else 0.6) * (1 - ((second["cfg"] - 5) / 8) ** 2)
        role = "upscaled" if passes(dict(graph))[node_id] > 1 else "original"
        path = folder / f"{seed}-{denoise}-{kept:.3f}-{role}.png"
        if not path.exists():
            painted = photo({"seed": seed, "upscale.denoise": denoise}, **painted_so)
            image = painted[role]
            if role == "upscaled":
                plain = painted["original"].resize(image.size, Image.Resampling.LANCZOS)
                image = Image.blend(plain, image, kept)
            made = path.with_suffix(f".{get_ident()}.png")
            image.save(made, compress_level=1)
            made.replace(path)
        with Image.open(path) as image:
            return image.copy()

    standin.state.pictures = picture
