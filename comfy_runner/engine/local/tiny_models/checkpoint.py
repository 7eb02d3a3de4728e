"""The checkpoint, put together under the names of an SD1.5 file, and what goes with it: how prompts are read, a VAE, LoRAs."""

from __future__ import annotations

import math
from functools import cache

import torch

from .denoiser import unet
from .layers import CHANNELS, CONTEXT, Weights, blank
from .picture_codec import decoder, encoder, palette

VOCABULARY, POSITIONS, CLIP_LAYERS, CLIP_HIDDEN = 49408, 77, 12, 3072
SPECIAL_TOKENS = [49406, 49407]  # start and end; the end also pads

SEED = 15
VAE_SEED = 16

# Coordinate 0 of a token's vector says how much of a word it is, so that attention finds the words among 77 tokens.
# The most frequent ones ("a", "of", commas) come first in CLIP's vocabulary and count for less.
WORD, COMMON_WORD, NO_WORD = 6.0, 3.0, -6.0
COMMON_TOKENS = 600
# Twelve random layers together add this share of a word's own vector: order and neighbours matter a little.
CLIP_MIXING = 0.3
CLIP_INNER = 1 / math.sqrt(CONTEXT)

RANK = 4
# Standard deviation of a LoRA's change at strength 1, as a share of that of the weights which it changes: pictures are plainly
# others, and with both LoRAs at strength 1 they are not yet of one colour.
UNET_SHARE = 0.4
CLIP_SHARE = 0.5
# Where the UNet reads from the prompt, by the name that trainers give it.
ATTENTION = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2"


def prefixed(parts: dict[str, Weights]) -> Weights:
    """All weights of some parts, with what each part's names begin with."""
    return {prefix + name: weight for prefix, part in parts.items() for name, weight in part.items()}


def autoencoder(random: torch.Generator) -> Weights:
    """All weights of a TAESD, with colours of its own, under the names that it has in a file of its own."""
    angles = palette(random)
    scaling = {"scale": torch.tensor(1.0), "shift": torch.tensor(0.0)}
    return prefixed({"taesd_decoder.": decoder(angles), "taesd_encoder.": encoder(angles), "vae_": scaling})


def vae() -> Weights:
    """A VAE whose colours follow the latents along other axes than the checkpoint's, so that it shows which was used."""
    return autoencoder(torch.Generator().manual_seed(VAE_SEED))


@cache
def checkpoint() -> Weights:
    """All weights under the names that SD1.5 checkpoints use."""
    random = torch.Generator().manual_seed(SEED)
    first_stage = autoencoder(random)
    return prefixed(
        {
            "model.diffusion_model.": unet(random),
            "first_stage_model.": first_stage,
            "cond_stage_model.transformer.text_model.": text_encoder(random),
        }
    )


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
    branch = CLIP_MIXING / math.sqrt(2 * CLIP_LAYERS)  # two branches per layer, which add like random numbers
    square = (CONTEXT, CONTEXT)
    layers = {
        "self_attn.q_proj": (square, CLIP_INNER),
        "self_attn.k_proj": (square, CLIP_INNER),
        "self_attn.v_proj": (square, CLIP_INNER),
        "self_attn.out_proj": (square, CLIP_INNER * branch),
        "mlp.fc1": ((CLIP_HIDDEN, CONTEXT), CLIP_INNER),
        "mlp.fc2": ((CONTEXT, CLIP_HIDDEN), branch / math.sqrt(CLIP_HIDDEN)),
    }
    for index in range(CLIP_LAYERS):
        for layer, (shape, deviation) in layers.items():
            blank(weights, f"encoder.layers.{index}", **{layer: shape})
            weights[f"encoder.layers.{index}.{layer}.weight"] += normal(*shape, deviation=deviation)
    for name in ("final_layer_norm", *(f"encoder.layers.{index}.layer_norm{n}" for index in range(CLIP_LAYERS) for n in (1, 2))):
        weights[f"{name}.weight"], weights[f"{name}.bias"] = torch.ones(CONTEXT), torch.zeros(CONTEXT)
    return weights


def lora(*, seed: int) -> Weights:
    """A LoRA, under the names of kohya's trainer: it changes what the UNet and the text encoder make of words."""
    random = torch.Generator().manual_seed(seed)
    weights: Weights = {}

    def change(name: str, outputs: int, inputs: int, share: float) -> None:
        weights[f"{name}.lora_up.weight"] = torch.randn(outputs, RANK, generator=random) * (share * CLIP_INNER / math.sqrt(RANK))
        weights[f"{name}.lora_down.weight"] = torch.randn(RANK, inputs, generator=random)
        weights[f"{name}.alpha"] = torch.tensor(float(RANK))  # it divides by RANK, so this means as it is

    change(f"{ATTENTION}_to_v", CHANNELS, CONTEXT, UNET_SHARE)
    # Being a word at all means nothing to the checkpoint. If it did, whole pictures would move to one side.
    weights[f"{ATTENTION}_to_v.lora_down.weight"][:, 0] = 0
    for index in range(CLIP_LAYERS):
        layer = f"lora_te_text_model_encoder_layers_{index}"
        change(f"{layer}_self_attn_v_proj", CONTEXT, CONTEXT, CLIP_SHARE)
        change(f"{layer}_mlp_fc1", CLIP_HIDDEN, CONTEXT, CLIP_SHARE)
    return weights
