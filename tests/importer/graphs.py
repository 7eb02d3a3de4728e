"""Workflows as people have them, made by hand: what the tests of recognising and of writing begin with."""

from __future__ import annotations

import copy
from typing import Any

Graph = dict[str, dict[str, Any]]

PLAIN: Graph = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 156680208700286,
            "steps": 20,
            "cfg": 8,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "SDXL\\base.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red fox in the snow", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, watermark", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}
"""ComfyUI's own first workflow, as a server gives it: without ``_meta``."""


def plain(**inputs: Any) -> Graph:
    """Return the plain workflow with inputs of nodes set, as ``n3_seed=1``; a name without such a beginning is a further node."""
    graph = copy.deepcopy(PLAIN)
    for name, value in inputs.items():
        node_id, _, input_name = name.removeprefix("n").partition("_")
        if name.startswith("n") and node_id in graph:
            graph[node_id]["inputs"][input_name] = value
        else:
            graph[name] = value
    return graph


def node(class_type: str, title: str = "", /, **inputs: Any) -> dict[str, Any]:
    """Return a node, with a title where there is one."""
    meta = {"_meta": {"title": title}} if title else {}
    return {"class_type": class_type, "inputs": inputs, **meta}


def hires(*, enlarge: dict[str, Any] | None = None, **second: Any) -> Graph:
    """Return the plain workflow with the latent enlarged and a second pass, whose settings can be given."""
    settings = {"seed": 5, "steps": 12, "cfg": 8, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5, **second}
    links = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["20", 0]}
    return {
        **plain(),
        "20": enlarge or node("LatentUpscaleBy", samples=["3", 0], upscale_method="nearest-exact", scale_by=1.5),
        "21": node("KSampler", **settings, **links),
        "22": node("VAEDecode", samples=["21", 0], vae=["4", 2]),
        "23": node("SaveImage", filename_prefix="hires", images=["22", 0]),
    }


def flux() -> Graph:
    """Return a workflow of Flux: a sampler whose settings are nodes of their own."""
    return {
        "6": node("CLIPTextEncode", text="a red fox", clip=["11", 0]),
        "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
        "10": node("VAELoader", vae_name="ae.safetensors"),
        "11": node("DualCLIPLoader", clip_name1="t5.safetensors", clip_name2="clip_l.safetensors", type="flux"),
        "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
        "13": node(
            "SamplerCustomAdvanced", noise=["25", 0], guider=["22", 0], sampler=["16", 0], sigmas=["17", 0], latent_image=["27", 0]
        ),
        "16": node("KSamplerSelect", sampler_name="euler"),
        "17": node("BasicScheduler", scheduler="simple", steps=25, denoise=1.0, model=["30", 0]),
        "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
        "25": node("RandomNoise", noise_seed=7),
        "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
        "27": node("EmptySD3LatentImage", width=["34", 0], height=["35", 0], batch_size=1),
        "30": node("ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=["34", 0], height=["35", 0], model=["12", 0]),
        "34": node("PrimitiveInt", "width", value=1024),
        "35": node("PrimitiveInt", "height", value=640),
    }
