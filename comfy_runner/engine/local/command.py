"""The command line that starts ComfyUI, and the model folders it is told about: pure functions.

It starts nothing. ``--cpu`` is added by the launcher, because only ComfyUI's own PyTorch knows whether there is a GPU.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from comfy_runner.engine.local.installation import InstalledEngine
from comfy_runner.engine.local.options import LocalOptions

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_FLAG: Final = re.compile(r"""["'](--[a-z0-9][a-z0-9-]*)["']""")

# ComfyUI's own names for kinds of models, each with the subfolders of a models folder that hold them.
_MODEL_FOLDERS: Final = {
    "audio_encoders": ("audio_encoders",),
    "checkpoints": ("checkpoints",),
    "classifiers": ("classifiers",),
    "clip_vision": ("clip_vision",),
    "configs": ("configs",),
    "controlnet": ("controlnet", "t2i_adapter"),
    "diffusers": ("diffusers",),
    "diffusion_models": ("diffusion_models", "unet"),
    "embeddings": ("embeddings",),
    "gligen": ("gligen",),
    "hypernetworks": ("hypernetworks",),
    "latent_upscale_models": ("latent_upscale_models",),
    "loras": ("loras",),
    "model_patches": ("model_patches",),
    "photomaker": ("photomaker",),
    "style_models": ("style_models",),
    "text_encoders": ("text_encoders", "clip"),
    "upscale_models": ("upscale_models",),
    "vae": ("vae",),
    "vae_approx": ("vae_approx",),
}


def server_command(engine: InstalledEngine, *, port: int, flags: Sequence[str]) -> list[str]:
    """Return program and arguments of a server.

    Args:
        engine: What runs.
        port: TCP port on 127.0.0.1.
        flags: The rest, from `server_flags`.
    """
    # -E: no PYTHONPATH or PYTHONHOME of ours may reach another Python. -u: the log must not lag behind a crash.
    offline = ["--offline"] if engine.managed else []
    main = str(engine.source / "main.py")
    return [str(engine.python), "-E", "-u", str(_LAUNCHER), *offline, main, "--port", str(port), *flags]


def server_flags(options: LocalOptions, *, managed: bool, known: frozenset[str] | None) -> tuple[str, ...]:
    """Return ComfyUI's flags, all but the port.

    A managed engine gets a base directory of its own. A checkout of the user's keeps its models and custom nodes, and
    only what it writes goes into the instance's folder; so it is with a managed ComfyUI too old for a base directory.

    Args:
        options: Folders, and more flags from the user.
        managed: Whether we set ComfyUI up.
        known: Flags that this ComfyUI knows, from `known_flags`; None if that cannot be told.
    """
    folders: dict[str, str] = {f"--{kind}-directory": str(options.base / kind) for kind in ("input", "output", "user")} | {
        "--temp-directory": str(options.base)
    }
    if managed and (known is None or "--base-directory" in known):
        folders = {"--base-directory": str(options.base)}
    wanted: dict[str, str | None] = {
        "--listen": "127.0.0.1",
        **folders,
        "--extra-model-paths-config": str(options.model_paths),
        # Relative to the working directory, the instance's folder: ComfyUI's reader chokes on a % in an absolute path.
        "--database-url": "sqlite:///comfyui.db",
        "--disable-auto-launch": None,
        "--disable-api-nodes": None,
    }
    usable = {flag: value for flag, value in wanted.items() if known is None or flag in known}
    pairs = ((flag,) if value is None else (flag, value) for flag, value in usable.items())
    return (*(word for pair in pairs for word in pair), *options.server_args)


def known_flags(cli_args: str) -> frozenset[str] | None:
    """Return the flags in the text of ComfyUI's ``comfy/cli_args.py``; None if there are none at all."""
    return frozenset(_FLAG.findall(cli_args)) or None


def model_paths(options: LocalOptions) -> str:
    """Return the text of an extra_model_paths file: the user's models, then those that all instances share.

    It is JSON, which is YAML. It holds absolute paths, since ComfyUI expands ``$`` and ``~`` inside a ``base_path``.
    """
    user = {} if options.models is None else {"models": options.models.expanduser().absolute()}
    sections = {
        name: {kind: "\n".join(str(folder / part) for part in parts) for kind, parts in _MODEL_FOLDERS.items()}
        for name, folder in {**user, "shared": options.shared_models}.items()
    }
    return json.dumps(sections, indent=1, ensure_ascii=False)
