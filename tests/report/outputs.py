"""Runs whose jobs hold several pictures against one original, as the template ``compare`` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from tests.report.support import Painter, photo

ROUTES: Mapping[str, float] = {"pixel_0_45": 0.45, "latent_0_55": 0.55, "plain": 0.3, "latent_0_6": 0.6}
"""The outputs, in the order of the graph, and how far each is between the plain enlargement and the truth."""


def routes(values: Mapping[str, Any]) -> dict[str, Image.Image]:
    """Paint the outputs of a job, and the original that all of them were made from, which a graph has last."""
    found = {role: photo({**values, "upscale.denoise": denoise})["upscaled"] for role, denoise in ROUTES.items()}
    return {**found, "original": photo(values)["original"]}


def only(*roles: str) -> Painter:
    """Return a painter of some of the outputs."""
    return lambda values: {role: one for role, one in routes(values).items() if role in roles}


def without(*roles: str, seed: int) -> Painter:
    """Return a painter that leaves outputs out of the job with this seed."""
    return lambda values: {role: one for role, one in routes(values).items() if values.get("seed") != seed or role not in roles}
