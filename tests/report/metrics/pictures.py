"""Pictures that metrics are tried on: a truth, its small original, and the truth spoilt in every way that has to be told apart.

The photographs are those that the wheels of scikit-image and scikit-learn carry; nothing is downloaded. `TUNED` contents were
looked at while the thresholds were chosen, `HELD_OUT` ones were not.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from PIL.Image import Resampling
from scipy import ndimage

Picture = NDArray[np.uint8]
"""RGB of 8 bits, shape (height, width, 3)."""


def _folder_of(package: str) -> Path:
    """Return the folder of an installed package, which takes long to import and of which only files are wanted."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


_SKIMAGE = _folder_of("skimage") / "data"
_SKLEARN = _folder_of("sklearn") / "datasets" / "images"

PHOTOGRAPHS = {
    "astronaut": _SKIMAGE / "astronaut.png",
    "brick": _SKIMAGE / "brick.png",
    "camera": _SKIMAGE / "camera.png",
    "cat": _SKIMAGE / "chelsea.png",
    "china": _SKLEARN / "china.jpg",
    "coffee": _SKIMAGE / "coffee.png",
    "coins": _SKIMAGE / "coins.png",
    "flower": _SKLEARN / "flower.jpg",
    "galaxies": _SKIMAGE / "hubble_deep_field.jpg",
    "grass": _SKIMAGE / "grass.png",
    "gravel": _SKIMAGE / "gravel.png",
    "motorcycle": _SKIMAGE / "motorcycle_left.png",
    "page": _SKIMAGE / "page.png",
    "retina": _SKIMAGE / "retina.jpg",
    "rocket": _SKIMAGE / "rocket.jpg",
    "tissue": _SKIMAGE / "ihc.png",
}

TUNED = ("astronaut", "brick", "china", "coffee", "coins", "gravel", "motorcycle", "page", "line art", "gradient", "windows")
HELD_OUT = ("camera", "cat", "flower", "galaxies", "grass", "retina", "rocket", "tissue", "letters", "leaves", "clouds")


@cache
def content(name: str) -> Picture:
    """Return a photograph or a drawing, as large as it is."""
    if name in PHOTOGRAPHS:
        return np.asarray(Image.open(PHOTOGRAPHS[name]).convert("RGB"))
    return np.asarray(_DRAWN[name](np.random.default_rng(7)).convert("RGB"))


def _line_art(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (1536, 1152), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(120):
        x, y, size = (int(rng.integers(low, high)) for low, high in ((0, 1536), (0, 1152), (20, 220)))
        width = int(rng.integers(2, 7))
        match rng.integers(0, 3):
            case 0:
                draw.ellipse((x, y, x + size, y + size * 0.7), outline="black", width=width)
            case 1:
                draw.line((x, y, x + int(rng.integers(-size, size)), y + size), fill="black", width=width)
            case _:
                draw.polygon(
                    ((x, y), (x + size, y + 20), (x + size / 2, y + size)), outline="black", fill=(200, 30, 60), width=width
                )
    return image.resize((768, 576), Resampling.LANCZOS)


def _gradient(_rng: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[0:480, 0:640].astype(np.float64)
    sky = np.stack([90 + 100 * y / 480, 120 + 80 * y / 480 + 20 * x / 640, 200 - 60 * y / 480], axis=-1)
    sky += 60 * np.exp(-((x - 430) ** 2 + (y - 300) ** 2) / 8000)[..., None]
    return Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))


def _windows(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (640, 512), (150, 170, 200))
    draw = ImageDraw.Draw(image)
    for left, top, right, pitch in ((20, 60, 290, 16), (330, 20, 620, 24)):
        draw.rectangle((left, top, right, 512), fill=(120, 100, 90))
        for x in range(left + 6, right - pitch // 2, pitch):
            for y in range(top + 8, 500, pitch):
                shade = int(rng.integers(30, 230))
                draw.rectangle((x, y, x + pitch // 2, y + pitch // 2), fill=(shade, shade, shade - 20), outline=(80, 70, 60))
    return image.filter(ImageFilter.GaussianBlur(0.5))


def _letters(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (640, 480), (245, 240, 228))
    draw = ImageDraw.Draw(image)
    for size, top in ((34, 10), (22, 60), (15, 100), (11, 180), (18, 300)):
        font = ImageFont.load_default(size)
        for line in range(1 if size > 20 else 4):
            words = "".join(chr(rng.integers(97, 123)) if rng.random() > 0.16 else " " for _ in range(1000 // size))
            draw.text((15, top + line * size * 1.4), words, fill=(25, 22, 30), font=font)
    return image


def _leaves(rng: np.random.Generator) -> Image.Image:
    """Discs of all sizes over one another: edges as natural pictures have them (the dead leaves model of Matheron)."""
    image = Image.new("RGB", (1280, 960), (60, 90, 50))
    draw = ImageDraw.Draw(image)
    for radius in np.sort(3 * (1 - rng.random(6000)) ** -0.9)[::-1]:
        x, y, size = rng.integers(0, 1280), rng.integers(0, 960), min(radius, 260)
        colour = (int(rng.integers(20, 150)), int(rng.integers(60, 220)), int(rng.integers(10, 110)))
        draw.ellipse((x - size, y - size * 0.6, x + size, y + size * 0.6), fill=colour)
    return image.resize((640, 480), Resampling.LANCZOS)


def _clouds(rng: np.random.Generator) -> Image.Image:
    """Noise with an amplitude of 1/f: a texture without edges."""
    y, x = np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(768), indexing="ij")
    spectrum = np.fft.fft2(rng.normal(size=(512, 768))) / np.maximum(np.hypot(y, x), 1 / 512) ** 1.1
    plane = np.fft.ifft2(spectrum).real
    plane = 128 + 45 * (plane - plane.mean()) / plane.std()
    return Image.fromarray(np.clip(np.stack([plane, plane * 0.95 + 8, plane * 0.8 + 30], axis=-1), 0, 255).astype(np.uint8))


_DRAWN: Mapping[str, Callable[[np.random.Generator], Image.Image]] = {
    "line art": _line_art,
    "gradient": _gradient,
    "windows": _windows,
    "letters": _letters,
    "leaves": _leaves,
    "clouds": _clouds,
}


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A truth and its small original.

    Attributes:
        truth: What the best upscaled picture would be.
        original: The truth, made small.
        plain: The original, made large again.
    """

    truth: Picture
    original: Picture
    plain: Picture


def scene(name: str, *, size: tuple[int, int], factor: float, how: Resampling | None = Resampling.LANCZOS, seed: int = 0) -> Scene:
    """Return the scene of a content, cut out or enlarged to a size (width, height) of the original; made small as `shrunk` does."""
    width, height = round(size[0] * factor), round(size[1] * factor)
    whole = content(name)
    rng = np.random.default_rng(seed)
    tall, wide = whole.shape[:2]
    if wide < width or tall < height:
        scale = max(width / wide, height / tall)
        whole = np.asarray(Image.fromarray(whole).resize((round(wide * scale), round(tall * scale)), Resampling.LANCZOS))
        tall, wide = whole.shape[:2]
    top, left = int(rng.integers(0, tall - height + 1)), int(rng.integers(0, wide - width + 1))
    truth = whole[top : top + height, left : left + width]
    original = shrunk(truth, size, how)
    return Scene(truth, original, resize(original, (width, height)))


def resize(picture: Picture, size: tuple[int, int], how: Resampling = Resampling.LANCZOS) -> Picture:
    """Return a picture at another size (width, height)."""
    return np.asarray(Image.fromarray(picture).resize(size, how))


def shrunk(picture: Picture, size: tuple[int, int], how: Resampling | None) -> Picture:
    """Return a picture at a smaller size (width, height), by a filter of Pillow's, or None for a Gaussian of half a pixel of it."""
    if how is not None:
        return resize(picture, size, how)
    reach = tuple(0.5 * large / small for large, small in zip(picture.shape[:2], size[::-1], strict=True))
    soft = ndimage.gaussian_filter(picture.astype(np.float32), (*reach, 0))
    rows, columns = (
        (np.arange(small) + 0.5) * large / small - 0.5 for large, small in zip(picture.shape[:2], size[::-1], strict=True)
    )
    where = np.meshgrid(rows, columns, indexing="ij")
    return bytes_of(np.stack([ndimage.map_coordinates(soft[..., each], where, order=1) for each in range(3)], axis=-1))


def bytes_of(picture: NDArray[np.floating]) -> Picture:
    """Return a picture of numbers up to 255 as bytes."""
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def mixed(this: Picture, other: Picture, share: float) -> Picture:
    """Return a picture with so much of another in it."""
    return bytes_of(this.astype(np.float64) * (1 - share) + share * other.astype(np.float64))


def noisy(picture: Picture, sigma: float, seed: int = 0) -> Picture:
    """Return a picture with Gaussian noise of a standard deviation of full scale."""
    return bytes_of(picture + np.random.default_rng(seed).normal(0, sigma * 255, picture.shape))


def blurred(picture: Picture, radius: float) -> Picture:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def sharpened(picture: Picture, radius: float, percent: int) -> Picture:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.UnsharpMask(radius, percent, 0)))


def mosaic(picture: Picture, side: int) -> Picture:
    """Return a picture with the mean of each square everywhere in it."""
    height, width = picture.shape[:2]
    small = resize(picture, (max(1, width // side), max(1, height // side)), Resampling.BOX)
    return resize(small, (width, height), Resampling.NEAREST)


def stepped_blocks(picture: Picture, side: int, sigma: float, seed: int = 0) -> Picture:
    """Return a picture of which each square is a little lighter or darker, by a standard deviation in 255ths."""
    height, width = picture.shape[:2]
    steps = np.random.default_rng(seed).normal(0, sigma, (height // side + 1, width // side + 1))
    return bytes_of(picture + np.kron(steps, np.ones((side, side)))[:height, :width, None])


def grid(picture: Picture, side: int, height: float) -> Picture:
    """Return a picture with lines of one pixel around all squares, so much lighter in 255ths."""
    found = picture.astype(np.float64)
    found[::side] += height
    found[:, ::side] += height
    return bytes_of(found)


def jpeg(picture: Picture, quality: int) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def tiled(picture: Picture, count: tuple[int, int], step: float, seed: int = 0) -> Picture:
    """Return a picture whose tiles (columns, rows) are lighter and darker in turn, by half the step in 255ths each."""
    height, width = picture.shape[:2]
    found = picture.astype(np.float64)
    rng = np.random.default_rng(seed)
    for row, rows in enumerate(np.array_split(np.arange(height), count[1])):
        for column, columns in enumerate(np.array_split(np.arange(width), count[0])):
            offset = step / 2 if (row + column) % 2 else -step / 2
            found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += offset * rng.uniform(0.9, 1.1)
    return bytes_of(found)


def lined(picture: Picture, count: tuple[int, int], height: float, thickness: int = 1) -> Picture:
    """Return a picture with a lighter line at each border of its tiles."""
    found = picture.astype(np.float64)
    for axis, many in ((1, count[0]), (0, count[1])):
        for tiles in np.array_split(np.arange(picture.shape[axis]), many)[1:]:
            place = slice(tiles[0], tiles[0] + thickness)
            found[(slice(None), place) if axis else (place, slice(None))] += height
    return bytes_of(found)


def tinted(picture: Picture, red: float, green: float, blue: float) -> Picture:
    return bytes_of(picture + np.array([red, green, blue]))


def elsewhere(picture: Picture, other: Picture, share: float, seed: int = 0) -> Picture:
    """Return a picture with another one's content in so much of its area, in one rectangle."""
    height, width = picture.shape[:2]
    side = share**0.5
    tall, wide = round(height * side), round(width * side)
    rng = np.random.default_rng(seed)
    top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
    found = picture.copy()
    found[top : top + tall, left : left + wide] = resize(other, (width, height))[top : top + tall, left : left + wide]
    return found


def moved(picture: Picture, right: int, down: int) -> Picture:
    """Return a picture moved by whole pixels; its border is repeated."""
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return picture[rows][:, columns]


def grey_noisy(picture: Picture, sigma: float, seed: int = 0) -> Picture:
    """Return a picture with the same Gaussian noise in all channels."""
    return bytes_of(picture + np.random.default_rng(seed).normal(0, sigma * 255, picture.shape[:2])[..., None])
