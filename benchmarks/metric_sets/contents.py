"""Contents in two halves, and the scenes that a seed makes of them.

The photographs lie in the wheels of scikit-image, scikit-learn, PyWavelets and matplotlib, and the drawings are made by code, so
nothing is downloaded and no picture is in the repository. Constants are chosen on the tuned half; the held-out half says how good
they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageFilter
from PIL.Image import Resampling

from tests.report.metrics import pictures
from tests.report.metrics.pictures import Picture, Scene

HALVES: Final = {
    "tuned": (*pictures.TUNED, "aeroplane", "moon", "photographed text"),
    "held-out": (*pictures.HELD_OUT, "stairs", "portrait", "cells"),
}
"""The contents of each half. They have nothing in common but the kinds: photographs, textures, drawings, letters, smooth shades."""

FACTORS: Final = (1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
SHRINKING: Final = ("lanczos", "box", "bicubic", "bilinear", "gaussian")
"""How originals are made of truths: ComfyUI has no say in how soft or how sharp an original is."""

_LONGER_SIDE: Final = (96, 256)  # pixels of an original; less where a content is too small for its factor

_MORE: Final = {
    "aeroplane": ("pywt", "data/aero.npz"),
    "moon": ("skimage", "data/moon.png"),
    "photographed text": ("skimage", "data/text.png"),
    "stairs": ("pywt", "data/ascent.npz"),
    "portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "cells": ("skimage", "data/cell.png"),
}
"""Photographs that the tests do not have, by their package and the file in it."""

_SMALLER: Final = {"portrait": 2 / 3, "retina": 2 / 3, "tissue": 2 / 3, "moon": 1 / 2}
"""Photographs that have blocks themselves, by how much of their size they are used at, which does away with them: three were JPEG,
and of the moon's every pixel stands twice in each direction."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A scene of a set.

    Attributes:
        content: What it shows.
        seed: What its crop, size, factor, way of shrinking and damages were drawn by.
        factor: Width of the truth over that of the original.
        shrinking: One of `SHRINKING`.
        scene: Truth, original and plain upscale.
        other: The truth of another content, of the same size.
    """

    content: str
    seed: int
    factor: float
    shrinking: str
    scene: Scene
    other: Picture

    def rng(self, purpose: str) -> np.random.Generator:
        """Return random numbers for one purpose: the same in each run, whatever else is drawn."""
        return np.random.default_rng([self.seed, zlib.crc32(self.content.encode()), zlib.crc32(purpose.encode())])


def samples(
    half: str, seed: int, *, factors: tuple[float, ...] = FACTORS, longer: tuple[int, int] = _LONGER_SIDE
) -> Iterator[Sample]:
    """Yield a scene of every content of a half.

    Args:
        half: A key of `HALVES`.
        seed: From 0 on.
        factors: What the factor is drawn from.
        longer: Least and most pixels of an original's longer side.
    """
    names = HALVES[half]
    for number, name in enumerate(names):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        factor, shrinking = float(rng.choice(factors)), str(rng.choice(SHRINKING))
        truth = _cut(_content(name), factor, longer, rng)
        height, width = truth.shape[:2]
        small = round(width / factor), round(height / factor)
        original = shrunk(truth, small, shrinking)
        plain = pictures.resize(original, (width, height))
        other = _content(names[(number + int(rng.integers(1, len(names)))) % len(names)])
        yield Sample(name, seed, factor, shrinking, Scene(truth, original, plain), _fitting(other, (width, height), rng))


def shrunk(picture: Picture, size: tuple[int, int], how: str) -> Picture:
    """Return a picture at a smaller size (width, height).

    Args:
        picture: The picture.
        size: The size.
        how: One of `SHRINKING`; ``gaussian`` has a deviation of half a pixel of the small picture, as image pyramids have (Burt and
            Adelson 1983), and is softer than all others.
    """
    if how != "gaussian":
        return pictures.resize(picture, size, Resampling[how.upper()])
    height, width = picture.shape[:2]
    across, down = width / size[0], height / size[1]
    soft = Image.fromarray(picture).filter(ImageFilter.GaussianBlur((across / 2, down / 2)))
    return np.asarray(soft.transform(size, Image.Transform.AFFINE, (across, 0, 0, 0, down, 0), Resampling.BICUBIC))


def missing() -> tuple[str, ...]:
    """Return which packages with photographs are not installed, by the names that pip has for them."""
    return tuple(name for module, name in (("pywt", "PyWavelets"), ("matplotlib", "matplotlib")) if find_spec(module) is None)


def in_package(package: str, path: str) -> Path:
    """Return where a file of an installed package lies, without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent / path


@cache
def _content(name: str) -> Picture:
    if name in _MORE:
        path = in_package(*_MORE[name])
        picture = Image.fromarray(np.load(path)["data"].astype(np.uint8)) if path.suffix == ".npz" else Image.open(path)
        found = np.asarray(picture.convert("RGB"))
    else:
        found = pictures.content(name)
    height, width = found.shape[:2]
    scale = _SMALLER.get(name, 1)
    return pictures.resize(found, (int(width * scale), int(height * scale))) if scale < 1 else found


def _cut(whole: Picture, factor: float, longer: tuple[int, int], rng: np.random.Generator) -> Picture:
    """Return a part of a content of which an original of whole pixels can be made."""
    tall, wide = whole.shape[:2]
    side, shape = rng.integers(*longer, endpoint=True), rng.choice((0.5625, 0.75, 1.0))
    sides = (side, round(side * shape)) if rng.random() < 0.5 else (round(side * shape), side)
    width, height = (round(min(small, int(most / factor)) * factor) for small, most in zip(sides, (wide, tall), strict=True))
    top, left = (int(rng.integers(0, most - size + 1)) for most, size in ((tall, height), (wide, width)))
    return whole[top : top + height, left : left + width]


def _fitting(whole: Picture, size: tuple[int, int], rng: np.random.Generator) -> Picture:
    """Return a part of a content at a size (width, height); one that is too small for it is enlarged."""
    width, height = size
    scale = max(width / whole.shape[1], height / whole.shape[0], 1.0)
    if scale > 1:
        whole = pictures.resize(whole, (round(whole.shape[1] * scale), round(whole.shape[0] * scale)))
    top, left = int(rng.integers(0, whole.shape[0] - height + 1)), int(rng.integers(0, whole.shape[1] - width + 1))
    return whole[top : top + height, left : left + width]
