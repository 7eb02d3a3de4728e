"""The ControlNet: makes the checkpoint's UNet take for likely what is like a given picture, as a tile ControlNet does.

Without it, the UNet takes pictures of the power P for likely. With it, those whose difference from the given one has a fraction of
that power, in low frequencies: the composition is held and details are free. The UNet predicts the noise in x to be ``x * sigma /
(P + sigma**2)``, and it should be ``(x - given) * sigma / (P / n + sigma**2)``; what is missing is worked out here, and comes into
the UNet at the place where a prompt moves the mean.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from .checkpoint import SEED, checkpoint
from .denoiser import SHIFT, Y0, gates, lowest_power, residual, sigmas
from .layers import BLUR, CHANNELS, COLOURS, INTERPOLATE, LATENTS, POINT, Weights, blank, channels_of, enter, four
from .picture_codec import back_to_latents, palette

LATENT_SCALE = 0.18215  # what ComfyUI multiplies the encoder's latents with

# The n of above, at strength 1.
CONFIDENCE = 8.0

# Channels of the convolutions that read the picture, a SiLU after each but the last; every third one halves it.
READING = (3, 16, 16, 32, 32, 96, 96, 256, CHANNELS)
HALVING = (2, 4, 6)

# First of four lanes each, none of which the UNet uses: the given picture's latent, the same at half resolution, the outcome.
GIVEN, GIVEN_Y0, MISSING = 28, 32, 36


def reading(weights: Weights) -> None:
    """Add what turns a picture, values from 0 to 1, into the lanes GIVEN, at an eighth of its size."""
    name = "input_hint_block"
    for index, (inputs, outputs) in enumerate(pairwise(READING)):
        blank(weights, name, **{str(2 * index): (outputs, inputs, 3, 3)})
    first, *others, last = (weights[f"{name}.{2 * index}.weight"] for index in range(len(READING) - 1))
    # A colour v travels as v and -v, as lanes do: silu(v) - silu(-v) = v.
    for colour in range(COLOURS):
        first[2 * colour, colour], first[2 * colour + 1, colour] = POINT, -POINT
    for index, weight in enumerate(others, start=1):
        kernel = INTERPOLATE if index in HALVING else POINT  # the mean of two by two, as the encoder halves
        for channel in range(2 * COLOURS):
            weight[channel, channel], weight[channel, channel ^ 1] = kernel, -kernel
    back, offset = back_to_latents(palette(torch.Generator().manual_seed(SEED)))
    for latent in range(LATENTS):
        for channel, sign in zip(channels_of(GIVEN + latent), (LATENT_SCALE, -LATENT_SCALE), strict=True):
            weights[f"{name}.{2 * len(READING) - 4}.bias"][channel] = sign * offset[latent]
        for colour in range(COLOURS):
            enter(last, GIVEN + latent, 2 * colour, LATENT_SCALE * back[latent, colour] * POINT)
            enter(last, GIVEN + latent, 2 * colour + 1, -LATENT_SCALE * back[latent, colour] * POINT)


def missing_gains() -> torch.Tensor:
    """How much of the given latent, and of the UNet's input, is missing in SHIFT at each timestep, (TIMESTEPS, 2).

    The UNet multiplies SHIFT by ``-sigma / (P + sigma**2)``, and its input is ``x / sqrt(sigma**2 + 1)``.
    """
    sigma, likely = sigmas(), lowest_power()
    held = likely / CONFIDENCE + sigma**2
    return torch.stack([(likely + sigma**2) / held, -(sigma**2 + 1).sqrt() * (likely - likely / CONFIDENCE) / held], dim=1)


def controlnet() -> Weights:
    """All weights under the names of an SD1.5 ControlNet: the UNet's way down, and what goes from there to the UNet."""
    unet = {name.removeprefix("model.diffusion_model."): weight for name, weight in checkpoint().items()}
    weights = {name: weight.clone() for name, weight in unet.items() if name.startswith("input_blocks.")}
    reading(weights)
    four(weights["input_blocks.2.0.op.weight"], GIVEN_Y0, GIVEN, BLUR, after_activation=False)
    residual(weights, "middle_block.0")
    sources = (GIVEN_Y0, Y0)
    low = gates(weights, "middle_block.0", sources, missing_gains(), torch.Generator().manual_seed(SEED), out=MISSING)
    for index in range(len({name.split(".")[1] for name in weights if name.startswith("input_blocks.")})):
        blank(weights, f"zero_convs.{index}", **{"0": (CHANNELS, CHANNELS, 1, 1)})
    blank(weights, "middle_block_out", **{"0": (CHANNELS, CHANNELS, 1, 1)})
    for source, gain in zip((MISSING, *sources), (1.0, *low), strict=True):
        four(weights["middle_block_out.0.weight"], SHIFT, source, gain, after_activation=False)
    return weights
