"""A recipe's two picture sizes in pixels, from whichever way it gives them.

Not here: the arithmetic (`sizes`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from comfy_runner.recipe import sizes
from comfy_runner.recipe.fields import MAX_PIXELS, MIN_PIXELS
from comfy_runner.recipe.schema import Recipe, Size
from comfy_runner.recipe.sizes import PRESETS, Finding, Sized

DEFAULT_FACTOR = 2.0
"""How much larger the upscaled picture is, each way, if the recipe says nothing."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """The sizes of a job's pictures.

    Attributes:
        original: Size of the first pass.
        upscaled: Size of the second pass.
        factor: Upscaled by original, each way; the geometric mean where the aspect differs.
        findings: All that is to be said about the sizes.
    """

    original: Sized
    upscaled: Sized
    factor: float
    findings: tuple[Finding, ...]


def pictures(recipe: Recipe) -> Pictures:
    """Return the sizes of a recipe's pictures; sizes that cannot be are among the findings as ``fault``."""
    original = _original(recipe.size)
    target = recipe.upscale.size
    if target is None:
        factor = DEFAULT_FACTOR if recipe.upscale.factor is None else recipe.upscale.factor
        upscaled = sizes.scaled(original.width, original.height, factor=factor)
        more = sizes.out_of_range(upscaled, least=MIN_PIXELS, most=MAX_PIXELS, field="upscale.factor")
    else:
        upscaled = sizes.snap(target.width, target.height, field="upscale.size", least=sizes.MIN_UPSCALED)
        factor = math.sqrt(upscaled.width * upscaled.height / (original.width * original.height))
        more = sizes.stretched(original, upscaled)
    beyond = sizes.out_of_range(original, least=MIN_PIXELS, most=MAX_PIXELS, field="size")
    return Pictures(original, upscaled, factor, (*original.findings, *beyond, *upscaled.findings, *more))


def _original(size: Size) -> Sized:
    if size.preset is not None:
        return Sized(*PRESETS[size.preset])
    if size.aspect is not None and size.megapixels is not None:
        return sizes.of_aspect(size.aspect, megapixels=size.megapixels)
    if size.width is None or size.height is None:
        raise ValueError("the schema lets no size pass that is given in none of the three ways")
    return sizes.snap(size.width, size.height, field="size")
