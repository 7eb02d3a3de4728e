"""Files of users, made here: a graph as people export it, in JSON and in pictures, and a workflow as the page saves it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

CHECKPOINT = "tiny-random-sd15.safetensors"


def graph(**changes: Any) -> dict[str, Any]:
    """Return a graph of one pass with the picture enlarged behind it, small enough for the stand-in.

    Args:
        changes: Of the sampler's inputs.
    """
    sampler = {"seed": 7, "steps": 2, "cfg": 5.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 1}
    links = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    return {
        "3": {"class_type": "KSampler", "inputs": {**links, **sampler, **changes}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 128, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red fox, {{snow}}", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "10": {
            "class_type": "ImageScaleToTotalPixels",
            "inputs": {"image": ["8", 0], "upscale_method": "area", "megapixels": 0.02},
        },
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["10", 0]}},
    }


def page_workflow() -> dict[str, Any]:
    """Return a workflow as ComfyUI's page saves it: an empty image that is saved."""
    return {
        "last_node_id": 2,
        "last_link_id": 1,
        "nodes": [
            {
                "id": 1,
                "type": "EmptyImage",
                "mode": 0,
                "order": 0,
                "inputs": [],
                "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
                "widgets_values": [64, 32, 1, 255],
            },
            {
                "id": 2,
                "type": "SaveImage",
                "mode": 0,
                "order": 1,
                "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
                "outputs": [],
                "widgets_values": ["blue"],
            },
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "version": 0.4,
    }


def json_file(path: Path, value: object) -> Path:
    """Write a value as JSON, and return the file."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def picture(path: Path, texts: Mapping[str, object], *, size: tuple[int, int] = (64, 128)) -> Path:
    """Write a PNG with texts beside it, those that are no text as JSON, and return the file."""
    chunks = PngInfo()
    for name, text in texts.items():
        chunks.add_text(name, text if isinstance(text, str) else json.dumps(text))
    Image.new("RGB", size).save(path, pnginfo=chunks)
    return path
