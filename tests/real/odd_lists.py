"""A custom node whose lists prove nothing, for it judges its values itself; it runs within ComfyUI, which is given this file."""

from __future__ import annotations

from typing import Any

from nodes import SaveImage  # type: ignore[import-not-found]


class SavePicked(SaveImage):  # type: ignore[misc]
    """Saves a picture, and ignores what was picked."""

    FUNCTION = "pick"
    CATEGORY = "odd"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        lists = {
            "empty": ([],),
            "style": (["choose…", "---"],),
            "film": (["a.mp4", "b.mp4"],),
            "remote": ("COMBO", {"remote": {"route": "/internal/files/output"}}),
        }
        return {"required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "x"}), **lists}}

    @classmethod
    def VALIDATE_INPUTS(cls, empty: str, style: str, film: str) -> bool | str:  # noqa: ARG003, N802 - ComfyUI reads the names
        return style != "ugly" or "nothing ugly"

    def pick(self, images: Any, filename_prefix: str, **_picked: str) -> Any:
        return self.save_images(images, filename_prefix)


NODE_CLASS_MAPPINGS = {"SavePicked": SavePicked}
