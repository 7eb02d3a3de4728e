"""comfy_runner: render YAML recipes on ComfyUI servers."""

__version__ = "0.1.0"
