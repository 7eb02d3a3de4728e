"""A recipe's two picture sizes in pixels: the lattice of 8 pixels, exact aspects, and what an upscale factor makes of a size.

Arithmetic on values. ComfyUI floors sizes to whole latent cells of 8 pixels without a word; here it is done first, and said.
Everything that was adjusted comes back as a `Remark`, which `job` turns into a note with its place. `lint` warns of what is unwise
rather than adjusted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from comfy_runner.graph.sizes import CELL, MIN_UPSCALED
from comfy_runner.recipe.fields import MAX_PIXELS, MIN_PIXELS, PRESETS
from comfy_runner.recipe.schema import OriginalSize, Recipe, TargetSize

DEFAULT_FACTOR = 2.0
"""How much larger the upscaled picture is, each way, if the recipe says nothing."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a field that the user should know.

    Attributes:
        level: ``changed`` for an adjustment, ``warning`` for a trap, ``fault`` for a value that cannot be.
        what: The sentence, in the style of `comfy_runner.errors.Note.what`.
        field: The recipe field that it is about.
    """

    level: Literal["changed", "warning", "fault"]
    what: str
    field: str


@dataclass(frozen=True, slots=True)
class Sized:
    """A size in pixels, on the lattice, and what had to be said about it."""

    width: int
    height: int
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureSizes:
    """The sizes of a job's pictures.

    Attributes:
        original: Size of the first pass.
        upscaled: Size of the second pass.
        factor: Upscaled by original, each way; the geometric mean where the aspect differs.
        remarks: All that is to be said about the sizes.
    """

    original: Sized
    upscaled: Sized
    factor: float
    remarks: tuple[Remark, ...]


def picture_sizes(recipe: Recipe) -> PictureSizes:
    """Return the sizes of a recipe's pictures; sizes that cannot be are among the remarks as ``fault``."""
    return _picture_sizes(recipe.size, recipe.upscale.factor, recipe.upscale.size)


# The jobs of a sweep mostly have the same sizes.
@lru_cache(maxsize=1000)
def _picture_sizes(size: OriginalSize, factor: float | None, target: TargetSize | None) -> PictureSizes:
    if size.preset is not None:
        original = Sized(*PRESETS[size.preset])
    elif size.aspect is not None and size.megapixels is not None:
        original = of_aspect(size.aspect, megapixels=size.megapixels)
    elif size.width is not None and size.height is not None:
        original = snap(size.width, size.height, field="size")
    else:
        raise ValueError("the schema lets no size pass that is given in none of the three ways")
    if target is None:
        factor = DEFAULT_FACTOR if factor is None else factor
        upscaled = scaled(original.width, original.height, factor=factor)
        more = out_of_range(upscaled, field="upscale.factor")
    else:
        upscaled = snap(target.width, target.height, field="upscale.size", least=MIN_UPSCALED)
        factor = math.sqrt(upscaled.width * upscaled.height / (original.width * original.height))
        more = stretched(original, upscaled)
    remarks = (*original.remarks, *out_of_range(original, field="size"), *upscaled.remarks, *more)
    return PictureSizes(original, upscaled, factor, remarks)


def snap(width: int, height: int, *, field: str, least: int = CELL) -> Sized:
    """Return a size floored to whole latent cells, as ComfyUI would.

    Args:
        width: Pixels.
        height: Pixels.
        field: What the sides are called, as in ``size``.
        least: The shortest side possible, in pixels.
    """
    sides, remarks = [], []
    for name, side in (("width", width), ("height", height)):
        floored = side // CELL * CELL
        if floored != side:
            what = f"{name} {side} becomes {max(floored, least)} (ComfyUI rounds down to multiples of {CELL})"
            remarks.append(Remark("changed", what, f"{field}.{name}"))
        elif floored < least:
            what = f"{name} {side} becomes {least} (the least that ComfyUI upscales to)"
            remarks.append(Remark("changed", what, f"{field}.{name}"))
        sides.append(max(floored, least))
    return Sized(sides[0], sides[1], tuple(remarks))


def of_aspect(aspect: str, *, megapixels: float) -> Sized:
    """Return the size on the lattice with an aspect such as ``16:9`` and nearly an area.

    A size with exactly the aspect is taken if one is within a quarter of the area wanted: for 16:9 they are the multiples
    of 128x72 pixels. Otherwise the aspect drifts a little, and that is said.
    """
    first, _, second = aspect.partition(":")
    across = Fraction(first) / Fraction(second)
    wanted = megapixels * 1e6
    unit = CELL * CELL * across.numerator * across.denominator
    times = max(1, round(math.sqrt(wanted / unit)))
    # The root's neighbours, because equal distance in sides is not equal distance in area.
    times = min((times, times + 1, max(1, times - 1)), key=lambda n: abs(n * n * unit - wanted))
    width, height = times * CELL * across.numerator, times * CELL * across.denominator
    off = width * height / wanted - 1
    if abs(off) > 0.25:
        return _near_aspect(across, wanted, aspect=aspect)
    if abs(off) <= 0.05:
        return Sized(width, height)
    what = f"{megapixels:g} megapixels becomes {_area(width, height)} ({width}x{height} is the nearest size with exactly {aspect})"
    return Sized(width, height, (Remark("changed", what, "size.megapixels"),))


def _near_aspect(across: Fraction, wanted: float, *, aspect: str) -> Sized:
    ideal = math.sqrt(wanted / float(across)) / CELL
    rows = range(max(2, math.floor(ideal) - 1), math.ceil(ideal) + 2)
    sizes = [(max(2, round(row * float(across))) * CELL, row * CELL) for row in rows]
    width, height = min(sizes, key=lambda size: abs(_drift(size, across)) + abs(size[0] * size[1] / wanted - 1) / 10)
    drift = _drift((width, height), across)
    what = f"no size near {wanted / 1e6:g} megapixels has exactly {aspect}; it becomes {width}x{height} ({percent(drift)} off)"
    return Sized(width, height, (Remark("changed", what, "size.aspect"),) if drift else ())


def scaled(width: int, height: int, *, factor: float) -> Sized:
    """Return the size that is `factor` times another one (both in pixels, both on the lattice).

    Latent cells are rounded as ComfyUI's LatentUpscaleBy does. If that changes the aspect, it is said, with the nearest
    factors that keep it: multiples of 1 / gcd(width / 8, height / 8).
    """
    across = max(CELL * round(width / CELL * factor), MIN_UPSCALED)
    down = max(CELL * round(height / CELL * factor), MIN_UPSCALED)
    drift = _drift((across, down), Fraction(width, height))
    if min(across, down) == MIN_UPSCALED and min(width, height) * factor < MIN_UPSCALED:
        what = f"factor {factor:g} makes {across}x{down} (ComfyUI upscales to at least {MIN_UPSCALED} pixels)"
        return Sized(across, down, (Remark("changed", what, "upscale.factor"),))
    if not drift:
        return Sized(across, down)
    common = math.gcd(width // CELL, height // CELL)
    below = Fraction(math.floor(factor * common), common)
    above = Fraction(math.floor(factor * common) + 1, common)
    exact = " and ".join(f"{float(near):.6g}" for near in (below, above) if 0 < near <= 8)
    what = f"the aspect ratio changes by {percent(drift)} at factor {factor:g} ({across}x{down}); exact nearby: {exact}"
    return Sized(across, down, (Remark("changed", what, "upscale.factor"),))


def stretched(original: Sized, upscaled: Sized) -> tuple[Remark, ...]:
    """Return the warning that an upscaled size stretches the picture, if it does."""
    drift = _drift((upscaled.width, upscaled.height), Fraction(original.width, original.height))
    if not drift:
        return ()
    what = (
        f"{upscaled.width}x{upscaled.height} has a different aspect ratio than {original.width}x{original.height}: "
        f"the picture is stretched by {percent(drift)}"
    )
    return (Remark("warning", what, "upscale.size"),)


def out_of_range(size: Sized, *, field: str) -> tuple[Remark, ...]:
    """Return the fault that a side is shorter or longer than a picture's can be, if one is."""
    if min(size.width, size.height) >= MIN_PIXELS and max(size.width, size.height) <= MAX_PIXELS:
        return ()
    what = f"makes {size.width}x{size.height}, and sides must be from {MIN_PIXELS} to {MAX_PIXELS} pixels"
    return (Remark("fault", what, field),)


def _drift(size: tuple[int, int], across: Fraction) -> float:
    """Return by what share the aspect of a size is off; 0.0 exactly if it is not."""
    ratio = Fraction(*size) / across
    return float(max(ratio, 1 / ratio) - 1)


def percent(share: float) -> str:
    """Return a share as people read it: ``0.35 %``, ``12 %``."""
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"


def _area(width: int, height: int) -> str:
    return f"{width * height / 1e6:.2g}"
