"""Picture sizes: presets, the lattice of 8 pixels, exact aspects, and what an upscale factor makes of a size.

Pure arithmetic. ComfyUI floors sizes to whole latent cells of 8 pixels without a word; here it is done first, and said.
Everything that was adjusted comes back as a `Finding`, which `jobs` turns into a note with its place.

Not here: which fields a recipe gives (`schema`), and what is unwise rather than adjusted (`traps`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

CELL = 8
"""Pixels per latent cell, each way (SD1.5, SDXL)."""

MIN_UPSCALED = 64
"""ComfyUI's LatentUpscale makes no side shorter than this, in pixels."""

# The training sizes of SDXL, from the list in its paper, and the portraits of the common ones.
_SDXL_BUCKETS = (
    "640x1536 704x1344 704x1408 768x1280 768x1344 832x1152 832x1216 896x1088 896x1152 960x1024 960x1088 1024x960 "
    "1024x1024 1088x896 1088x960 1152x832 1152x896 1216x832 1280x768 1344x704 1344x768 1408x704 1472x704 1536x640 "
    "1600x640 1664x576 1728x576"
)


def _pair(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


PRESETS: Mapping[str, tuple[int, int]] = {
    **{
        name: _pair(size)
        for name, size in {
            "16:9-exact": "1024x576",
            "9:16-exact": "576x1024",
            "4:3-exact": "1024x768",
            "3:4-exact": "768x1024",
            "3:2-exact": "1152x768",
            "2:3-exact": "768x1152",
            "16:9-sdxl": "1344x768",
            "9:16-sdxl": "768x1344",
            "4:3-sdxl": "1152x896",
            "3:4-sdxl": "896x1152",
            "3:2-sdxl": "1216x832",
            "2:3-sdxl": "832x1216",
            "21:9-sdxl": "1536x640",
            "9:21-sdxl": "640x1536",
            "sdxl-square": "1024x1024",
            "sdxl-landscape": "1216x832",
            "sdxl-portrait": "832x1216",
            "sd15-square": "512x512",
            "sd15-landscape": "768x512",
            "sd15-portrait": "512x768",
        }.items()
    },
    **{name: _pair(name) for name in _SDXL_BUCKETS.split()},
}
"""Sizes by name, as (width, height) in pixels. ``exact`` has exactly that aspect; ``sdxl`` is the nearest size that SDXL
was trained on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a size that the user should know.

    Attributes:
        level: ``changed`` for an adjustment, ``warning`` for a trap, ``fault`` for a size that cannot be.
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
    findings: tuple[Finding, ...] = ()


def snap(width: int, height: int, *, field: str, least: int = CELL) -> Sized:
    """Return a size floored to whole latent cells, as ComfyUI would.

    Args:
        width: Pixels.
        height: Pixels.
        field: What the sides are called, as in ``size``.
        least: The shortest side possible, in pixels.
    """
    sides, findings = [], []
    for name, side in (("width", width), ("height", height)):
        floored = side // CELL * CELL
        if floored != side:
            what = f"{name} {side} becomes {max(floored, least)} (ComfyUI floors to multiples of {CELL})"
            findings.append(Finding("changed", what, f"{field}.{name}"))
        elif floored < least:
            what = f"{name} {side} becomes {least} (ComfyUI upscales to no less)"
            findings.append(Finding("changed", what, f"{field}.{name}"))
        sides.append(max(floored, least))
    return Sized(sides[0], sides[1], tuple(findings))


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
    return Sized(width, height, (Finding("changed", what, "size.megapixels"),))


def _near_aspect(across: Fraction, wanted: float, *, aspect: str) -> Sized:
    ideal = math.sqrt(wanted / float(across)) / CELL
    rows = range(max(2, math.floor(ideal) - 1), math.ceil(ideal) + 2)
    sizes = [(max(2, round(row * float(across))) * CELL, row * CELL) for row in rows]
    width, height = min(sizes, key=lambda size: abs(_drift(size, across)) + abs(size[0] * size[1] / wanted - 1) / 10)
    drift = _drift((width, height), across)
    what = f"no size near {wanted / 1e6:g} megapixels has exactly {aspect}; it becomes {width}x{height} ({_percent(drift)} off)"
    return Sized(width, height, (Finding("changed", what, "size.aspect"),) if drift else ())


def scaled(width: int, height: int, *, factor: float) -> Sized:
    """Return the size that is `factor` times another one (both in pixels, both on the lattice).

    Latent cells are rounded as ComfyUI's LatentUpscaleBy does. If that changes the aspect, it is said, with the nearest
    factors that keep it: multiples of 1 / gcd(width / 8, height / 8).
    """
    across = max(CELL * round(width / CELL * factor), MIN_UPSCALED)
    down = max(CELL * round(height / CELL * factor), MIN_UPSCALED)
    drift = _drift((across, down), Fraction(width, height))
    if min(across, down) == MIN_UPSCALED and min(width, height) * factor < MIN_UPSCALED:
        what = f"factor {factor:g} makes {across}x{down} (ComfyUI upscales to no less than {MIN_UPSCALED} pixels)"
        return Sized(across, down, (Finding("changed", what, "upscale.factor"),))
    if not drift:
        return Sized(across, down)
    common = math.gcd(width // CELL, height // CELL)
    below = Fraction(math.floor(factor * common), common)
    above = Fraction(math.floor(factor * common) + 1, common)
    exact = " and ".join(f"{float(near):.6g}" for near in (below, above) if 0 < near <= 8)
    what = f"the aspect drifts by {_percent(drift)} at factor {factor:g} ({across}x{down}); exact nearby: {exact}"
    return Sized(across, down, (Finding("changed", what, "upscale.factor"),))


def stretched(original: Sized, upscaled: Sized) -> tuple[Finding, ...]:
    """Return the warning that an upscaled size stretches the picture, if it does."""
    drift = _drift((upscaled.width, upscaled.height), Fraction(original.width, original.height))
    if not drift:
        return ()
    what = (
        f"{upscaled.width}x{upscaled.height} has another aspect than {original.width}x{original.height}: "
        f"the picture is stretched by {_percent(drift)}"
    )
    return (Finding("warning", what, "upscale.size"),)


def out_of_range(size: Sized, *, least: int, most: int, field: str) -> tuple[Finding, ...]:
    """Return the fault that a side is shorter or longer than possible, in pixels, if one is."""
    if least <= min(size.width, size.height) and max(size.width, size.height) <= most:
        return ()
    what = f"makes {size.width}x{size.height}, and sides must be from {least} to {most} pixels"
    return (Finding("fault", what, field),)


def _drift(size: tuple[int, int], across: Fraction) -> float:
    """Return by what share the aspect of a size is off; 0.0 exactly if it is not."""
    ratio = Fraction(*size) / across
    return float(max(ratio, 1 / ratio) - 1)


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"


def _area(width: int, height: int) -> str:
    return f"{width * height / 1e6:.2g}"
