"""Layers: how wide those of a Stable Diffusion 1.5 are, and how convolutions and activations are linear where they should be.

A lane is a signed value v that travels as two channels, +v and -v. Two facts make a network of lanes linear where it should be:
silu(v) - silu(-v) = v, so an activation changes nothing; and four lanes per group of ten channels leave two for a constant
+ANCHOR and -ANCHOR, next to which the lanes hardly change a group's variance, so a GroupNorm only divides by a known number.
"""

from __future__ import annotations

import math
from itertools import product

import torch

Weights = dict[str, torch.Tensor]

CHANNELS = 320  # ComfyUI tells SD1.5 by this and by CONTEXT; how deep the network is, it takes from the file
CONTEXT = 768
LATENTS = 4
COLOURS = 3
GROUPS = 32  # of every GroupNorm

ANCHOR = 64.0
GROUP = CHANNELS // GROUPS
LANES = 4 * GROUPS
NORM_GAIN = ANCHOR * math.sqrt(2 / GROUP)  # undoes the division

POINT = torch.tensor([0.0, 1.0, 0.0]).outer(torch.tensor([0.0, 1.0, 0.0]))
BLUR_1D = torch.tensor([0.25, 0.5, 0.25])
BLUR = BLUR_1D.outer(BLUR_1D)
# After nearest-neighbour doubling this interpolates linearly and leaves cell i at cell 2i, where it was sampled.
INTERPOLATE = torch.tensor([0.0, 0.5, 0.5]).outer(torch.tensor([0.0, 0.5, 0.5]))


def blank(weights: Weights, name: str, **shapes: tuple[int, ...]) -> None:
    """Add weights of zeros, and a bias of zeros to each layer that has one; a double underscore stands for a dot."""
    for layer, shape in shapes.items():
        weights[f"{name}.{layer.replace('__', '.')}.weight"] = torch.zeros(shape)
        weights[f"{name}.{layer.replace('__', '.')}.bias"] = torch.zeros(shape[0])


def points(mixing: torch.Tensor) -> torch.Tensor:
    """The weight of a convolution that mixes channels as a matrix says, (out, in), and looks at no neighbours."""
    return mixing[:, :, None, None] * POINT


def channels_of(lane: int) -> tuple[int, int]:
    """The two channels that carry +v and -v of a lane."""
    first = GROUP * (lane // 4) + 2 + 2 * (lane % 4)
    return first, first + 1


def enter(weight: torch.Tensor, lane: int, channel: int, kernel: torch.Tensor | float) -> None:
    """Let a layer write ``kernel`` times a plain channel into a lane."""
    for target, sign in zip(channels_of(lane), (1, -1), strict=True):
        weight[target, channel] = sign * kernel


def connect(weight: torch.Tensor, out: int, source: int, kernel: torch.Tensor | float, *, after_activation: bool = True) -> None:
    """Add ``kernel`` times lane ``source`` to lane ``out`` of a layer's weight, in place.

    Args:
        weight: (out, in) of a linear layer or (out, in, height, width) of a convolution.
        out: Lane that is written.
        source: Lane that is read; LANES and above are those of the skip half of a doubled input.
        kernel: Number or (height, width).
        after_activation: Whether a SiLU lies before the layer. Without one +v and -v each tell all of v.
    """
    share = kernel if after_activation else kernel * 0.5
    for (target, target_sign), (origin, origin_sign) in product(
        *(zip(channels_of(lane), (1, -1), strict=True) for lane in (out, source))
    ):
        weight[target, origin] += share * (target_sign * origin_sign)


def four(weight: torch.Tensor, out: int, source: int, kernel: torch.Tensor | float, *, after_activation: bool = True) -> None:
    """`connect` the lanes of all latent channels alike."""
    for latent in range(LATENTS):
        connect(weight, out + latent, source + latent, kernel, after_activation=after_activation)


def anchored() -> torch.Tensor:
    """A bias that sets every group's two constants."""
    return torch.tensor([ANCHOR, -ANCHOR] + [0.0] * (GROUP - 2)).repeat(GROUPS)
