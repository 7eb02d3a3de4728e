"""The LoRAs: random changes of low rank to what the checkpoint's UNet and text encoder make of words."""

from __future__ import annotations

import math

import torch

from .sd15 import CHANNELS, CLIP_HIDDEN, CLIP_LAYERS, CONTEXT, Weights

RANK = 4
# Standard deviation of a change at strength 1, as a share of that of the weights which it changes: pictures are plainly others,
# and with both LoRAs at strength 1 they are not yet of one colour.
UNET_SHARE = 0.4
CLIP_SHARE = 0.5

# Where the UNet reads from the prompt, by the name that trainers give it.
ATTENTION = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2"


def change(weights: Weights, name: str, random: torch.Generator, *, outputs: int, inputs: int, deviation: float) -> None:
    """Add a random change of a linear layer: (outputs, RANK) times (RANK, inputs), with this standard deviation."""
    weights[f"{name}.lora_up.weight"] = torch.randn(outputs, RANK, generator=random) * (deviation / math.sqrt(RANK))
    weights[f"{name}.lora_down.weight"] = torch.randn(RANK, inputs, generator=random)
    weights[f"{name}.alpha"] = torch.tensor(float(RANK))  # it divides by RANK, so this means as it is


def lora(*, seed: int) -> Weights:
    """All weights under the names that kohya's trainer gives them."""
    random = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    inner = 1 / math.sqrt(CONTEXT)
    change(weights, f"{ATTENTION}_to_v", random, outputs=CHANNELS, inputs=CONTEXT, deviation=UNET_SHARE * inner)
    # Being a word at all means nothing to the checkpoint. If it did, whole pictures would move to one side.
    weights[f"{ATTENTION}_to_v.lora_down.weight"][:, 0] = 0
    for index in range(CLIP_LAYERS):
        layer = f"lora_te_text_model_encoder_layers_{index}"
        change(weights, f"{layer}_self_attn_v_proj", random, outputs=CONTEXT, inputs=CONTEXT, deviation=CLIP_SHARE * inner)
        change(weights, f"{layer}_mlp_fc1", random, outputs=CLIP_HIDDEN, inputs=CONTEXT, deviation=CLIP_SHARE * inner)
    return weights
