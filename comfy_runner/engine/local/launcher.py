"""Starts ComfyUI's main.py in this very process: ``python launcher.py [--offline] MAIN.py [flags of ComfyUI]``.

Runs with ComfyUI's Python, imports only the standard library, and nothing of comfy_runner. What it adds to running
main.py itself:

- ``--cpu`` where PyTorch finds no GPU, since ComfyUI assumes one;
- stand-ins for torchvision and torchaudio where they cannot be imported: no build of theirs fits every PyTorch, and
  ComfyUI's core nodes import them but hardly use them. A node that does use them fails with a message that says so;
- an environment that leads no further Python astray, and has no API key, which every node pack could read.

Flags are chosen by `command`, and the process is watched by `process`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

REPLACEABLE = ("torchvision", "torchaudio")
# One of these already says where to compute; ComfyUI refuses --cpu beside most of them.
DEVICE_FLAGS = frozenset({"--cpu", "--gpu-only", "--highvram", "--normalvram", "--lowvram", "--novram", "--directml"})


class _Missing(type):
    """Makes every attribute of a stand-in another stand-in: ``InterpolationMode.BILINEAR`` must not fail on import."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{cls.__module__}.{cls.__qualname__}.{name}")

    def __call__(cls, *_args: object, **_kwargs: object) -> object:
        raise RuntimeError(f"{cls.__doc__} is not available: {cls.__module__.partition('.')[0]} is not installed")


def _stand_in(full_name: str) -> type:
    module, _, name = full_name.rpartition(".")
    return _Missing(name, (), {"__module__": module, "__doc__": full_name})


class StandInModule(ModuleType):
    """A module in which every name exists, and nothing works."""

    def __getattr__(self, name: str) -> type:
        """Return a class that refuses to be called."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{self.__name__}.{name}")


class StandInFinder(MetaPathFinder, Loader):
    """Finds the given packages and whatever is imported from inside them.

    Args:
        packages: Top-level names.
    """

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = tuple(packages)

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """Return a spec for the packages that are ours."""
        del path, target  # Python passes them; a stand-in is found wherever it is asked for
        if fullname.partition(".")[0] not in self.packages:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the module."""
        return StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty."""


def probe() -> dict[str, object]:
    """Import PyTorch and tell whether it has a GPU, and which of its companions cannot be imported."""
    gpu = False
    # Without PyTorch, ComfyUI itself has the better error message.
    with contextlib.suppress(ImportError):
        torch = importlib.import_module("torch")
        accelerators = (getattr(torch, name, None) for name in ("cuda", "xpu"))
        gpu = any(each is not None and each.is_available() for each in accelerators) or (
            hasattr(torch.backends, "mps") and bool(torch.backends.mps.is_available())
        )
    return {"gpu": gpu, "missing": [name for name in REPLACEABLE if not _can_import(name)]}


def _can_import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:  # torchvision that fits another PyTorch raises RuntimeError, torchaudio OSError
        return False
    return True


def _probe_elsewhere() -> tuple[bool, list[str]]:
    # In a process of its own: ComfyUI sets up CUDA before it imports PyTorch, which must not be there yet.
    output = subprocess.run(
        [sys.executable, "-E", __file__, "--probe"], stdout=subprocess.PIPE, check=False, encoding="utf-8"
    ).stdout
    try:
        found = json.loads(output.splitlines()[-1])
        return bool(found["gpu"]), [name for name in REPLACEABLE if name in found["missing"]]
    except (IndexError, KeyError, TypeError, ValueError):
        # A crash inside PyTorch; ComfyUI will meet it too, and its output belongs to the log.
        return True, []


def comfyui_flags(flags: Sequence[str], *, gpu: bool) -> list[str]:
    """Return ComfyUI's flags, with ``--cpu`` where there is no GPU and the user has not decided."""
    return [*flags] if gpu or not DEVICE_FLAGS.isdisjoint(flags) else [*flags, "--cpu"]


def main(arguments: Sequence[str]) -> None:
    """Run ComfyUI; returns when it ends."""
    # The launcher's own folder, whose modules would hide others of the same name.
    del sys.path[0]
    if [*arguments] == ["--probe"]:
        print(json.dumps(probe()))  # noqa: T201 - standard output is how the answer gets back to the launcher
        return
    rest = [*arguments]
    if rest[:1] == ["--offline"]:
        rest.pop(0)
        # No core node needs the hub, but some versions of transformers ask it even about local files.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for name in ("PYTHONPATH", "PYTHONHOME", "COMFY_API_KEY"):
        os.environ.pop(name, None)
    script, flags = Path(rest[0]).absolute(), rest[1:]
    gpu, missing = _probe_elsewhere()
    if missing:
        print(f"launcher: stand-ins for {', '.join(missing)}", flush=True)  # noqa: T201 - for the server's log
        sys.meta_path.insert(0, StandInFinder(missing))
    sys.path.insert(0, str(script.parent))
    sys.argv = [str(script), *comfyui_flags(flags, gpu=gpu)]
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
