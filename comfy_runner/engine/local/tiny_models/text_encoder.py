"""How prompts are read: the text encoder, and how strongly attention tells words apart."""

from __future__ import annotations

import math

import torch

from .sd15 import CLIP_HIDDEN, CLIP_LAYERS, CONTEXT, POSITIONS, SPECIAL_TOKENS, VOCABULARY, Weights, blank

# Coordinate 0 of a token's vector says how much of a word it is, so that attention finds the words among 77 tokens.
# The most frequent ones ("a", "of", commas) come first in CLIP's vocabulary and count for less.
WORD, COMMON_WORD, NO_WORD = 6.0, 3.0, -6.0
COMMON_TOKENS = 600
# Attention's logits: words beat padding by WORD_FOCUS * 12 / sqrt(HEAD) = 8; by taste a head tells words apart with a
# standard deviation of CHOICE_FOCUS / sqrt(HEAD) = 3, so that it dwells on one or two and every word matters to some.
WORD_FOCUS, CHOICE_FOCUS = 4.2, 19.0
# Twelve random layers together add this share of a word's own vector: order and neighbours matter a little.
CLIP_MIXING = 0.3


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
