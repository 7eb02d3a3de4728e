"""Picture sizes by name. A module of its own, because both the types of fields and the arithmetic of sizes need the table."""

from __future__ import annotations

from collections.abc import Mapping

# The training sizes of SDXL, from the list in its paper, and the portraits of the common ones.
_SDXL_BUCKETS = (
    "640x1536 704x1344 704x1408 768x1280 768x1344 832x1152 832x1216 896x1088 896x1152 960x1024 960x1088 1024x960 "
    "1024x1024 1088x896 1088x960 1152x832 1152x896 1216x832 1280x768 1344x704 1344x768 1408x704 1472x704 1536x640 "
    "1600x640 1664x576 1728x576"
)


def _pair(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


PRESETS: Mapping[str, tuple[int, int]] = {
    **{
        name: _pair(size)
        for name, size in {
            "16:9-exact": "1024x576",
            "9:16-exact": "576x1024",
            "4:3-exact": "1024x768",
            "3:4-exact": "768x1024",
            "3:2-exact": "1152x768",
            "2:3-exact": "768x1152",
            "16:9-sdxl": "1344x768",
            "9:16-sdxl": "768x1344",
            "4:3-sdxl": "1152x896",
            "3:4-sdxl": "896x1152",
            "3:2-sdxl": "1216x832",
            "2:3-sdxl": "832x1216",
            "21:9-sdxl": "1536x640",
            "9:21-sdxl": "640x1536",
            "sdxl-square": "1024x1024",
            "sdxl-landscape": "1216x832",
            "sdxl-portrait": "832x1216",
            "sd15-square": "512x512",
            "sd15-landscape": "768x512",
            "sd15-portrait": "512x768",
        }.items()
    },
    **{name: _pair(name) for name in _SDXL_BUCKETS.split()},
}
"""Sizes by name, as (width, height) in pixels. ``exact`` has exactly that aspect; ``sdxl`` is the nearest size that SDXL
was trained on."""
