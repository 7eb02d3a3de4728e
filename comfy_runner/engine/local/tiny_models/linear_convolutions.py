"""Lanes: a network of convolutions and activations that is linear where it should be."""

from __future__ import annotations

import math

import torch

from .sd15 import CHANNELS, GROUPS, LATENTS

#
# A lane is a signed value v that travels as two channels, +v and -v. Two facts make a network of lanes linear where it
# should be: silu(v) - silu(-v) = v, so an activation changes nothing; and four lanes per group of ten channels leave
# two for a constant +ANCHOR and -ANCHOR, next to which the lanes hardly change a group's variance, so a GroupNorm only
# divides by a known number.

ANCHOR = 64.0
GROUP = CHANNELS // GROUPS
LANES = 4 * GROUPS
NORM_GAIN = ANCHOR * math.sqrt(2 / GROUP)  # undoes the division

# First of four lanes each, one per latent channel. Y0 to Y6: at half resolution, blurred that many times.
Y0, Y2, Y4, Y6, SHIFT, X, X1 = 0, 4, 8, 12, 16, 20, 24
BANDS = (X, X1, Y0, Y2, Y4, Y6)  # what the last block weighs and adds up
WORDS, WORD_LANES = 40, 40  # what attention read from the prompt: first lane, number of lanes

POINT = torch.tensor([0.0, 1.0, 0.0]).outer(torch.tensor([0.0, 1.0, 0.0]))
BLUR_1D = torch.tensor([0.25, 0.5, 0.25])
BLUR = BLUR_1D.outer(BLUR_1D)
# After nearest-neighbour doubling this interpolates linearly and leaves cell i at cell 2i, where it was sampled.
INTERPOLATE = torch.tensor([0.0, 0.5, 0.5]).outer(torch.tensor([0.0, 0.5, 0.5]))


def channels_of(lane: int) -> tuple[int, int]:
    """The two channels that carry +v and -v of a lane."""
    first = GROUP * (lane // 4) + 2 + 2 * (lane % 4)
    return first, first + 1


def connect(weight: torch.Tensor, out: int, source: int, kernel: torch.Tensor | float, *, after_activation: bool) -> None:
    """Add ``kernel`` times lane ``source`` to lane ``out`` of a layer's weight, in place.

    Args:
        weight: (out, in) of a linear layer or (out, in, height, width) of a convolution.
        out: Lane that is written.
        source: Lane that is read; LANES and above are those of the skip half of a doubled input.
        kernel: Number or (height, width).
        after_activation: Whether a SiLU lies before the layer. Without one +v and -v each tell all of v.
    """
    share = kernel if after_activation else kernel * 0.5
    for target, target_sign in zip(channels_of(out), (1, -1), strict=True):
        for origin, origin_sign in zip(channels_of(source), (1, -1), strict=True):
            weight[target, origin] += share * (target_sign * origin_sign)


def four(weight: torch.Tensor, out: int, source: int, kernel: torch.Tensor | float, *, after_activation: bool) -> None:
    """`connect` the lanes of all latent channels alike."""
    for latent in range(LATENTS):
        connect(weight, out + latent, source + latent, kernel, after_activation=after_activation)


def anchored() -> torch.Tensor:
    """A bias that sets every group's two constants."""
    bias = torch.zeros(CHANNELS)
    bias[0::GROUP] = ANCHOR
    bias[1::GROUP] = -ANCHOR
    return bias
