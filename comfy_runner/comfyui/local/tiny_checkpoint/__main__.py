"""Writes the checkpoint: puts the parts together under the names of an SD1.5 file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from .denoiser import unet
from .painter import decoder, encoder, palette
from .sd15 import Weights
from .words import text_encoder

SEED = 15


def checkpoint() -> Weights:
    """All weights under the names that SD1.5 checkpoints use, 16 bit."""
    random = torch.Generator().manual_seed(SEED)
    angles, phases = palette(random)
    parts = {
        "model.diffusion_model.": unet(random),
        "first_stage_model.taesd_decoder.": decoder(angles, phases),
        "first_stage_model.taesd_encoder.": encoder(angles, phases),
        "first_stage_model.vae_": {"scale": torch.tensor(1.0), "shift": torch.tensor(0.0)},
        "cond_stage_model.transformer.text_model.": text_encoder(random),
    }
    return {prefix + name: weight.half().contiguous() for prefix, part in parts.items() for name, weight in part.items()}


def main(arguments: list[str]) -> int:
    """Write the checkpoint to the path in ``arguments``; a file of that name is replaced only by a whole one."""
    parser = argparse.ArgumentParser(description="Build a tiny random SD1.5 checkpoint for ComfyUI.")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    out: Path = parser.parse_args(arguments).out
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        save_file(checkpoint(), partial, metadata={"format": "pt"})
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
