"""The node classes that the stand-in knows: those recorded from a real server, with the state's own lists of models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.standin import partners
from tests.standin.newer import CLASSES

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

_SAVE_IMAGE_WEBSOCKET = {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True}

# As several packs have it: the same file again and again, whatever prefix the graph gives.
_SAVE_FIXED = {
    "input": {
        "required": {"images": ["IMAGE"], "filename": ["STRING", {"default": "out"}]},
        "optional": {"filename_prefix": ["STRING", {"default": ""}]},
    },
    "output": [],
    "output_node": True,
}

# Its lists prove nothing, for it judges its values itself, of which nothing is said here.
_SAVE_PICKED = {
    "input": {
        "required": {
            "images": ["IMAGE"],
            "filename_prefix": ["STRING", {"default": "x"}],
            "empty": [[]],
            "style": [["choose\u2026", "---"]],
            "film": [["a.mp4", "b.mp4"]],
        }
    },
    "output": [],
    "output_node": True,
}
JUDGED = frozenset({("SavePicked", "empty"), ("SavePicked", "style"), ("SavePicked", "film")})
"""The inputs of which the list is not looked at."""

# As several packs have it: bare names, whatever is there; `kind` says where the file is.
_SAVE_FILM = {
    "input": {
        "required": {"images": ["IMAGE"], "told": ["STRING", {"default": "film.mp4"}], "key": ["STRING", {"default": "video"}]},
        "optional": {"kind": ["STRING", {"default": "output"}], "filename_prefix": ["STRING", {"default": ""}]},
    },
    "output": [],
    "output_node": True,
}

# As VAESave and CheckpointSave do, it reports no file.
_SAVE_SILENTLY = {
    "input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}},
    "output": [],
    "output_node": True,
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


_LOAD_IMAGE_MASK = {
    "input": {"required": {"image": [[], {"image_upload": True}], "channel": [["alpha", "red", "green", "blue"]]}},
    "output": ["MASK"],
    "output_node": False,
}

_IMAGE_SCALE = {
    "input": {
        "required": {
            "image": ["IMAGE"],
            "upscale_method": [["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]],
            "width": ["INT", {"default": 512, "min": 0, "max": 16384, "step": 1}],
            "height": ["INT", {"default": 512, "min": 0, "max": 16384, "step": 1}],
            "crop": [["disabled", "center"]],
        }
    },
    "output": ["IMAGE"],
    "output_node": False,
}


def object_info(models: Mapping[str, Sequence[str]], files: Sequence[str] = (), *, newer: bool = False) -> dict[str, Any]:
    """Return the answer of ``/object_info`` of a server with these models by folder, and these files in its input folder."""
    found: dict[str, Any] = json.loads(_classes(newer))
    for info in found.values():
        for inputs in info["input"].values():
            for name, spec in inputs.items():
                if name in _MODEL_INPUTS and isinstance(spec, list) and isinstance(spec[0], list):
                    spec[0] = list(models.get(_MODEL_INPUTS[name], ()))
                if isinstance(spec, list) and len(spec) > 1 and spec[1].get("image_upload"):
                    spec[0] = list(files)
    return found


@cache
def _classes(newer: bool) -> str:
    """Return all classes as JSON, which is read anew five times as fast as a copy is made."""
    recorded: dict[str, Any] = json.loads(_RECORDED.read_text(encoding="utf-8"))
    # The smallest graph that saves a picture needs the one, a large picture the other.
    added = {
        "EmptyImage": _EMPTY_IMAGE,
        "SaveImageWebsocket": _SAVE_IMAGE_WEBSOCKET,
        "SaveFixed": _SAVE_FIXED,
        "SavePicked": _SAVE_PICKED,
        "SaveFilm": _SAVE_FILM,
        "SaveSilently": _SAVE_SILENTLY,
        "ImageScale": _IMAGE_SCALE,
        "LoadImageMask": _LOAD_IMAGE_MASK,
    }
    return json.dumps(
        {**added, "VAEDecodeTiled": _VAE_DECODE_TILED, **recorded, **({**CLASSES, **partners.CLASSES} if newer else {})}
    )
