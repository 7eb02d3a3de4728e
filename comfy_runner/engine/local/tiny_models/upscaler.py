"""The upscaler: an ESRGAN that doubles a picture once or twice, smoothly, and adds a little random texture."""

from __future__ import annotations

import math

import torch

from .layers import BLUR, COLOURS, POINT, Weights, blank, points

SEED = 4
FILTERS = 12
GROWTH = 32  # channels that each convolution of a dense block adds; fixed
CONVOLUTIONS = 5  # of a dense block
DENSE_BLOCKS = 3
ONE = 3  # a channel that is 1 everywhere; those behind it are texture
GREY = 0.5
# How far the way from pixels to their interpolation is gone. More is smoother, and makes a frame where the picture ends.
SMOOTHING = 0.5
TEXTURE = 0.35  # how strongly texture comes out; found by trying: about 0.02 of the range from black to white


def random_layer(weights: Weights, name: str, random: torch.Generator, *, outputs: int, inputs: int) -> None:
    """Add a 3 x 3 convolution of random weights that neither enlarges nor shrinks what passes; no colour of its own."""
    blank(weights, name.rpartition(".")[0], **{name.rpartition(".")[2]: (outputs, inputs, 3, 3)})
    weights[f"{name}.weight"] += torch.randn(outputs, inputs, 3, 3, generator=random) / math.sqrt(9 * inputs / 2)


def keep_picture(weight: torch.Tensor, *, blurred: bool) -> None:
    """Let a convolution pass the picture on, blurred or not; outside of it there is grey."""
    weight[: ONE + 1] = 0
    weight[ONE, ONE] = POINT
    kernel = torch.lerp(POINT, BLUR, SMOOTHING) if blurred else POINT
    for colour in range(COLOURS):
        weight[colour, colour] = kernel
        # A convolution sees zeros outside. This is 0 but at the border, and there as much as a grey would add.
        weight[colour, ONE] = GREY * (POINT - kernel)


def upscaler(*, doublings: int) -> Weights:
    """All weights under the names of an ESRGAN.

    Args:
        doublings: 2 for a picture four times as wide and high.
    """
    random = torch.Generator().manual_seed(SEED)
    weights: Weights = {}
    random_layer(weights, "model.0", random, outputs=FILTERS, inputs=COLOURS)
    first = weights["model.0.weight"]
    first[: ONE + 1] = 0
    first[:COLOURS] = points(torch.eye(COLOURS))
    weights["model.0.bias"][ONE] = 1.0
    for dense in range(1, DENSE_BLOCKS + 1):
        for index in range(1, CONVOLUTIONS + 1):
            outputs = GROWTH if index < CONVOLUTIONS else FILTERS
            name = f"model.1.sub.0.RDB{dense}.conv{index}.0"
            random_layer(weights, name, random, outputs=outputs, inputs=FILTERS + (index - 1) * GROWTH)
    random_layer(weights, "model.1.sub.1", random, outputs=FILTERS, inputs=FILTERS)
    # What comes out of the blocks is added to what goes in: nothing to the picture, texture to the rest.
    weights["model.1.sub.1.weight"][: ONE + 1] = 0
    # After each doubling of all pixels, a blur makes that an interpolation.
    for index in range(doublings):
        random_layer(weights, f"model.{3 + 3 * index}", random, outputs=FILTERS, inputs=FILTERS)
        keep_picture(weights[f"model.{3 + 3 * index}.weight"], blurred=True)
    hidden, last = 2 + 3 * doublings, 4 + 3 * doublings
    random_layer(weights, f"model.{hidden}", random, outputs=FILTERS, inputs=FILTERS)
    keep_picture(weights[f"model.{hidden}.weight"], blurred=False)
    random_layer(weights, f"model.{last}", random, outputs=COLOURS, inputs=FILTERS)
    out = weights[f"model.{last}.weight"]
    # Each kernel's sum is 0: texture changes no colour where there is nothing to see.
    out *= TEXTURE / math.sqrt(FILTERS)
    out -= out.mean(dim=(2, 3), keepdim=True)
    out[:, : ONE + 1] = points(torch.eye(COLOURS, ONE + 1))
    return weights
