"""Tests of `comfy_runner.engine.comfyui`: pure parts as values, the rest against the stand-in and a real ComfyUI."""
