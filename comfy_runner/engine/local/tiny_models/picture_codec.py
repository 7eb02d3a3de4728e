"""The picture decoder and encoder: four latent fields turned into colours through a bounded palette, and back."""

from __future__ import annotations

import torch

from .linear_convolutions import BLUR, BLUR_1D, INTERPOLATE, POINT
from .sd15 import DECODER, DECODER_CLAMP, LATENTS, Weights, blank

# Colours: how fast, in radians per unit of y, all three turn together and each by itself (about one turn from the
# darkest place to the brightest), how far they swing around 0.5 (0.14 to 0.86, nothing clips), and where they start
# (apart, so that dark, warm and pale areas come about).
PALETTE_SHARED, PALETTE_OWN = 0.85, 0.42
PALETTE_SWING = 0.36
PALETTE_PHASES = (0.6, -0.05, -0.75)
# Colours change in steps, and a little between them: the steps' edges are sharp at any size, which a picture that is only
# scaled has not. Of a turn, how far the steps reach and how wide an edge is, in radians (about two pixels); and which share
# of the change they take.
STEPS_REACH = 2.2
STEP_EDGE = 0.02
STEPS_SHARE = 0.6

#
# A TAESD: ReLU blocks of 64 channels and three doublings. A latent y travels as two channels, max(y, 0) and max(-y, 0),
# which any blur keeps apart and linear.

HALVES = 2 * LATENTS  # channels 0 to 7
ONE = 8  # a constant 1
COPIES = 9  # HALVES before a blur
ONE_ROW, ONE_COLUMN = 17, 18  # ONE, blurred along an axis: less than 1 only where a picture ends
COLOURS = 20  # red, green, blue


def blurring() -> torch.Tensor:
    """A convolution that blurs HALVES, and keeps what `mended` needs."""
    weight = torch.zeros(DECODER, DECODER, 3, 3)
    for half in range(HALVES):
        weight[half, half] = BLUR
        weight[COPIES + half, half] = POINT
    weight[ONE, ONE] = POINT
    weight[ONE_ROW, ONE, 1, :] = BLUR_1D
    weight[ONE_COLUMN, ONE, :, 1] = BLUR_1D
    return weight


def block(weights: Weights, name: str) -> None:
    """Add a block that changes nothing: a residual of zero."""
    shape = (DECODER, DECODER, 3, 3)
    blank(weights, name, conv__0=shape, conv__2=shape, conv__4=shape)


def pass_through(weights: Weights, name: str, *parts: int) -> None:
    """Let convolutions of a block hand on every channel as it is."""
    for part in parts:
        weights[f"{name}.conv.{part}.weight"] += torch.eye(DECODER)[:, :, None, None] * POINT


def blurring_block(weights: Weights, name: str) -> None:
    """Add a block that does what `blurring` does."""
    block(weights, name)
    pass_through(weights, name, 0, 2, 4)
    # The block adds its input to what it computes, so that is taken off.
    weights[f"{name}.conv.4.weight"] = blurring() - weights[f"{name}.conv.4.weight"]


def mending(weight: torch.Tensor) -> torch.Tensor:
    """Set a block's first convolution so that what a blur lost to the zeros outside the picture can be given back.

    Without it every picture has a frame. Zeros take a quarter at an edge and 7/16 in a corner, of what is nearly the
    cell's own value; ``max(value / 4 - limit * (1 - at_edge), 0)`` is that quarter at edges and 0 elsewhere.

    Returns:
        (HALVES, DECODER): the mended halves, as sums of the convolution's outputs.
    """
    limit = DECODER_CLAMP
    sums = torch.eye(HALVES, DECODER)
    weight[:HALVES, :HALVES] = torch.eye(HALVES)[:, :, None, None] * POINT
    cases = ((0.25, 1.0, (ONE_ROW,)), (0.25, 1.0, (ONE_COLUMN,)), (0.0625, -1.0, (ONE_ROW, ONE_COLUMN)))
    for case, (lost, sign, axes) in enumerate(cases, start=1):
        for half in range(HALVES):
            hidden = case * HALVES + half
            weight[hidden, COPIES + half] = POINT * lost
            # at_edge is 4 * (ONE - ONE_ROW); in a corner both axes must say so.
            weight[hidden, ONE] = POINT * (3 * limit * len(axes))
            for axis in axes:
                weight[hidden, axis] = POINT * (-4 * limit)
            sums[half, hidden] = sign
    return sums


def mending_block(weights: Weights, name: str) -> None:
    """Add a block that repairs HALVES, see `mending`."""
    block(weights, name)
    sums = mending(weights[f"{name}.conv.0.weight"])
    pass_through(weights, name, 2)
    # The block adds its input, HALVES as they were, to what it computes.
    weights[f"{name}.conv.4.weight"][:HALVES] = (sums - torch.eye(HALVES, DECODER))[:, :, None, None] * POINT


def palette(random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What latents mean: (3, LATENTS) angles per unit of latent, (3,) angles of a latent of zero; in radians."""
    axes = torch.linalg.qr(torch.randn(LATENTS, LATENTS, generator=random)).Q
    # All colours turn with the first axis, each with one of its own: related hues rather than three grey pictures.
    return PALETTE_SHARED * axes[:1] + PALETTE_OWN * axes[1:], torch.tensor(PALETTE_PHASES)


def step_corners() -> torch.Tensor:
    """The angles where a colour's broken line bends: two for each edge between steps."""
    edges = torch.linspace(-STEPS_REACH, STEPS_REACH, DECODER // 3 // 2)
    return torch.stack([edges - STEP_EDGE / 2, edges + STEP_EDGE / 2], dim=1).flatten()


def step_heights(corners: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
    """How bright a colour is at these corners: partly what its sine is there, partly what it is in the middle of the step."""
    between = (corners[1:-1:2] + corners[2::2]) / 2
    middles = torch.cat([corners[:1], between.repeat_interleave(2), corners[-1:]])
    return 0.5 + PALETTE_SWING * torch.lerp(torch.sin(corners + phase), torch.sin(middles + phase), STEPS_SHARE)


def painting_block(weights: Weights, name: str, angles: torch.Tensor, phases: torch.Tensor) -> None:
    """Add a block that mends, and writes COLOURS, ``0.5 + PALETTE_SWING * sin(angles @ y + phase)`` in steps, as broken lines."""
    block(weights, name)
    sums = mending(weights[f"{name}.conv.0.weight"])
    latents = sums[0::2] - sums[1::2]
    corners = step_corners()
    bend = len(corners)
    for colour in range(3):
        heights = step_heights(corners, phases[colour])
        slopes = torch.cat([torch.zeros(1), heights.diff() / corners.diff(), torch.zeros(1)])
        hidden = slice(colour * bend, (colour + 1) * bend)
        weights[f"{name}.conv.2.weight"][hidden] = (angles[colour] @ latents)[:, None, None] * POINT
        weights[f"{name}.conv.2.bias"][hidden] = -corners
        weights[f"{name}.conv.4.weight"][COLOURS + colour, hidden] = slopes.diff()[:, None, None] * POINT
        weights[f"{name}.conv.4.bias"][COLOURS + colour] = heights[0]


def decoder(angles: torch.Tensor, phases: torch.Tensor) -> Weights:
    """Latents to pictures: blur, double three times, paint."""
    weights: Weights = {"1.weight": torch.zeros(DECODER, LATENTS, 3, 3), "1.bias": torch.zeros(DECODER)}
    for latent in range(LATENTS):
        weights["1.weight"][2 * latent, latent] = POINT
        weights["1.weight"][2 * latent + 1, latent] = -POINT
    weights["1.bias"][ONE] = 1.0
    blurring_block(weights, "3")
    mending_block(weights, "4")
    block(weights, "5")
    for doubling, blocks in (("7", ("8", "9", "10")), ("12", ("13", "14", "15"))):
        weights[f"{doubling}.weight"] = blurring()
        mending_block(weights, blocks[0])
        blurring_block(weights, blocks[1])
        mending_block(weights, blocks[2])
    weights["17.weight"] = blurring()
    painting_block(weights, "18", angles, phases)
    weights["19.weight"], weights["19.bias"] = torch.zeros(3, DECODER, 3, 3), torch.zeros(3)
    for colour in range(3):
        weights["19.weight"][colour, COLOURS + colour] = POINT
    return weights


def back_to_latents(angles: torch.Tensor, phases: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What colours mean, as well as a linear map can say: (LATENTS, 3) and (LATENTS,), times a colour and added."""
    back = torch.linalg.pinv(angles * (PALETTE_SWING * torch.cos(phases))[:, None])
    return back, -back @ (0.5 + PALETTE_SWING * torch.sin(phases))


def encoder(angles: torch.Tensor, phases: torch.Tensor) -> Weights:
    """Pictures to latents: halve three times, then undo the palette as well as a linear map can."""
    weights: Weights = {"0.weight": torch.zeros(DECODER, 3, 3, 3), "0.bias": torch.zeros(DECODER)}
    for colour in range(3):
        weights["0.weight"][colour, colour] = POINT
    for name in ("1", "3", "4", "5", "7", "8", "9", "11", "12", "13"):
        block(weights, name)
    for halving in ("2", "6", "10"):
        # The mean of two by two, where the decoder doubled one: nothing moves to a side on the way there and back.
        weights[f"{halving}.weight"] = torch.eye(DECODER)[:, :, None, None] * INTERPOLATE
    back, offset = back_to_latents(angles, phases)
    weights["14.weight"] = torch.zeros(LATENTS, DECODER, 3, 3)
    weights["14.weight"][:, :3] = back[:, :, None, None] * POINT
    weights["14.bias"] = offset
    return weights
