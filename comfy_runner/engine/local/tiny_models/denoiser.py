"""The UNet: a Wiener filter for smooth random fields, moved by the prompt."""

from __future__ import annotations

import math

import torch

from .layers import (
    BLUR,
    CHANNELS,
    CONTEXT,
    GROUP,
    INTERPOLATE,
    LANES,
    LATENTS,
    NORM_GAIN,
    POINT,
    Weights,
    anchored,
    blank,
    channels_of,
    connect,
    enter,
    four,
)

EMBEDDING = 4 * CHANNELS
HEADS = 8
HEAD = CHANNELS // HEADS
TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012  # of the noise schedule, which is linear in the square root

# First of four lanes each, one per latent channel. Y0 to Y6: at half resolution, blurred that many times.
Y0, Y2, Y4, Y6, SHIFT, X, X1 = 0, 4, 8, 12, 16, 20, 24
BANDS = (X, X1, Y0, Y2, Y4, Y6)  # what the last block weighs and adds up
WORDS, WORD_LANES = 40, 40  # what attention read from the prompt: first lane, number of lanes

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

# Gates are straight for small inputs only, and 16-bit arithmetic on a GPU wants them not too small.
GATE_INPUT = 0.1
# Least squares with a little ridge: large weights that cancel would not survive 16 bits.
BAND_RIDGE = 1e-5
CLOCK_RIDGE = 1e-3

# Attention's logits: words beat padding by WORD_FOCUS * 12 / sqrt(HEAD) = 8; by taste a head tells words apart with a
# standard deviation of CHOICE_FOCUS / sqrt(HEAD) = 3, so that it dwells on one or two and every word matters to some.
WORD_FOCUS, CHOICE_FOCUS = 4.2, 19.0


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


def lowest_power() -> float:
    """P where all is of one colour."""
    return float(power(torch.zeros(1, dtype=torch.float64)))


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
    both = torch.stack([solution, -solution], dim=2).flatten(1).T  # lanes again, for the SiLU that follows
    weights["time_embed.0.weight"], weights["time_embed.0.bias"] = first, offset
    blank(weights, "time_embed", **{"2": (EMBEDDING, EMBEDDING)})
    weights["time_embed.2.weight"][: len(both)], weights["time_embed.2.bias"][: len(both)] = both[:, :-1], both[:, -1]


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
    four(weights[f"{name}.in_layers.2.weight"], out, source, BLUR)
    four(weights[f"{name}.out_layers.3.weight"], out, out, BLUR)


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
        enter(weights[f"{name}.proj_out.weight"], WORDS + lane, (lane % HEADS) * HEAD + lane // HEADS, 1.0)


def prompt_shift(weights: Weights, name: str, random: torch.Generator) -> None:
    """Let a residual block add to SHIFT what the prompt wants: a colour, and ridges along contours of the picture."""
    into, out = weights[f"{name}.in_layers.2.weight"], weights[f"{name}.out_layers.3.weight"]
    directions = torch.randn(WORD_LANES, LATENTS, generator=random) / (math.sqrt(LATENTS) * PROMPT_CONTOUR)
    mean = torch.randn(LATENTS, WORD_LANES, generator=random) * (PROMPT_MEAN / math.sqrt(WORD_LANES))
    pattern = torch.randn(LATENTS, WORD_LANES, generator=random) * (PROMPT_PATTERN / math.sqrt(WORD_LANES))
    for lane in range(WORD_LANES):
        word, ridge = WORDS + lane, WORDS + WORD_LANES + lane
        connect(into, word, word, POINT)
        connect(into, ridge, word, POINT)
        for latent in range(LATENTS):
            connect(into, ridge, Y2 + latent, BLUR * directions[lane, latent])
            connect(out, SHIFT + latent, word, POINT * mean[latent, lane])
            # silu(v) + silu(-v), the even part, is a valley along the contour v = 0.
            for source in channels_of(ridge):
                enter(out, SHIFT + latent, source, pattern[latent, lane] * POINT)


def gates(
    weights: Weights, name: str, sources: tuple[int, ...], gains: torch.Tensor, random: torch.Generator, *, out: int
) -> list[float]:
    """Let a residual block add to four lanes what others hold, each weighed as the timestep asks.

    Args:
        weights: Where the block is; the timestep embedding is made for this block alone.
        name: Which block.
        sources: First of four lanes each.
        gains: (TIMESTEPS, sources).
        random: For `fit_clock`.
        out: First of the four lanes.

    Returns:
        What each gain is more than what the block weighs its source with, at any timestep.
    """
    low, high = gains.min(dim=0).values, gains.max(dim=0).values
    # Gates open between these, away from the ends, where a bias would be ill-defined.
    margin = 0.03 * (high - low) + 1e-3
    low, high = low - margin, high + margin
    fit_clock(weights, gate_bias((gains - low) / (high - low)), random)
    into, onto = weights[f"{name}.in_layers.2.weight"], weights[f"{name}.out_layers.3.weight"]
    clock = weights[f"{name}.emb_layers.1.weight"]
    for gate, source in enumerate(sources):
        lanes = 4 * gate
        four(into, lanes, source, POINT * GATE_INPUT)
        four(onto, out, lanes, POINT * float(high[gate] - low[gate]) / (2 * GATE_INPUT))
        group = slice(GROUP * gate, GROUP * (gate + 1))
        # All eight channels get the bias; the anchors take it off again, so that the group's mean stays 0.
        share = torch.tensor([-4.0, -4.0] + [1.0] * 8)
        clock[group, 2 * gate] = share
        clock[group, 2 * gate + 1] = -share
    return [float(gain) for gain in low]


def prediction(weights: Weights, name: str, random: torch.Generator) -> None:
    """Let the last residual block weigh BANDS and SHIFT as the timestep asks, into lanes 0 to 3."""
    sigma = sigmas()
    # As `band_gains`, for a field that is added to the mean of the family.
    shift_gains = -(sigma / (lowest_power() + sigma**2))[:, None]
    sources, gains = (*BANDS, SHIFT), torch.cat([band_gains(), shift_gains], dim=1)
    skip = weights[f"{name}.skip_connection.weight"]
    skip.zero_()
    weights[f"{name}.skip_connection.bias"] = anchored()
    for source, gain in zip(sources, gates(weights, name, sources, gains, random, out=0), strict=True):
        four(skip, 0, source, gain, after_activation=False)


def unet(random: torch.Generator) -> Weights:
    """The denoiser: two resolutions, one residual block on the way down and two on the way up at each."""
    weights: Weights = {}
    blank(weights, "input_blocks.0", **{"0": (CHANNELS, LATENTS, 3, 3)})
    weights["input_blocks.0.0.bias"] += anchored()
    for latent in range(LATENTS):
        enter(weights["input_blocks.0.0.weight"], X + latent, latent, POINT)
    residual(weights, "input_blocks.1.0")
    four(weights["input_blocks.1.0.in_layers.2.weight"], X1, X, BLUR)
    four(weights["input_blocks.1.0.out_layers.3.weight"], X1, X1, POINT)
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
        four(weights["output_blocks.2.0.skip_connection.weight"], lane, LANES + lane, 1.0, after_activation=False)
    residual(weights, "output_blocks.3.0", inputs=2 * CHANNELS)
    prediction(weights, "output_blocks.3.0", random)

    blank(weights, "out", **{"0": (CHANNELS,), "2": (LATENTS, CHANNELS, 3, 3)})
    weights["out.0.weight"] += NORM_GAIN
    for latent in range(LATENTS):
        enter(weights["out.2.weight"].transpose(0, 1), latent, latent, POINT)
    return weights
