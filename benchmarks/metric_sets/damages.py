"""What can be wrong with an upscaled picture: single faults, two at once, invented structures; and what only looks like a copy.

Each damage says whether a picture that has it has to be ruled out, or only has to come after the same picture without it. How
strong it is, is drawn: from what is plainly seen to what nobody could bear. Where it cannot be seen, it is left out (`is_seen`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling
from scipy import fft, ndimage

from benchmarks.metric_sets.contents import Sample
from tests.report.metrics import pictures as paint
from tests.report.metrics.pictures import Picture

Maker = Callable[[Sample, Picture, Generator], Picture]
"""Makes a picture of another one of a sample."""

Base = Literal["truth", "half", "plain"]
"""What a damage is done to: the truth, half of its detail, or the plain upscale."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One way to spoil a picture.

    Attributes:
        name: What it is called.
        group: The class it is counted in.
        make: Spoils a picture.
        ruled_out: Whether a picture with it has to be ruled out.
        bases: What it is done to.
    """

    name: str
    group: str
    make: Maker
    ruled_out: bool = field(default=True, kw_only=True)
    bases: tuple[Base, ...] = field(default=("truth", "half"), kw_only=True)


def is_seen(picture: Picture, clean: Picture) -> bool:
    """Return whether a difference can be seen: in one pixel in a hundred, some channel differs by three steps or more."""
    difference = np.abs(picture.astype(np.int16) - clean).max(axis=-1)
    return bool(np.quantile(difference, 0.99) >= 3)


def webp(picture: Picture, quality: int) -> Picture:
    """Return a picture after WebP."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def warped(picture: Picture, reach: float, size: float, rng: Generator) -> Picture:
    """Return a picture bent smoothly: the composition drifts, its detail stays.

    Args:
        picture: The picture.
        reach: How far pixels move, as a standard deviation in each direction, in pixels.
        size: Size of what moves together, in pixels.
        rng: Where it moves.
    """
    height, width = picture.shape[:2]
    moves = ndimage.gaussian_filter(rng.normal(size=(2, height, width)), (0, size, size), mode="wrap")
    moves *= reach / moves.std(axis=(1, 2), keepdims=True)
    where = np.mgrid[0:height, 0:width] + moves
    planes = [ndimage.map_coordinates(picture[..., each].astype(np.float32), where, order=3, mode="nearest") for each in range(3)]
    return paint.bytes_of(np.stack(planes, axis=-1))


def _added(picture: Picture, plane: NDArray[np.float64]) -> Picture:
    """Return a picture with a plane (255ths) added to all channels, or a picture of them."""
    return paint.bytes_of(picture + (plane if plane.ndim == 3 else plane[..., None]))


def _grain(_sample: Sample, picture: Picture, rng: Generator) -> Picture:
    """Coarse grain: noise of which neighbours are alike, as sensors' noise is after a camera's own processing."""
    noise = ndimage.gaussian_filter(rng.normal(size=picture.shape), (0.7, 0.7, 0))
    return _added(picture, noise * (rng.uniform(8, 20) / noise.std()))


def _ringing(sample: Sample, picture: Picture, rng: Generator) -> Picture:
    """Ringing: what lies around the original's finest waves is stronger by far, so that edges have several echoes."""
    height, width = picture.shape[:2]
    waves = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]) * sample.factor / 0.5
    gain = 1 + rng.uniform(3, 6) * ((waves > 0.75) & (waves < 1.0))
    return paint.bytes_of(fft.irfft2(fft.rfft2(picture, axes=(0, 1)) * gain[..., None], s=(height, width), axes=(0, 1)))


def _blurred(sample: Sample, picture: Picture, rng: Generator) -> Picture:
    return paint.blurred(picture, float(rng.uniform(0.5, 1.2)) * sample.factor)


def _stepped(_sample: Sample, picture: Picture, rng: Generator) -> Picture:
    return paint.stepped_blocks(picture, int(rng.choice((8, 16))), float(rng.uniform(5, 10)), int(rng.integers(1 << 30)))


def _nearest(sample: Sample, picture: Picture, _rng: Generator) -> Picture:
    return paint.resize(sample.scene.original, (picture.shape[1], picture.shape[0]), Resampling.NEAREST)


def _in_part_another(sample: Sample, picture: Picture, rng: Generator) -> Picture:
    return paint.elsewhere(picture, sample.other, float(rng.uniform(0.1, 0.4)), int(rng.integers(1 << 30)))


def _sharpened(_sample: Sample, picture: Picture, rng: Generator) -> Picture:
    return paint.sharpened(picture, float(rng.uniform(1.5, 3.0)), int(rng.integers(150, 300)))


def _cast(_sample: Sample, picture: Picture, rng: Generator) -> Picture:
    """A cast of one channel, towards where there is room for it."""
    channel = int(rng.integers(0, 3))
    step = rng.uniform(14, 26) * (1 if picture[..., channel].mean() < 128 else -1)
    return paint.tinted(picture, *(step if each == channel else 0.0 for each in range(3)))


def _rectangle(picture: Picture, rng: Generator) -> tuple[slice, slice]:
    height, width = picture.shape[:2]
    side = rng.uniform(0.04, 0.15) ** 0.5
    tall, wide = round(height * side), round(width * side)
    top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
    return slice(top, top + tall), slice(left, left + wide)


def _black_rectangle(_sample: Sample, picture: Picture, rng: Generator) -> Picture:
    found = picture.copy()
    found[_rectangle(picture, rng)] = 0
    return found


def _flat_rectangle(_sample: Sample, picture: Picture, rng: Generator) -> Picture:
    """One color, the mean of what was there; not where there was hardly more than one."""
    found = picture.copy()
    where = max((_rectangle(picture, rng) for _ in range(8)), key=lambda one: float(picture[one].std(axis=(0, 1)).max()))
    if picture[where].std(axis=(0, 1)).max() > 8:
        found[where] = picture[where].mean(axis=(0, 1))
    return found


def _checker(_sample: Sample, picture: Picture, rng: Generator) -> Picture:
    rows, columns = np.indices(picture.shape[:2]) // 2
    return _added(picture, np.where((rows + columns) % 2, 1.0, -1.0) * rng.uniform(6, 16))


def _worms(sample: Sample, picture: Picture, rng: Generator) -> Picture:
    """Noise of one width, as bands that wind about: what a network paints that has lost its way."""
    width = rng.uniform(0.6, 1.0) * max(1.0, sample.factor / 2)
    noise = rng.normal(size=picture.shape[:2])
    band = ndimage.gaussian_filter(noise, width) - ndimage.gaussian_filter(noise, 1.6 * width)
    band = np.tanh(2 * band / band.std())
    return _added(picture, band * rng.uniform(8, 18))


def _foreign_detail(sample: Sample, picture: Picture, rng: Generator) -> Picture:
    """What another content has above the original's resolution, and not less of it than the truth has."""
    fine = _fine(sample.other, sample)
    strength = max(float(_fine(sample.scene.truth, sample).std()), 4.0) / max(float(fine.std()), 0.5)
    return _added(picture, fine * min(strength, 6.0) * rng.uniform(1.0, 1.8))


def _repeated_tile(sample: Sample, picture: Picture, rng: Generator) -> Picture:
    """The busiest piece of the truth's detail, everywhere."""
    fine = _fine(sample.scene.truth, sample)
    height, width = fine.shape[:2]
    side = min(int(rng.integers(12, 33)), height, width)
    energy = ndimage.uniform_filter((fine**2).mean(axis=-1), side)
    inner = energy[side // 2 : height - (side - 1) // 2, side // 2 : width - (side - 1) // 2]
    top, left = np.unravel_index(int(np.argmax(inner)), inner.shape)
    tile = fine[top : top + side, left : left + side]
    tile = tile * max(1.0, 6.0 / max(float(tile.std()), 0.5)) * rng.uniform(1.0, 1.5)
    return _added(picture, np.tile(tile, (height // side + 1, width // side + 1, 1))[:height, :width])


def _fine(picture: Picture, sample: Sample) -> NDArray[np.float64]:
    """Return what a picture has above the original's resolution, in 255ths."""
    height, width = sample.scene.original.shape[:2]
    small = paint.resize(picture, (width, height))
    return picture.astype(np.float64) - paint.resize(small, (picture.shape[1], picture.shape[0]))


def _pair(first: Damage, second: Damage) -> Damage:
    def make(sample: Sample, picture: Picture, rng: Generator) -> Picture:
        return second.make(sample, first.make(sample, picture, rng), rng)

    # Blur takes noise and blocks away again, and is not sharp after sharpening; what is left of the other fault has no name.
    ruled_out = "blur" not in (first.name, second.name) or second.name in ("tiles", "cast", "in part another")
    return Damage(f"{first.name} and {second.name}", "two at once", make, ruled_out=ruled_out, bases=("truth",))


_EVERYTHING: Final[tuple[Base, ...]] = ("truth", "half", "plain")

_SINGLE: Final = (
    Damage("blur", "blur", _blurred, ruled_out=False, bases=_EVERYTHING),
    Damage("noise", "noise", lambda _s, p, r: _added(p, r.normal(0, r.uniform(6, 20), p.shape)), bases=_EVERYTHING),
    Damage("noise in luma", "noise", lambda _s, p, r: _added(p, r.normal(0, r.uniform(8, 20), p.shape[:2]))),
    Damage("grain", "noise", _grain),
    Damage("jpeg", "jpeg", lambda _s, p, r: paint.jpeg(p, int(r.integers(5, 21)))),
    Damage("mosaic", "blocks", lambda _s, p, r: paint.mosaic(p, int(r.choice((4, 6, 8, 12))))),
    Damage("stepped blocks", "blocks", _stepped),
    Damage("grid", "blocks", lambda _s, p, r: paint.grid(p, int(r.choice((8, 16))), r.uniform(8, 16))),
    Damage("nearest neighbor", "blocks", _nearest, bases=("plain",)),
    Damage("tiles", "seams", lambda _s, p, r: paint.tiled(p, (3, 2), r.uniform(6, 14), int(r.integers(1 << 30)))),
    Damage("lines", "seams", lambda _s, p, r: paint.lined(p, (3, 2), r.uniform(10, 20), 2)),
    Damage("sharpened", "sharpening", _sharpened, bases=_EVERYTHING),
    Damage("ringing", "sharpening", _ringing, bases=("truth", "plain")),
    Damage("cast", "color", _cast),
    Damage("in part another", "composition", _in_part_another),
    Damage("another altogether", "composition", lambda s, _p, _r: s.other, bases=("truth",)),
    Damage("mirrored", "composition", lambda _s, p, _r: p[:, ::-1].copy(), bases=("truth",)),
    Damage("moved", "drift", lambda _s, p, r: paint.moved(p, int(r.integers(1, 5)), int(r.integers(0, 5))), ruled_out=False),
    Damage("bent", "drift", lambda s, p, r: warped(p, r.uniform(0.5, 1.2) * s.factor, 6 * s.factor, r), ruled_out=False),
    Damage("black rectangle", "dead area", _black_rectangle),
    Damage("flat rectangle", "dead area", _flat_rectangle),
    Damage("checker", "invented", _checker, bases=("half", "plain")),
    Damage("worms", "invented", _worms, ruled_out=False, bases=("half", "plain")),
    Damage("foreign detail", "invented", _foreign_detail, ruled_out=False, bases=("plain",)),
    Damage("repeated tile", "invented", _repeated_tile, bases=("plain",)),
)

_TOGETHER: Final = ("noise", "jpeg", "blur", "tiles", "sharpened", "cast", "in part another")
_ONE: Final[Mapping[str, Damage]] = {damage.name: damage for damage in _SINGLE}

DAMAGES: Final = (*_SINGLE, *(_pair(_ONE[one], _ONE[other]) for one, other in combinations(_TOGETHER, 2)))
"""All of them. Of the pairs with a blur, those have to be ruled out whose other fault survives it."""

COPIES: Final[Mapping[str, Maker]] = {
    "jpeg 95": lambda _s, p, _r: paint.jpeg(p, 95),
    "webp 95": lambda _s, p, _r: webp(p, 95),
    "one step of noise": lambda _s, p, r: _added(p, r.integers(-1, 2, p.shape).astype(np.float64)),
    "jpeg 98 of jpeg 97": lambda _s, p, _r: paint.jpeg(paint.jpeg(p, 97), 98),
}
"""Near copies: nobody can tell them from what they were made of."""

DIFFERENT: Final[Mapping[str, Maker]] = {
    "half of the detail": lambda s, p, _r: paint.mixed(s.scene.plain, p, 0.5),
    "no detail": lambda s, _p, _r: s.scene.plain,
    "blurred": lambda _s, p, _r: paint.blurred(p, 1.0),
    "bent": lambda s, p, r: warped(p, 0.7 * s.factor, 6 * s.factor, r),
    "one patch another": lambda s, p, r: paint.elsewhere(p, s.other, 0.02, int(r.integers(1 << 30))),
    "sharpened": lambda _s, p, _r: paint.sharpened(p, 1.5, 100),
}
"""Pictures that are no copies, though most of them are close."""
