"""Custom nodes of a kind that several packs have; they run within ComfyUI, which is given this file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import folder_paths  # type: ignore[import-not-found]
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo


class SaveFixed:
    """Saves under a fixed name, and what the graph is beside it."""

    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True
    CATEGORY = "odd"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {
            "required": {"images": ("IMAGE",), "filename": ("STRING", {"default": "out"})},
            "optional": {"filename_prefix": ("STRING", {"default": ""})},
            "hidden": {"prompt": "PROMPT"},
        }

    def stem(self, filename: str) -> str:
        return filename

    def save(self, images: Any, filename: str, prompt: Any, **_ignored: Any) -> dict[str, Any]:
        chunks = PngInfo()
        chunks.add_text("prompt", json.dumps(prompt))
        name = f"{self.stem(filename)}.png"
        pixels = np.clip(255.0 * images[0].cpu().numpy(), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(Path(folder_paths.get_output_directory()) / name, pnginfo=chunks)
        return {"ui": {"images": [{"filename": name, "subfolder": "", "type": "output"}]}}


class SaveBySecond(SaveFixed):
    """Saves under the time, in whole seconds."""

    def stem(self, filename: str) -> str:
        return time.strftime(f"{filename}-%Y%m%d-%H%M%S")


class SaveSilently(SaveFixed):
    """Saves, and tells nobody."""

    def save(self, images: Any, filename: str, prompt: Any, **more: Any) -> dict[str, Any]:
        super().save(images, filename, prompt, **more)
        return {}


class SaveByName(SaveFixed):
    """Saves a file of bytes, and tells of its bare name, as several savers of films and meshes do."""

    def save(self, images: Any, filename: str, prompt: Any, **_ignored: Any) -> dict[str, Any]:  # noqa: ARG002
        folder = Path(folder_paths.get_output_directory())
        (folder / filename).write_bytes(b"\0" + images[0].cpu().numpy().tobytes())
        return {"ui": {"video": [filename]}}


NODE_CLASS_MAPPINGS = {kind.__name__: kind for kind in (SaveFixed, SaveBySecond, SaveSilently, SaveByName)}
