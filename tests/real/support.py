"""The command as a user types it, run against a server, and what it left behind."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.forked import Forked
from tests.model_files.support import FileServer, sha256

FAST = ("--set", "sampler.steps=4", "--set", "size={width: 64, height: 48}")
"""A quickstart that takes about a second."""

FETCHED = "fetched/tiny.safetensors"
"""The checkpoint that the fixture ``web`` has, as recipes name it."""


def comfy_runner(
    *args: str, folder: Path, code: int = 0, environment: Mapping[str, str] | None = None, seconds: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run ``comfy-runner`` in a folder; its exit code must be as said, and no traceback may show."""
    process = Forked(*args, folder=folder, environment={**os.environ, **(environment or {})})
    out, err = (text.decode("utf-8") for text in process.communicate(timeout=seconds))
    assert process.returncode == code, err
    assert "Traceback" not in err
    return subprocess.CompletedProcess(args, process.returncode, out, err)


def sidecar(job_folder: Path) -> dict[str, Any]:
    """Return a job's sidecar."""
    found: dict[str, Any] = json.loads((job_folder / "job.json").read_text(encoding="utf-8"))
    return found


def pixels(path: Path, *, size: tuple[int, int] | None = None) -> NDArray[np.float64]:
    """Return a picture as an array of height, width, RGB; scaled to a size in pixels if given."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
        if size is not None:
            picture = picture.resize(size, Image.Resampling.BOX)
        return np.asarray(picture, dtype=np.float64)


def likeness(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the correlation of two pictures' brightness, 1 for the same composition, about 0 for unrelated ones."""
    return float(np.corrcoef(first.mean(axis=2).ravel(), second.mean(axis=2).ravel())[0, 1])


def source_of(web: FileServer) -> dict[str, Any]:
    """Return what a recipe says of where that checkpoint comes from."""
    content = web.files["/tiny.safetensors"]
    return {"url": f"{web.url}/tiny.safetensors", "sha256": sha256(content), "size": len(content)}
