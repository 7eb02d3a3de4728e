"""Which pictures have the very same pixels, and which can hardly be told apart.

Files of equal pixels differ: ComfyUI writes each one's own graph into it. So pixels are compared, not files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Final

from PIL import Image, ImageChops, ImageStat

from comfy_runner.errors import VerificationError

_SMALL: Final = (16, 16)  # cells, each of which a difference that can be seen would change
_SMALL_DIFFERENCE: Final = 1.0
_CELL_DIFFERENCE: Final = 8  # of one cell, so that a patch of another content is seen
_SAMPLE: Final = (101, 103)
"""Pixels of a picture that stand for all of it. Primes, so that they are not all at the same place of JPEG's blocks of 8x8."""

_HARDLY: Final = (2.5, 6.0, 6.0)
"""Mean difference of 8-bit values up to which two pictures of like detail can hardly be told apart: of luma, and of the two colour
differences, which eyes see half as finely. JPEG and WebP of quality 95 differ by 0.4 to 1.6 in luma and by up to 3.2 in colour."""

Alike = Callable[[str, str], bool]
"""Whether two jobs' pictures may be near copies at all, by what else is known of them."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A picture in few bytes.

    Attributes:
        pixels: SHA-256 of its size and its pixels, hex.
        size: Width and height in pixels.
        small: Its mean colours in 16x16 cells, RGB bytes, hex.

    Raises:
        ValueError: They are too few or too many bytes.
    """

    pixels: str
    size: tuple[int, int]
    small: str

    def __post_init__(self) -> None:
        if len(bytes.fromhex(self.small)) != 3 * _SMALL[0] * _SMALL[1]:
            raise ValueError("not 16x16 colours")


def fingerprint(picture: Image.Image) -> Fingerprint:
    """Return the fingerprint of an RGB picture."""
    digest = hashlib.sha256(f"{picture.width}x{picture.height} ".encode())
    digest.update(picture.tobytes())
    small = picture.resize(_SMALL, Image.Resampling.BOX)
    return Fingerprint(digest.hexdigest(), picture.size, small.tobytes().hex())


def find_near_copies(
    prints: Mapping[str, Fingerprint],
    groups: Iterable[Sequence[str]],
    read: Callable[[str], Image.Image],
    alike: Alike = lambda _one, _other: True,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return which earlier job's picture has the very same pixels, and which one can hardly be told apart, for jobs that have one.

    Pictures that are close to each other are looked for within a group only: whole pictures have to be read for that. All that are
    close to one another name the first of them, so that a hundred small steps do not make the first and the last one the same.

    Args:
        prints: The fingerprints of the jobs' pictures.
        groups: Jobs whose pictures can be alike, such as all that have one original, in order.
        read: Returns a job's picture, RGB; may raise a `VerificationError`. Asked for a picture at most once.
        alike: Whether two of these may be close.
    """
    same: dict[str, str] = {}
    close: dict[str, str] = {}
    first: dict[str, str] = {}
    for group in groups:
        firsts: list[_Picture] = []
        for job_id in group:
            found = first.setdefault(prints[job_id].pixels, job_id)
            if found != job_id:
                same[job_id] = found
                continue
            picture = _Picture(job_id, prints[job_id], read)
            if found := next((other.job_id for other in firsts if alike(other.job_id, job_id) and picture.is_close(other)), ""):
                close[job_id] = found
            else:
                firsts.append(picture)
    return same, close


class _Picture:
    """A picture in three sizes, the largest of which is read when it is needed."""

    def __init__(self, job_id: str, known: Fingerprint, read: Callable[[str], Image.Image]) -> None:
        self.job_id = job_id
        self._size = known.size
        self._small = Image.frombytes("RGB", _SMALL, bytes.fromhex(known.small))
        self._mean = ImageStat.Stat(self._small).mean
        self._read = read

    def is_close(self, other: _Picture) -> bool:
        """Return whether this picture can hardly be told from another one."""
        return (
            self._size == other._size
            and all(abs(a - b) <= _SMALL_DIFFERENCE for a, b in zip(self._mean, other._mean, strict=True))
            and _difference(self._small, other._small) <= _SMALL_DIFFERENCE
            and _largest(self._small, other._small) <= _CELL_DIFFERENCE
            and self._sample is not None
            and other._sample is not None
            and all(found <= most for found, most in zip(_differences(self._sample, other._sample), _HARDLY, strict=True))
        )

    @cached_property
    def _sample(self) -> Image.Image | None:
        """Pixels from all over it, as luma and colour differences; None where somebody has just changed or removed it."""
        try:
            return self._read(self.job_id).resize(_SAMPLE, Image.Resampling.NEAREST).convert("YCbCr")
        except VerificationError:
            return None


def _difference(one: Image.Image, other: Image.Image) -> float:
    return fmean(_differences(one, other))


def _differences(one: Image.Image, other: Image.Image) -> list[float]:
    """Return the mean difference of each channel."""
    return ImageStat.Stat(ImageChops.difference(one, other)).mean


def _largest(one: Image.Image, other: Image.Image) -> int:
    return max(ImageChops.difference(one, other).tobytes())
