"""The checkpoint: puts its parts together under the names of an SD1.5 file."""

from __future__ import annotations

from functools import cache

import torch

from .denoiser import unet
from .picture_codec import decoder, encoder, palette
from .sd15 import Weights
from .text_encoder import text_encoder

SEED = 15


@cache
def checkpoint() -> Weights:
    """All weights under the names that SD1.5 checkpoints use."""
    random = torch.Generator().manual_seed(SEED)
    angles, phases = palette(random)
    parts = {
        "model.diffusion_model.": unet(random),
        "first_stage_model.taesd_decoder.": decoder(angles, phases),
        "first_stage_model.taesd_encoder.": encoder(angles, phases),
        "first_stage_model.vae_": {"scale": torch.tensor(1.0), "shift": torch.tensor(0.0)},
        "cond_stage_model.transformer.text_model.": text_encoder(random),
    }
    return {prefix + name: weight for prefix, part in parts.items() for name, weight in part.items()}


def part(prefix: str) -> Weights:
    """The weights whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): weight for name, weight in checkpoint().items() if name.startswith(prefix)}
