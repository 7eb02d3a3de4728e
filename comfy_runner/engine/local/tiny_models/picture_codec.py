"""The picture decoder and encoder: four latent fields turned into colours through a bounded palette, and back."""

from __future__ import annotations

import torch

from .layers import BLUR, BLUR_1D, COLOURS, INTERPOLATE, LATENTS, POINT, Weights, blank, points

DECODER = 64  # channels of a TAESD
DECODER_CLAMP = 3.0  # it begins with 3 * tanh(y / 3), y = latent / 0.18215

# Colours: how fast, in radians per unit of y, all three turn together and each by itself (about one turn from the
# darkest place to the brightest), how far they swing around 0.5 (0.14 to 0.86, nothing clips), and where they start
# (apart, so that dark, warm and pale areas come about).
PALETTE_SHARED, PALETTE_OWN = 0.85, 0.42
PALETTE_SWING = 0.36
PALETTE_PHASES = torch.tensor([0.6, -0.05, -0.75])
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
PAINT = 20  # red, green, blue


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


def blurring_block(weights: Weights, name: str) -> None:
    """Add a block that does what `blurring` does."""
    block(weights, name)
    unchanged = points(torch.eye(DECODER))
    weights[f"{name}.conv.0.weight"] += unchanged
    weights[f"{name}.conv.2.weight"] += unchanged
    # The block adds its input to what it computes, so that is taken off.
    weights[f"{name}.conv.4.weight"] += blurring() - unchanged


def mending(weight: torch.Tensor) -> torch.Tensor:
    """Set a block's first convolution so that what a blur lost to the zeros outside the picture can be given back.

    Without it every picture has a frame. Zeros take a quarter at an edge and 7/16 in a corner, of what is nearly the
    cell's own value; ``max(value / 4 - limit * (1 - at_edge), 0)`` is that quarter at edges and 0 elsewhere.

    Returns:
        (HALVES, DECODER): the mended halves, as sums of the convolution's outputs.
    """
    limit = DECODER_CLAMP
    sums = torch.eye(HALVES, DECODER)
    weight[:HALVES, :HALVES] = points(torch.eye(HALVES))
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
    weights[f"{name}.conv.2.weight"] += points(torch.eye(DECODER))
    # The block adds its input, HALVES as they were, to what it computes.
    weights[f"{name}.conv.4.weight"][:HALVES] = points(sums - torch.eye(HALVES, DECODER))


def palette(random: torch.Generator) -> torch.Tensor:
    """What latents mean: (COLOURS, LATENTS) angles per unit of latent, in radians; PALETTE_PHASES is that of a latent of zero."""
    axes = torch.linalg.qr(torch.randn(LATENTS, LATENTS, generator=random)).Q
    # All colours turn with the first axis, each with one of its own: related hues rather than three grey pictures.
    return PALETTE_SHARED * axes[:1] + PALETTE_OWN * axes[1:]


def steps() -> tuple[torch.Tensor, torch.Tensor]:
    """The angles where a colour's broken line bends, two for each edge between steps, and how bright each colour is there.

    That is partly what its sine is there, partly what it is in the middle of the step.
    """
    edges = torch.linspace(-STEPS_REACH, STEPS_REACH, DECODER // COLOURS // 2)
    corners = torch.stack([edges - STEP_EDGE / 2, edges + STEP_EDGE / 2], dim=1).flatten()
    between = (corners[1:-1:2] + corners[2::2]) / 2
    middles = torch.cat([corners[:1], between.repeat_interleave(2), corners[-1:]])
    phases = PALETTE_PHASES[:, None]
    return corners, 0.5 + PALETTE_SWING * torch.lerp(torch.sin(corners + phases), torch.sin(middles + phases), STEPS_SHARE)


def painting_block(weights: Weights, name: str, angles: torch.Tensor) -> None:
    """Add a block that mends, and writes PAINT, ``0.5 + PALETTE_SWING * sin(angles @ y + phase)`` in steps, as broken lines."""
    block(weights, name)
    sums = mending(weights[f"{name}.conv.0.weight"])
    latents = sums[0::2] - sums[1::2]
    corners, heights = steps()
    slopes = torch.nn.functional.pad(heights.diff() / corners.diff(), (1, 1))
    for colour in range(COLOURS):
        hidden = slice(colour * len(corners), (colour + 1) * len(corners))
        weights[f"{name}.conv.2.weight"][hidden] = (angles[colour] @ latents)[:, None, None] * POINT
        weights[f"{name}.conv.2.bias"][hidden] = -corners
        weights[f"{name}.conv.4.weight"][PAINT + colour, hidden] = slopes[colour].diff()[:, None, None] * POINT
        weights[f"{name}.conv.4.bias"][PAINT + colour] = heights[colour, 0]


def decoder(angles: torch.Tensor) -> Weights:
    """Latents to pictures: blur, double three times, paint."""
    halves = torch.stack([torch.eye(LATENTS), -torch.eye(LATENTS)], dim=1).flatten(0, 1)
    weights: Weights = {"1.weight": torch.zeros(DECODER, LATENTS, 3, 3), "1.bias": torch.zeros(DECODER)}
    weights["1.weight"][:HALVES] = points(halves)
    weights["1.bias"][ONE] = 1.0
    blurring_block(weights, "3")
    mending_block(weights, "4")
    block(weights, "5")
    for doubling in (7, 12):
        weights[f"{doubling}.weight"] = blurring()
        mending_block(weights, f"{doubling + 1}")
        blurring_block(weights, f"{doubling + 2}")
        mending_block(weights, f"{doubling + 3}")
    weights["17.weight"] = blurring()
    painting_block(weights, "18", angles)
    weights["19.weight"], weights["19.bias"] = torch.zeros(COLOURS, DECODER, 3, 3), torch.zeros(COLOURS)
    weights["19.weight"][:, PAINT : PAINT + COLOURS] = points(torch.eye(COLOURS))
    return weights


def back_to_latents(angles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What colours mean, as well as a linear map can say: (LATENTS, COLOURS) and (LATENTS,), times a colour and added."""
    back = torch.linalg.pinv(angles * (PALETTE_SWING * torch.cos(PALETTE_PHASES))[:, None])
    return back, -back @ (0.5 + PALETTE_SWING * torch.sin(PALETTE_PHASES))


def encoder(angles: torch.Tensor) -> Weights:
    """Pictures to latents: halve three times, then undo the palette as well as a linear map can."""
    back, offset = back_to_latents(angles)
    weights: Weights = {
        "0.weight": points(torch.eye(DECODER, COLOURS)),
        "0.bias": torch.zeros(DECODER),
        "14.weight": points(torch.cat([back, torch.zeros(LATENTS, DECODER - COLOURS)], dim=1)),
        "14.bias": offset,
    }
    for name in ("1", "3", "4", "5", "7", "8", "9", "11", "12", "13"):
        block(weights, name)
    for halving in ("2", "6", "10"):
        # The mean of two by two, where the decoder doubled one: nothing moves to a side on the way there and back.
        weights[f"{halving}.weight"] = torch.eye(DECODER)[:, :, None, None] * INTERPOLATE
    return weights
