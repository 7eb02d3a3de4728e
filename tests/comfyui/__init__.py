"""Tests of `comfy_runner.comfyui`: pure parts as values, the rest against the stand-in and a real ComfyUI."""
