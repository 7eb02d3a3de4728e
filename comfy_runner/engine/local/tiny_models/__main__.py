"""Writes the models: each file whole or not at all, one after the other."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

from .checkpoint import checkpoint, lora, vae
from .controlnet import controlnet
from .layers import Weights
from .upscaler import upscaler

MODELS: Final[Mapping[str, Callable[[], Weights]]] = {
    "checkpoints/tiny-random-sd15.safetensors": checkpoint,
    "controlnet/tiny-random-tile.safetensors": controlnet,
    "loras/tiny-random-a.safetensors": lambda: lora(seed=1),
    "loras/tiny-random-b.safetensors": lambda: lora(seed=2),
    "upscale_models/tiny-random-x2.safetensors": lambda: upscaler(doublings=1),
    "upscale_models/tiny-random-x4.safetensors": lambda: upscaler(doublings=2),
    "vae/tiny-random-vae.safetensors": vae,
}


def write(weights: Weights, out: Path) -> None:
    """Write a model's weights, 16 bit; a file of that name is replaced only by a whole one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        save_file({name: weight.half().contiguous() for name, weight in weights.items()}, partial, metadata={"format": "pt"})
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Write all models into the folder in ``arguments``."""
    parser = argparse.ArgumentParser(description="Build tiny random models for ComfyUI.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder: Path = parser.parse_args(arguments).folder
    torch.set_num_threads(1)  # sums of several threads differ in the last bit, and the same models are to be made anywhere
    for name, make in MODELS.items():
        write(make(), folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
