"""The node classes that the stand-in knows: those recorded from a real server, with the state's own lists of models."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

_RECORDED = Path(__file__).parent.parent / "data" / "object_info.json"

# The input that lists a folder of models, and the folder.
_MODEL_INPUTS = {"ckpt_name": "checkpoints", "vae_name": "vae", "lora_name": "loras"}

_EMPTY_IMAGE = {
    "input": {
        "required": {
            "width": ["INT", {"default": 512, "min": 1, "max": 16384}],
            "height": ["INT", {"default": 512, "min": 1, "max": 16384}],
            "batch_size": ["INT", {"default": 1, "min": 1, "max": 4096}],
            "color": ["INT", {"default": 0, "min": 0, "max": 0xFFFFFF}],
        }
    },
    "output": ["IMAGE"],
    "output_node": False,
}

_VAE_DECODE_TILED = {
    "input": {
        "required": {
            "samples": ["LATENT"],
            "vae": ["VAE"],
            "tile_size": ["INT", {"default": 512, "min": 64, "max": 4096, "step": 32}],
            "overlap": ["INT", {"default": 64, "min": 0, "max": 4096, "step": 32}],
            "temporal_size": ["INT", {"default": 64, "min": 8, "max": 4096, "step": 4}],
            "temporal_overlap": ["INT", {"default": 8, "min": 4, "max": 4096, "step": 4}],
        }
    },
    "output": ["IMAGE"],
    "output_node": False,
}


def object_info(models: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the answer of ``/object_info`` of a server with these models by folder."""
    found = copy.deepcopy(_classes())
    for info in found.values():
        for inputs in info["input"].values():
            for name, spec in inputs.items():
                if name in _MODEL_INPUTS and isinstance(spec, list) and isinstance(spec[0], list):
                    spec[0] = list(models.get(_MODEL_INPUTS[name], ()))
    return found


@cache
def _classes() -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(_RECORDED.read_text(encoding="utf-8"))
    # The smallest graph that saves a picture needs the one, a large picture the other.
    return {"EmptyImage": _EMPTY_IMAGE, "VAEDecodeTiled": _VAE_DECODE_TILED, **recorded}
