"""The VAE: the checkpoint's, with other colours."""

from __future__ import annotations

import torch

from .picture_codec import decoder, encoder, palette
from .sd15 import Weights

SEED = 16


def vae() -> Weights:
    """All weights under the names that a TAESD has in a file of its own.

    The colours follow the latents along other axes than the checkpoint's do, so that it shows which of the two was used.
    """
    angles, phases = palette(torch.Generator().manual_seed(SEED))
    parts = {
        "taesd_decoder.": decoder(angles, phases),
        "taesd_encoder.": encoder(angles, phases),
        "vae_": {"scale": torch.tensor(1.0), "shift": torch.tensor(0.0)},
    }
    return {prefix + name: weight for prefix, part in parts.items() for name, weight in part.items()}
