"""A node that calls a paid service, as ComfyUI ships them for partners: with a price to be reckoned, and no picture without a key.

The kinds of prices are those that ComfyUI's page knows (``useNodePricing``), in the shape that ``PriceBadge.as_dict`` of
``comfy_api/latest/_io.py`` gives them.
"""

from __future__ import annotations

import json
from typing import Any

KEY = "api_key_comfy_org"
"""Where a key is in ``extra_data``."""

PARTNER = "PartnerImage"

_PRICE = """
(
  $size := widgets.width * widgets.height;
  $n := $max([1, widgets.batch_size]);
  widgets.model = "exact" ? {"type": "usd", "usd": 0.04 * $n}
    : widgets.model = "range" ? {"type": "range_usd", "min_usd": 0.02 * $n, "max_usd": $size > 1000000 ? 0.2 : 0.08}
    : widgets.model = "timed" ? {"type": "usd", "usd": 0.1, "format": {"suffix": "/second"}}
    : {"type": "text", "text": "Token-based"}
)
"""
_WIDGETS = {"model": "COMBO", "width": "INT", "height": "INT", "batch_size": "INT"}

CLASSES: dict[str, Any] = {
    PARTNER: {
        "input": {
            "required": {
                "model": ["COMBO", {"default": "Exact", "options": ["Exact", "Range", "Timed", "Tokens"]}],
                "width": ["INT", {"default": 512, "min": 1, "max": 16384}],
                "height": ["INT", {"default": 512, "min": 1, "max": 16384}],
                "batch_size": ["INT", {"default": 1, "min": 1, "max": 16}],
                "seed": ["INT", {"default": 0, "min": 0, "max": 2147483647}],
            },
            "hidden": {"auth_token_comfy_org": "AUTH_TOKEN_COMFY_ORG", KEY: "API_KEY_COMFY_ORG"},
        },
        "output": ["IMAGE"],
        "output_node": False,
        "python_module": "comfy_api_nodes.nodes_partner",
        "category": "api node/image/Partner",
        "api_node": True,
        "price_badge": {
            "engine": "jsonata",
            "depends_on": {
                "widgets": [{"name": name, "type": kind} for name, kind in _WIDGETS.items()],
                "inputs": [],
                "input_groups": [],
            },
            "expr": _PRICE,
        },
    }
}


def constant(dollars: float) -> dict[str, Any]:
    """Return the price of a class that always costs the same."""
    return {"engine": "jsonata", "depends_on": {}, "expr": json.dumps({"type": "usd", "usd": dollars})}


def complaint(key: str) -> str:
    """Return what the service says to a key; empty where it takes it."""
    if not key:
        return "Unauthorized: Please login first to use this node."
    return "" if key.startswith("comfyui-") else f"API Error: the key {key} is not known"
