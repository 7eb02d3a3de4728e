"""What a recipe may do but probably should not: known traps, as warnings.

Sources: community experience with latent upscaling and the sizes that model families were trained on. What is adjusted is in
`sizes`, what is refused in `schema` and `validate`, and what is unusual for one template in `template_defaults`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sizes import PictureSizes, Remark

LARGEST_JUMP = 2.0
"""Largest factor that one pass usually survives without doubled subjects."""

# Side of the square that a family was trained on, in pixels, by signs in a checkpoint's name. The first that fits wins.
_FAMILIES = (
    ("SDXL", 1024, re.compile(r"sdxl|xl(?![a-z])|xl(?=v[0-9])|pony|illustrious|noobai", re.IGNORECASE)),
    ("SD1.5", 512, re.compile(r"sd[-_. ]?v?1[-_. ]?[45](?![0-9])|v1[-_][45](?![0-9])|dreamshaper_8", re.IGNORECASE)),
)
# Stand-ins for tests are named after a family without having been trained on its sizes.
_STAND_IN = re.compile(r"tiny", re.IGNORECASE)
_NATIVE_AREA = (0.5, 1.7)


def lint(recipe: Recipe, sizes: PictureSizes, *, knows_factors: bool = False) -> Iterator[Remark]:
    """Yield a warning for each known trap that a recipe walks into.

    Args:
        recipe: The recipe.
        sizes: Its picture sizes.
        knows_factors: Whether its template says itself which factors are usual.
    """
    original, upscaled = sizes.original, sizes.upscaled
    field = "upscale.size" if recipe.upscale.size else "upscale.factor"
    if sizes.factor > LARGEST_JUMP and not knows_factors:
        what = f"more than {LARGEST_JUMP:g} times at once tends to double subjects and needs much memory (got {sizes.factor:.3g})"
        yield Remark("warning", what, field)
    if upscaled.width * upscaled.height < original.width * original.height:
        what = (
            f"the second pass is smaller ({upscaled.width}x{upscaled.height}) than the first ({original.width}x{original.height})"
        )
        yield Remark("warning", what, field)
    yield from _foreign_size(recipe.checkpoint or "", original.width, original.height)


@lru_cache(maxsize=1000)
def family(checkpoint: str) -> tuple[str, int] | None:
    """Return the model family and the side of its native square in pixels, as far as a checkpoint's name tells."""
    if _STAND_IN.search(checkpoint):
        return None
    return next(((name, side) for name, side, signs in _FAMILIES if signs.search(checkpoint)), None)


def _foreign_size(checkpoint: str, width: int, height: int) -> Iterator[Remark]:
    known = family(checkpoint)
    if known is None:
        return
    name, side = known
    least, most = _NATIVE_AREA
    share = width * height / side**2
    if share < least:
        what = f"{width}x{height} is {share:.2g} times the {side}x{side} that {name} was trained on: pictures tend to be poor"
        yield Remark("warning", what, "size")
    elif share > most:
        what = f"{width}x{height} is {share:.2g} times the {side}x{side} that {name} was trained on: subjects tend to double"
        yield Remark("warning", what, "size")
