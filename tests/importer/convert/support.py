"""What the tests of this folder share: small files of the page, and a server that has a few classes."""

from __future__ import annotations

from typing import Any

from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.importer.convert.convert import Converted, convert

MODEL, CLIP, VAE, LATENT, IMAGE = "MODEL", "CLIP", "VAE", "LATENT", "IMAGE"
_SAMPLERS = ["euler", "euler_ancestral", "dpmpp_2m"]


def class_(
    required: dict[str, Any], outputs: list[str], *, optional: dict[str, Any] | None = None, title: str = "", **more: Any
) -> dict[str, Any]:
    """Return a class as ``/object_info`` has it, with its inputs in the order in which they are given."""
    optional = optional or {}
    return {
        "input": {"required": required, "optional": optional},
        "input_order": {"required": list(required), "optional": list(optional)},
        "output": outputs,
        "display_name": title,
        "python_module": "nodes",
        **more,
    }


CLASSES: dict[str, Any] = {
    "CheckpointLoaderSimple": class_(
        {"ckpt_name": [["a.safetensors", "b.safetensors"]]}, [MODEL, CLIP, VAE], title="Load Checkpoint"
    ),
    "CLIPTextEncode": class_({"text": ["STRING", {"multiline": True, "dynamicPrompts": True}], "clip": [CLIP]}, ["CONDITIONING"]),
    "EmptyLatentImage": class_(
        {
            "width": ["INT", {"default": 512, "min": 16, "max": 16384, "step": 8}],
            "height": ["INT", {"default": 512, "min": 16, "max": 16384, "step": 8}],
            "batch_size": ["INT", {"default": 1, "min": 1, "max": 4096}],
        },
        [LATENT],
    ),
    "KSampler": class_(
        {
            "model": [MODEL],
            "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}],
            "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
            "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}],
            "sampler_name": [_SAMPLERS],
            "scheduler": [["normal", "karras"]],
            "positive": ["CONDITIONING"],
            "negative": ["CONDITIONING"],
            "latent_image": [LATENT],
            "denoise": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}],
        },
        [LATENT],
    ),
    "VAEDecode": class_({"samples": [LATENT], "vae": [VAE]}, [IMAGE]),
    "LoadImage": class_({"image": [["example.png"], {"image_upload": True}]}, [IMAGE, "MASK"]),
    "ImageScaleBy": class_(
        {
            "image": [IMAGE],
            "upscale_method": [["nearest-exact", "lanczos"]],
            "scale_by": ["FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0, "step": 0.01}],
        },
        [IMAGE],
    ),
    "LoraLoader": class_(
        {
            "model": [MODEL],
            "clip": [CLIP],
            "lora_name": [["a.safetensors"]],
            "strength_model": ["FLOAT", {"default": 1.0, "step": 0.01, "min": -100.0, "max": 100.0}],
            "strength_clip": ["FLOAT", {"default": 1.0, "step": 0.01, "min": -100.0, "max": 100.0}],
        },
        [MODEL, CLIP],
    ),
    "SaveImage": class_({"images": [IMAGE], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}, [], title="Save Image"),
}


def server(**more: Any) -> ObjectInfo:
    """Return what a server says that has these classes, and more of them by name."""
    return ObjectInfo({**CLASSES, **more}, source="http://server")


def node(id_: int, type_: str, values: Any = None, *, mode: int = 0, **more: Any) -> dict[str, Any]:
    """Return a node of the page; `more` are its inputs by name with the ids of their links, and what else it has."""
    kept: dict[str, Any] = {key: more.pop(key) for key in ("title", "properties", "outputs", "inputs") if key in more}
    inputs = [{"name": name, "type": "*", "link": link} for name, link in more.items()]
    values_ = {} if values is None else {"widgets_values": values}
    return {"id": id_, "type": type_, "mode": mode, "inputs": inputs, **values_, **kept}


def page(*nodes: dict[str, Any], links: list[Any], **more: Any) -> dict[str, Any]:
    """Return a file of the page."""
    return {"last_node_id": 99, "last_link_id": 99, "nodes": list(nodes), "links": links, "version": 0.4, **more}


def converted(ui: dict[str, Any], info: ObjectInfo | None = None) -> Converted:
    """Return a file of the page as it is converted for a server."""
    return convert(ui, info or server(), where="workflow.json")


def inputs(result: Converted, node_id: str) -> dict[str, Any]:
    """Return the inputs of a node of the result."""
    found: dict[str, Any] = result.graph[node_id]["inputs"]
    return found
