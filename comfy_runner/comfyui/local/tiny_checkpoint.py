"""Builds ``tiny-random-sd15.safetensors``: a small stand-in for a Stable Diffusion 1.5 checkpoint, about 300 MB.

    python tiny_checkpoint.py OUT.safetensors

ComfyUI loads the file with its ordinary nodes and renders in seconds on a CPU. It has learnt nothing: the pictures are
abstract, soft and colourful textures, never what a prompt says. They do react as a real model's do: to the seed, to each
word of the prompt, to cfg, to the size, and to the denoise of a second pass, which is what it is there to show.

How: nothing is trained and nothing is left to luck. The UNet's weights are worked out so that it is very nearly the
best possible denoiser of one family of pictures, smooth random fields with a known power spectrum P, which is a Wiener
filter, ``P / (P + sigma**2)`` for each spatial frequency. So samplers and denoise values mean what they mean for a
trained model. The prompt moves the mean of that family. The decoder turns four latent fields into colours through a
bounded palette, so that nothing clips. Random numbers, from a fixed seed, choose what words and colours mean.

Not here: any of ComfyUI's code, or of comfy_runner's; the script is run by ComfyUI's own Python, which has torch.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

Weights = dict[str, torch.Tensor]

SEED = 15

# --------------------------------------------------------------------------- what ComfyUI expects of an SD1.5 file

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
DECODER_CLAMP = 3.0  # it begins with 3 * tanh(y / 3), y = latent / 0.18215

# --------------------------------------------------------------------------- the family of pictures

# (standard deviation, correlation length in latent cells) of the random fields that add up to a latent. The first makes
# the composition, about four blobs across 256 pixels. It is this faint because composition should outlive denoise 0.3
# (sigma 0.35) and not outlive 0.9 (sigma 9.6): P at its frequencies has to lie between the squares of those. The others
# are detail, which denoise 0.3 draws anew.
FIELDS = ((0.22, 3.5), (0.12, 1.6), (0.07, 0.8))
# White power that is left in, so that no gain of the network need exceed 1 / (2 * sqrt(0.004)) = 8.
POWER_FLOOR = 0.004
# How far a prompt moves latents everywhere alike, and how far depending on what is there. cfg multiplies the difference
# of two prompts: at 5 to 8 that must still be of the size of FIELDS, or a picture is one flat colour.
PROMPT_MEAN = 0.03
PROMPT_PATTERN = 0.12
# A field of this size goes from one side of a prompt's contours to the other; FIELDS are larger, so contours show.
PROMPT_CONTOUR = 0.07
# Colours: how fast, in radians per unit of y, all three turn together and each by itself (about one turn from the
# darkest place to the brightest), how far they swing around 0.5 (0.14 to 0.86, nothing clips), and where they start
# (apart, so that dark, warm and pale areas come about).
PALETTE_SHARED, PALETTE_OWN = 0.85, 0.42
PALETTE_SWING = 0.36
PALETTE_PHASES = (0.6, -0.05, -0.75)

# --------------------------------------------------------------------------- how prompts are read

# Coordinate 0 of a token's vector says how much of a word it is, so that attention finds the words among 77 tokens.
# The most frequent ones ("a", "of", commas) come first in CLIP's vocabulary and count for less.
WORD, COMMON_WORD, NO_WORD = 6.0, 3.0, -6.0
COMMON_TOKENS = 600
# Attention's logits: words beat padding by WORD_FOCUS * 12 / sqrt(HEAD) = 8; by taste a head tells words apart with a
# standard deviation of CHOICE_FOCUS / sqrt(HEAD) = 3, so that it dwells on one or two and every word matters to some.
WORD_FOCUS, CHOICE_FOCUS = 4.2, 19.0
# Twelve random layers together add this share of a word's own vector: order and neighbours matter a little.
CLIP_MIXING = 0.3

# --------------------------------------------------------------------------- numerics

# Gates are straight for small inputs only, and 16-bit arithmetic on a GPU wants them not too small.
GATE_INPUT = 0.1
# Least squares with a little ridge: large weights that cancel would not survive 16 bits.
BAND_RIDGE = 1e-5
CLOCK_RIDGE = 1e-3

# --------------------------------------------------------------------------- lanes
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


# --------------------------------------------------------------------------- the denoiser


def sigmas() -> torch.Tensor:
    """The noise level of each of SD1.5's timesteps, (TIMESTEPS,), 0.03 to 14.6."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TIMESTEPS, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, dim=0)
    return ((1 - kept) / kept).sqrt()


def power(squared_frequency: torch.Tensor) -> torch.Tensor:
    """P of the family of pictures at |k|**2, k in radians per latent cell."""
    total = torch.full_like(squared_frequency, POWER_FLOOR)
    for deviation, length in FIELDS:
        total += deviation**2 * 2 * math.pi * length**2 * torch.exp(-squared_frequency * length**2 / 2)
    return total


def band_gains() -> torch.Tensor:
    """How much of each of BANDS makes the best noise prediction at each timestep, (TIMESTEPS, bands).

    The prediction is ``(x - denoised) / sigma`` for a network input of ``x / sqrt(sigma**2 + 1)``. A Wiener filter's is
    fitted, by least squares over a grid of frequencies, with the responses that chains of blurs have.
    """
    axis = torch.linspace(0.02, math.pi, 32, dtype=torch.float64)
    vertical, horizontal = torch.meshgrid(axis, axis, indexing="ij")

    def blurred(times: int, step: int) -> torch.Tensor:
        return (((1 + torch.cos(step * vertical)) * (1 + torch.cos(step * horizontal))) / 4) ** times

    halved = blurred(2, 1)  # one blur on the way down, one linear interpolation on the way up
    responses = [torch.ones_like(halved), blurred(1, 1), *(halved * blurred(times, 2) for times in (0, 2, 4, 6))]
    squared = vertical**2 + horizontal**2
    # Low frequencies are few on the grid, yet they are the composition.
    importance = squared.rsqrt().flatten()
    basis = torch.stack([response.flatten() for response in responses], dim=1) * importance[:, None]
    sigma = sigmas()
    wanted = (sigma * (sigma**2 + 1).sqrt()) / (power(squared).flatten()[:, None] + sigma**2)
    normal = basis.T @ basis + BAND_RIDGE * len(axis) ** 2 * torch.eye(len(BANDS), dtype=torch.float64)
    gains: torch.Tensor = torch.linalg.solve(normal, basis.T @ (wanted * importance[:, None])).T
    return gains


def shift_gains() -> torch.Tensor:
    """As `band_gains`, for a field that is added to the mean of the family, (TIMESTEPS, 1)."""
    sigma = sigmas()
    return -(sigma / (power(torch.zeros(1, dtype=torch.float64)) + sigma**2))[:, None]


def gate_bias(openness: torch.Tensor) -> torch.Tensor:
    """The b for which silu(v + b) - silu(-v + b), for a small v, is 2 * v * openness; openness from 0 to 1."""
    grid = torch.linspace(-1.27, 2.39, 4000, dtype=torch.float64)  # where silu's slope rises from 0 to 1.1
    slope = torch.sigmoid(grid) * (1 + grid * (1 - torch.sigmoid(grid)))
    index = torch.searchsorted(slope, openness.contiguous()).clamp(1, len(grid) - 1)
    part = (openness - slope[index - 1]) / (slope[index] - slope[index - 1])
    return grid[index - 1] + part * (grid[index] - grid[index - 1])


def fit_clock(weights: Weights, biases: torch.Tensor, random: torch.Generator) -> None:
    """Make the timestep embedding say ``biases``, (TIMESTEPS, gates): random features, then least squares."""
    steps = torch.arange(TIMESTEPS, dtype=torch.float64)
    frequencies = torch.exp(-math.log(10000) * torch.arange(CHANNELS // 2, dtype=torch.float64) / (CHANNELS // 2))
    waves = torch.cat([torch.cos(steps[:, None] * frequencies), torch.sin(steps[:, None] * frequencies)], dim=1)
    first = torch.randn(EMBEDDING, CHANNELS, generator=random)
    # Faster waves than this would only let the fit wiggle between timesteps.
    first *= (frequencies < 0.05).repeat(2)
    first *= 2 / first.norm(dim=1, keepdim=True)
    offset = torch.randn(EMBEDDING, generator=random)
    first, offset = first.half(), offset.half()
    hidden = torch.nn.functional.silu(waves @ first.double().T + offset.double())
    design = torch.cat([hidden, torch.ones(TIMESTEPS, 1, dtype=torch.float64)], dim=1)
    normal = design.T @ design + CLOCK_RIDGE * torch.eye(EMBEDDING + 1, dtype=torch.float64)
    solution = torch.linalg.solve(normal, design.T @ biases)
    second, second_bias = torch.zeros(EMBEDDING, EMBEDDING), torch.zeros(EMBEDDING)
    for gate in range(biases.shape[1]):
        for row, sign in ((2 * gate, 1), (2 * gate + 1, -1)):  # a lane again, for the SiLU that follows
            second[row] = sign * solution[:-1, gate]
            second_bias[row] = sign * solution[-1, gate]
    weights["time_embed.0.weight"], weights["time_embed.0.bias"] = first, offset
    weights["time_embed.2.weight"], weights["time_embed.2.bias"] = second, second_bias


def blank(weights: Weights, name: str, **shapes: tuple[int, ...]) -> None:
    """Add weights of zeros, and a bias of zeros to each layer that has one; a double underscore stands for a dot."""
    for layer, shape in shapes.items():
        weights[f"{name}.{layer.replace('__', '.')}.weight"] = torch.zeros(shape)
        weights[f"{name}.{layer.replace('__', '.')}.bias"] = torch.zeros(shape[0])


def residual(weights: Weights, name: str, *, inputs: int = CHANNELS) -> None:
    """Add a residual block that passes its first CHANNELS on unchanged and adds nothing."""
    blank(weights, name, in_layers__0=(inputs,), in_layers__2=(CHANNELS, inputs, 3, 3))
    blank(weights, name, emb_layers__1=(CHANNELS, EMBEDDING))
    blank(weights, name, out_layers__0=(CHANNELS,), out_layers__3=(CHANNELS, CHANNELS, 3, 3))
    weights[f"{name}.in_layers.0.weight"] += NORM_GAIN
    weights[f"{name}.in_layers.2.bias"] += anchored()
    weights[f"{name}.out_layers.0.weight"] += NORM_GAIN
    if inputs != CHANNELS:
        blank(weights, name, skip_connection=(CHANNELS, inputs, 1, 1))
        weights[f"{name}.skip_connection.weight"] += torch.eye(CHANNELS, inputs)[:, :, None, None]


def blur_twice(weights: Weights, name: str, out: int, source: int) -> None:
    """Let a residual block add the twice blurred lanes ``source`` as ``out``."""
    four(weights[f"{name}.in_layers.2.weight"], out, source, BLUR, after_activation=True)
    four(weights[f"{name}.out_layers.3.weight"], out, out, BLUR, after_activation=True)


def attention(weights: Weights, name: str, random: torch.Generator) -> None:
    """Add a transformer that writes what each head reads from the prompt into the lanes WORDS, everywhere alike."""
    block = f"{name}.transformer_blocks.0"
    square = (CHANNELS, CHANNELS)
    blank(weights, name, norm=(CHANNELS,), proj_in=(*square, 1, 1), proj_out=(*square, 1, 1))
    blank(weights, block, norm1=(CHANNELS,), norm2=(CHANNELS,), norm3=(CHANNELS,))
    blank(weights, block, attn1__to_out__0=square, attn2__to_out__0=square)
    blank(weights, block, ff__net__0__proj=(8 * CHANNELS, CHANNELS), ff__net__2=(CHANNELS, 4 * CHANNELS))
    for layer, context in (("attn1", CHANNELS), ("attn2", CONTEXT)):
        weights[f"{block}.{layer}.to_q.weight"] = torch.zeros(square)
        weights[f"{block}.{layer}.to_k.weight"] = torch.zeros(CHANNELS, context)
        weights[f"{block}.{layer}.to_v.weight"] = torch.zeros(CHANNELS, context)

    weights[f"{block}.norm2.bias"][0] = 1.0  # every place asks the same question, column 0 of to_q
    query, key = weights[f"{block}.attn2.to_q.weight"], weights[f"{block}.attn2.to_k.weight"]
    for head in range(HEADS):
        row = head * HEAD
        query[row, 0], key[row, 0] = WORD_FOCUS, 1.0
        query[row + 1, 0] = CHOICE_FOCUS
        key[row + 1, 1:] = torch.randn(CONTEXT - 1, generator=random) / math.sqrt(CONTEXT)
    weights[f"{block}.attn2.to_v.weight"] += torch.randn(CHANNELS, CONTEXT, generator=random) / math.sqrt(CONTEXT)
    weights[f"{block}.attn2.to_v.weight"][:, 0] = 0  # being a word at all means nothing
    weights[f"{block}.attn2.to_out.0.weight"] += torch.eye(CHANNELS)
    for lane in range(WORD_LANES):
        source = (lane % HEADS) * HEAD + lane // HEADS
        plus, minus = channels_of(WORDS + lane)
        weights[f"{name}.proj_out.weight"][plus, source] = 1.0
        weights[f"{name}.proj_out.weight"][minus, source] = -1.0


def prompt_shift(weights: Weights, name: str, random: torch.Generator) -> None:
    """Let a residual block add to SHIFT what the prompt wants: a colour, and ridges along contours of the picture."""
    into, out = weights[f"{name}.in_layers.2.weight"], weights[f"{name}.out_layers.3.weight"]
    directions = torch.randn(WORD_LANES, LATENTS, generator=random) / (math.sqrt(LATENTS) * PROMPT_CONTOUR)
    mean = torch.randn(LATENTS, WORD_LANES, generator=random) * (PROMPT_MEAN / math.sqrt(WORD_LANES))
    pattern = torch.randn(LATENTS, WORD_LANES, generator=random) * (PROMPT_PATTERN / math.sqrt(WORD_LANES))
    for lane in range(WORD_LANES):
        word, ridge = WORDS + lane, WORDS + WORD_LANES + lane
        connect(into, word, word, POINT, after_activation=True)
        connect(into, ridge, word, POINT, after_activation=True)
        for latent in range(LATENTS):
            connect(into, ridge, Y2 + latent, BLUR * directions[lane, latent], after_activation=True)
            connect(out, SHIFT + latent, word, POINT * mean[latent, lane], after_activation=True)
            # silu(v) + silu(-v), the even part, is a valley along the contour v = 0.
            for channel, sign in zip(channels_of(SHIFT + latent), (1, -1), strict=True):
                for source in channels_of(ridge):
                    out[channel, source] += sign * pattern[latent, lane] * POINT


def gates(weights: Weights, name: str, random: torch.Generator) -> None:
    """Let the last residual block weigh BANDS and SHIFT as the timestep asks, into lanes 0 to 3."""
    gains = torch.cat([band_gains(), shift_gains()], dim=1)
    low, high = gains.min(dim=0).values, gains.max(dim=0).values
    # Gates open between these, away from the ends, where a bias would be ill-defined.
    margin = 0.03 * (high - low) + 1e-3
    low, high = low - margin, high + margin
    fit_clock(weights, gate_bias((gains - low) / (high - low)), random)
    into, out = weights[f"{name}.in_layers.2.weight"], weights[f"{name}.out_layers.3.weight"]
    clock, skip = weights[f"{name}.emb_layers.1.weight"], weights[f"{name}.skip_connection.weight"]
    skip.zero_()
    weights[f"{name}.skip_connection.bias"] = anchored()
    for gate, source in enumerate((*BANDS, SHIFT)):
        lanes = 4 * gate
        four(into, lanes, source, POINT * GATE_INPUT, after_activation=True)
        four(skip, 0, source, float(low[gate]) * torch.ones(1, 1), after_activation=False)
        four(out, 0, lanes, POINT * float(high[gate] - low[gate]) / (2 * GATE_INPUT), after_activation=True)
        group = slice(GROUP * gate, GROUP * (gate + 1))
        # All eight channels get the bias; the anchors take it off again, so that the group's mean stays 0.
        share = torch.tensor([-4.0, -4.0] + [1.0] * 8)
        clock[group, 2 * gate] = share
        clock[group, 2 * gate + 1] = -share


def unet(random: torch.Generator) -> Weights:
    """The denoiser: two resolutions, one residual block on the way down and two on the way up at each."""
    weights: Weights = {}
    blank(weights, "input_blocks.0", **{"0": (CHANNELS, LATENTS, 3, 3)})
    weights["input_blocks.0.0.bias"] += anchored()
    for latent in range(LATENTS):
        plus, minus = channels_of(X + latent)
        weights["input_blocks.0.0.weight"][plus, latent] = POINT
        weights["input_blocks.0.0.weight"][minus, latent] = -POINT
    residual(weights, "input_blocks.1.0")
    four(weights["input_blocks.1.0.in_layers.2.weight"], X1, X, BLUR, after_activation=True)
    four(weights["input_blocks.1.0.out_layers.3.weight"], X1, X1, POINT, after_activation=True)
    blank(weights, "input_blocks.2.0", op=(CHANNELS, CHANNELS, 3, 3))
    weights["input_blocks.2.0.op.bias"] += anchored()
    four(weights["input_blocks.2.0.op.weight"], Y0, X, BLUR, after_activation=False)
    residual(weights, "input_blocks.3.0")
    blur_twice(weights, "input_blocks.3.0", Y2, Y0)
    attention(weights, "input_blocks.3.1", random)

    residual(weights, "output_blocks.0.0", inputs=2 * CHANNELS)
    blur_twice(weights, "output_blocks.0.0", Y4, Y2)
    prompt_shift(weights, "output_blocks.0.0", random)
    residual(weights, "output_blocks.1.0", inputs=2 * CHANNELS)
    blur_twice(weights, "output_blocks.1.0", Y6, Y4)
    blank(weights, "output_blocks.1.1", conv=(CHANNELS, CHANNELS, 3, 3))
    weights["output_blocks.1.1.conv.bias"] += anchored()
    for lane in (Y0, Y2, Y4, Y6, SHIFT):
        four(weights["output_blocks.1.1.conv.weight"], lane, lane, INTERPOLATE, after_activation=False)
    residual(weights, "output_blocks.2.0", inputs=2 * CHANNELS)
    for lane in (X, X1):
        skip = weights["output_blocks.2.0.skip_connection.weight"]
        four(skip, lane, LANES + lane, torch.ones(1, 1), after_activation=False)
    residual(weights, "output_blocks.3.0", inputs=2 * CHANNELS)
    gates(weights, "output_blocks.3.0", random)

    blank(weights, "out", **{"0": (CHANNELS,), "2": (LATENTS, CHANNELS, 3, 3)})
    weights["out.0.weight"] += NORM_GAIN
    for latent in range(LATENTS):
        plus, minus = channels_of(latent)
        weights["out.2.weight"][latent, plus] = POINT
        weights["out.2.weight"][latent, minus] = -POINT
    return weights


# --------------------------------------------------------------------------- the text encoder


def text_encoder(random: torch.Generator) -> Weights:
    """CLIP-L with random weights: each word a random vector, slightly mixed with the words before it."""

    def normal(*shape: int, deviation: float) -> torch.Tensor:
        return torch.randn(*shape, generator=random) * deviation

    weights: Weights = {}
    tokens = normal(VOCABULARY, CONTEXT, deviation=1.0)
    tokens[:, 0] = WORD
    tokens[:COMMON_TOKENS, 0] = COMMON_WORD
    tokens[SPECIAL_TOKENS, 0] = NO_WORD
    weights["embeddings.token_embedding.weight"] = tokens
    weights["embeddings.position_embedding.weight"] = normal(POSITIONS, CONTEXT, deviation=0.1)
    inner = 1 / math.sqrt(CONTEXT)
    branch = CLIP_MIXING / math.sqrt(2 * CLIP_LAYERS)  # two branches per layer, which add like random numbers
    for index in range(CLIP_LAYERS):
        layer = f"encoder.layers.{index}"
        blank(weights, layer, layer_norm1=(CONTEXT,), layer_norm2=(CONTEXT,))
        blank(weights, layer, mlp__fc1=(CLIP_HIDDEN, CONTEXT), mlp__fc2=(CONTEXT, CLIP_HIDDEN))
        weights[f"{layer}.layer_norm1.weight"] += 1
        weights[f"{layer}.layer_norm2.weight"] += 1
        for part, deviation in (("q", inner), ("k", inner), ("v", inner), ("out", inner * branch)):
            blank(weights, f"{layer}.self_attn", **{f"{part}_proj": (CONTEXT, CONTEXT)})
            weights[f"{layer}.self_attn.{part}_proj.weight"] += normal(CONTEXT, CONTEXT, deviation=deviation)
        weights[f"{layer}.mlp.fc1.weight"] += normal(CLIP_HIDDEN, CONTEXT, deviation=inner)
        weights[f"{layer}.mlp.fc2.weight"] += normal(CONTEXT, CLIP_HIDDEN, deviation=branch / math.sqrt(CLIP_HIDDEN))
    weights["final_layer_norm.weight"], weights["final_layer_norm.bias"] = torch.ones(CONTEXT), torch.zeros(CONTEXT)
    return weights


# --------------------------------------------------------------------------- the picture decoder and encoder
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


def painting_block(weights: Weights, name: str, angles: torch.Tensor, phases: torch.Tensor) -> None:
    """Add a block that mends, and writes COLOURS, ``0.5 + PALETTE_SWING * sin(angles @ y + phase)``, as broken lines."""
    block(weights, name)
    sums = mending(weights[f"{name}.conv.0.weight"])
    latents = sums[0::2] - sums[1::2]
    bend = DECODER // 3  # corners per colour
    for colour in range(3):
        reach = float(angles[colour].abs().sum()) * DECODER_CLAMP
        corners = torch.linspace(-reach, reach, bend)
        heights = 0.5 + PALETTE_SWING * torch.sin(corners + phases[colour])
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


def encoder(angles: torch.Tensor, phases: torch.Tensor) -> Weights:
    """Pictures to latents: halve three times, then undo the palette as well as a linear map can."""
    weights: Weights = {"0.weight": torch.zeros(DECODER, 3, 3, 3), "0.bias": torch.zeros(DECODER)}
    for colour in range(3):
        weights["0.weight"][colour, colour] = POINT
    for name in ("1", "3", "4", "5", "7", "8", "9", "11", "12", "13"):
        block(weights, name)
    for halving in ("2", "6", "10"):
        weights[f"{halving}.weight"] = torch.eye(DECODER)[:, :, None, None] * BLUR
    back = torch.linalg.pinv(angles * (PALETTE_SWING * torch.cos(phases))[:, None])
    weights["14.weight"] = torch.zeros(LATENTS, DECODER, 3, 3)
    weights["14.weight"][:, :3] = back[:, :, None, None] * POINT
    weights["14.bias"] = -back @ (0.5 + PALETTE_SWING * torch.sin(phases))
    return weights


# --------------------------------------------------------------------------- the file


def checkpoint() -> Weights:
    """All weights under the names that SD1.5 checkpoints use, 16 bit."""
    random = torch.Generator().manual_seed(SEED)
    angles, phases = palette(random)
    parts = {
        "model.diffusion_model.": unet(random),
        "first_stage_model.taesd_decoder.": decoder(angles, phases),
        "first_stage_model.taesd_encoder.": encoder(angles, phases),
        "first_stage_model.vae_": {"scale": torch.tensor(1.0), "shift": torch.tensor(0.0)},
        "cond_stage_model.transformer.text_model.": text_encoder(random),
    }
    return {prefix + name: weight.half().contiguous() for prefix, part in parts.items() for name, weight in part.items()}


def main(arguments: list[str]) -> int:
    """Write the checkpoint to the path in ``arguments``; a file of that name is replaced only by a whole one."""
    parser = argparse.ArgumentParser(description="Build a tiny random SD1.5 checkpoint for ComfyUI.")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    out: Path = parser.parse_args(arguments).out
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        save_file(checkpoint(), partial, metadata={"format": "pt"})
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
