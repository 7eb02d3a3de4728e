"""What to do about well-known failures of a ComfyUI, told from the exception that it reports."""

from __future__ import annotations

from comfy_runner.engine.comfyui.verdict import Failure

# (what the exception's type or text contains, the way out); the first that fits is given
_ADVICE = (
    ("outofmemory", "the GPU's memory did not suffice: a smaller upscale.factor, or start ComfyUI with --lowvram"),
    ("mat1 and mat2", "the models are of different families, such as SD1.5 and SDXL: check checkpoint, vae and loras"),
    ("headertoolarge", "the model file is damaged or not complete: download it again"),
    ("incomplete metadata", "the model file is damaged or not complete: download it again"),
    ("invalid header", "the model file is damaged or not complete: download it again"),
    ("errno 28", "the server's disk is full"),
    ("no space left", "the server's disk is full"),
    ("cuda error", "the server's GPU is in a bad state: restart ComfyUI"),
    ("acceleratorerror", "the server's GPU is in a bad state: restart ComfyUI"),
)


def advice(failure: Failure) -> str:
    """Return the way out of a well-known failure; empty for others."""
    text = f"{failure.exception} {failure.message}".casefold()
    return next((hint for sign, hint in _ADVICE if sign in text), "")
