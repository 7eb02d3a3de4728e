"""What ComfyUI expects of the file of a Stable Diffusion 1.5, in channels, tokens and noise steps."""

from __future__ import annotations

import torch

Weights = dict[str, torch.Tensor]

CHANNELS = 320  # it tells SD1.5 by this and by CONTEXT; how deep the network is, it takes from the file
CONTEXT = 768
EMBEDDING = 4 * CHANNELS
LATENTS = 4
GROUPS = 32  # of every GroupNorm
HEADS = 8
HEAD = CHANNELS // HEADS
TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012  # of the noise schedule, which is linear in the square root
VOCABULARY, POSITIONS, CLIP_LAYERS, CLIP_HIDDEN = 49408, 77, 12, 3072
SPECIAL_TOKENS = [49406, 49407]  # start and end; the end also pads
DECODER = 64  # channels of a TAESD
LATENT_SCALE = 0.18215  # what ComfyUI multiplies the encoder's latents with
DECODER_CLAMP = 3.0  # it begins with 3 * tanh(y / 3), y = latent / 0.18215


def blank(weights: Weights, name: str, **shapes: tuple[int, ...]) -> None:
    """Add weights of zeros, and a bias of zeros to each layer that has one; a double underscore stands for a dot."""
    for layer, shape in shapes.items():
        weights[f"{name}.{layer.replace('__', '.')}.weight"] = torch.zeros(shape)
        weights[f"{name}.{layer.replace('__', '.')}.bias"] = torch.zeros(shape[0])
