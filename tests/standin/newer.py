"""What ComfyUI has since 0.4 and 0.14: inputs that bring others, and classes put in the place of those that are gone.

The classes and the table are ComfyUI's own, as its routes tell them; what is done with them follows the server step by step.
"""

from __future__ import annotations

from typing import Any

_MATCH = {"template": {"template_id": "input_type", "allowed_types": "IMAGE,MASK"}}
_SIDE = ["INT", {"default": 512, "min": 0, "max": 16384, "step": 1}]
_CROP = ["COMBO", {"default": "center", "multiselect": False, "options": ["disabled", "center"]}]
_RESIZE_TYPES = {
    "scale dimensions": {"width": _SIDE, "height": _SIDE, "crop": _CROP},
    "scale by multiplier": {"multiplier": ["FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0, "step": 0.01}]},
    "scale longer dimension": {"longer_size": _SIDE},
    "match size": {"match": ["IMAGE,MASK", {}], "crop": _CROP},
}
_METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]

CLASSES: dict[str, Any] = {
    "ResizeImageMaskNode": {
        "input": {
            "required": {
                "input": ["COMFY_MATCHTYPE_V3", _MATCH],
                "resize_type": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {"options": [{"key": key, "inputs": {"required": inputs}} for key, inputs in _RESIZE_TYPES.items()]},
                ],
                "scale_method": ["COMBO", {"default": "area", "multiselect": False, "options": _METHODS}],
            }
        },
        "output": ["COMFY_MATCHTYPE_V3"],
        "output_node": False,
        "python_module": "comfy_extras.nodes_post_processing",
    },
    "BatchImagesNode": {
        "input": {
            "required": {
                "images": [
                    "COMFY_AUTOGROW_V3",
                    {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 50}},
                ]
            }
        },
        "output": ["IMAGE"],
        "output_node": False,
        "python_module": "comfy_extras.nodes_post_processing",
    },
}


def _entry(old: str, new: str, inputs: list[Any] | None = None, outputs: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    found = {"new_node_id": new, "old_node_id": old, "old_widget_ids": None, "input_mapping": inputs, "output_mapping": outputs}
    return {old: [{**found, **more}]}


REPLACEMENTS: dict[str, Any] = {
    **_entry(
        "ResizeImagesByLongerEdge",
        "ImageScaleToMaxDimension",
        [
            {"new_id": "image", "old_id": "images"},
            {"new_id": "largest_size", "old_id": "longer_edge"},
            {"new_id": "upscale_method", "set_value": "lanczos"},
        ],
        [{"new_idx": 0, "old_idx": 0}],
        old_widget_ids=["longer_edge"],
    ),
    **_entry(
        "ImageBatch",
        "BatchImagesNode",
        [{"new_id": "images.image0", "old_id": "image1"}, {"new_id": "images.image1", "old_id": "image2"}],
    ),
    **_entry(
        "ImageScaleBy",
        "ResizeImageMaskNode",
        [
            {"new_id": "input", "old_id": "image"},
            {"new_id": "resize_type", "set_value": "scale by multiplier"},
            {"new_id": "resize_type.multiplier", "old_id": "scale_by"},
            {"new_id": "scale_method", "old_id": "upscale_method"},
        ],
        old_widget_ids=["upscale_method", "scale_by"],
    ),
    **_entry("T2IAdapterLoader", "ControlNetLoader", [{"new_id": "control_net_name", "old_id": "t2i_adapter_name"}]),
    **_entry("Load3DAnimation", "Load3D"),
    **_entry("Preview3DAnimation", "Preview3D"),
    **_entry("SDV_img2vid_Conditioning", "SVD_img2vid_Conditioning"),
    **_entry("ConditioningAverage ", "ConditioningAverage"),
}


def replace_nodes(graph: dict[str, Any], info: dict[str, Any]) -> None:
    """Put other classes in the place of those that the server lacks, as it does before it validates."""
    for node_id, node in list(graph.items()):
        entry = REPLACEMENTS.get(node.get("class_type"), [None])[0]
        if entry is None or node["class_type"] in info or entry["new_node_id"] not in info:
            continue
        inputs = {}
        for each in entry["input_mapping"] or ():
            inputs[each["new_id"]] = each["set_value"] if "set_value" in each else node["inputs"][each["old_id"]]
        graph[node_id] = {**node, "class_type": entry["new_node_id"], "inputs": inputs}


def with_dynamic(groups: dict[str, Any], given: dict[str, Any], above: str = "") -> dict[str, dict[str, Any]]:
    """Return the inputs of a node by group, with those that its dynamic ones bring; of an unknown option nothing is left."""
    found: dict[str, dict[str, Any]] = {"required": {}, "optional": {}}

    def add(more: dict[str, dict[str, Any]]) -> None:
        for group, inputs in more.items():
            found[group].update(inputs)

    for group in ("required", "optional"):
        for name, spec in groups.get(group, {}).items():
            field = above + name
            if spec[0] == "COMFY_AUTOGROW_V3":
                template = spec[1]["template"]
                ((template_group, each),) = template["input"].items()
                for index in range(template["max"]):
                    is_required = index < template["min"] and template_group == "required"
                    parts = found["required" if is_required else "optional"]
                    parts[f"{field}.{template['prefix']}{index}"] = next(iter(each.values()))
            elif spec[0] == "COMFY_DYNAMICCOMBO_V3":
                options = {option["key"]: option["inputs"] for option in spec[1]["options"]}
                if isinstance(given.get(field), str) and given[field] in options:
                    add(with_dynamic(options[given[field]], given, f"{field}."))
                    found[group][field] = ["*"]
            else:
                found[group][field] = spec
    return found
