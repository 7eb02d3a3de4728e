"""A recipe's two picture sizes in pixels, from whichever way it gives them.

Not here: the arithmetic (`sizes`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from comfy_runner.recipe import sizes
from comfy_runner.recipe.fields import MAX_PIXELS, MIN_PIXELS
from comfy_runner.recipe.schema import Recipe
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
    size, target = recipe.size, recipe.upscale.size
    sides = None if target is None else (target.width, target.height)
    return _pictures(size.width, size.height, size.aspect, size.megapixels, size.preset, recipe.upscale.factor, sides)


# The jobs of a sweep mostly have the same sizes.
@lru_cache(maxsize=1000)
def _pictures(
    width: int | None,
    height: int | None,
    aspect: str | None,
    megapixels: float | None,
    preset: str | None,
    factor: float | None,
    target: tuple[int, int] | None,
) -> Pictures:
    if preset is not None:
        original = Sized(*PRESETS[preset])
    elif aspect is not None and megapixels is not None:
        original = sizes.of_aspect(aspect, megapixels=megapixels)
    elif width is not None and height is not None:
        original = sizes.snap(width, height, field="size")
    else:
        raise ValueError("the schema lets no size pass that is given in none of the three ways")
    if target is None:
        factor = DEFAULT_FACTOR if factor is None else factor
        upscaled = sizes.scaled(original.width, original.height, factor=factor)
        more = sizes.out_of_range(upscaled, least=MIN_PIXELS, most=MAX_PIXELS, field="upscale.factor")
    else:
        upscaled = sizes.snap(*target, field="upscale.size", least=sizes.MIN_UPSCALED)
        factor = math.sqrt(upscaled.width * upscaled.height / (original.width * original.height))
        more = sizes.stretched(original, upscaled)
    beyond = sizes.out_of_range(original, least=MIN_PIXELS, most=MAX_PIXELS, field="size")
    return Pictures(original, upscaled, factor, (*original.findings, *beyond, *upscaled.findings, *more))
