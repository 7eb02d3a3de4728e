"""Literals that differ and give the very same pixels, by the code of ComfyUI's own nodes.

Each rule names one input of a class, and what to read in its place where the literals around it are known. `signature`
gives two nodes that come to the same one hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.graph.schedules import FULL_DENOISE
from comfy_runner.graph.sizes import CELL, Size

_LEAST = 1e-4
_MOST_STEPS = 1 << 20


@dataclass(frozen=True, slots=True)
class Rule:
    """What one input of a node stands for.

    Attributes:
        input: The input that is read otherwise.
        reads: The inputs that have to be literals for it, itself among them.
        measured: The linked input whose size in pixels is looked at; empty where no size is.
        stands_for: From those literals, the size of the measured input and that of the node's own output (None where it is not
            known): what the input stands for; equal for two values that do the same.
    """

    input: str
    reads: tuple[str, ...]
    measured: str
    stands_for: Callable[[Mapping[str, Any], Size | None, Size | None], Any]


def _denoise(full: float, *, cuts_all: bool) -> Callable[[Mapping[str, Any], Size | None, Size | None], Any]:
    def stands_for(literals: Mapping[str, Any], _before: Size | None, _after: Size | None) -> Any:
        steps, denoise = literals["steps"], literals["denoise"]
        if type(steps) is not int or type(denoise) not in (int, float) or not (0 < steps <= _MOST_STEPS and denoise >= _LEAST):
            return denoise
        # The last steps+1 sigmas of a schedule of so many steps. A schedule need not have just one more than it has steps, and a
        # whole one is taken as it is where not all are cut: ddim_uniform at 30 steps has 32.
        total = steps if denoise > full else int(steps / denoise)
        whole = denoise > full or (cuts_all and total == steps)
        return 1.0 if whole else {"steps": total}

    return stands_for


def _method(cell: int) -> Callable[[Mapping[str, Any], Size | None, Size | None], Any]:
    def stands_for(literals: Mapping[str, Any], before: Size | None, after: Size | None) -> Any:
        method = literals["upscale_method"]
        if method != "area" or literals.get("crop", "disabled") != "disabled" or before is None or after is None:
            return method
        if min(before.width, before.height) < cell:
            return method
        # Each mean is then one of a single value, the one that nearest-exact takes.
        whole = all(
            new // cell % (old // cell) == 0 for old, new in ((before.width, after.width), (before.height, after.height)) if new
        )
        return "nearest-exact" if whole and min(after.width, after.height) >= cell else method

    return stands_for


_BY = ("upscale_method", "scale_by")
_TO = ("upscale_method", "width", "height", "crop")
RULES: Mapping[str, Rule] = {
    "KSampler": Rule("denoise", ("steps", "denoise"), "", _denoise(FULL_DENOISE, cuts_all=False)),
    # BasicScheduler compares with 1 (comfy_extras/nodes_custom_sampler.py).
    "BasicScheduler": Rule("denoise", ("steps", "denoise"), "", _denoise(1 - 2**-53, cuts_all=True)),
    "LatentUpscale": Rule("upscale_method", _TO, "samples", _method(CELL)),
    "LatentUpscaleBy": Rule("upscale_method", _BY, "samples", _method(CELL)),
    "ImageScale": Rule("upscale_method", _TO, "image", _method(1)),
    "ImageScaleBy": Rule("upscale_method", _BY, "image", _method(1)),
}
"""The rules by class."""
