"""Which pictures have the very same pixels, and which can hardly be told apart.

Files of equal pixels differ: ComfyUI writes each one's own graph into it. So pixels are compared, not files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from PIL import Image, ImageChops, ImageStat

from comfy_runner.errors import VerificationError

_SMALL: Final = (16, 16)  # cells, each of which a difference that can be seen would change
_SMALL_DIFFERENCE: Final = 1.0
_HARDLY: Final = 1.0
"""Mean difference of 8-bit values up to which two pictures can hardly be told apart: a peak signal-to-noise ratio of some 45 dB."""
_MOST_READ: Final = 2


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
    prints: Mapping[str, Fingerprint], groups: Iterable[Sequence[str]], read: Callable[[str], Image.Image]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return which earlier job's picture has the very same pixels, and which one can hardly be told apart, for jobs that have one.

    Pictures that are close to each other are looked for within a group only: whole pictures have to be read for that.

    Args:
        prints: The fingerprints of the jobs' pictures.
        groups: Jobs whose pictures can be alike, such as all that have one original, in order.
        read: Returns a job's picture, RGB; may raise a `VerificationError`.
    """
    same: dict[str, str] = {}
    close: dict[str, str] = {}
    first: dict[str, str] = {}
    for group in groups:
        earlier: list[_Small] = []
        for job_id in group:
            found = first.setdefault(prints[job_id].pixels, job_id)
            if found != job_id:
                same[job_id] = found
                continue
            picture = Image.frombytes("RGB", _SMALL, bytes.fromhex(prints[job_id].small))
            small = _Small(job_id, prints[job_id].size, picture, ImageStat.Stat(picture).mean)
            if found := _close(small, earlier, read):
                close[job_id] = found
            earlier.append(small)
    return same, close


class _Small(NamedTuple):
    """A picture's mean colours in cells, and in all."""

    job_id: str
    size: tuple[int, int]
    picture: Image.Image
    mean: Sequence[float]


def _close(this: _Small, earlier: Iterable[_Small], read: Callable[[str], Image.Image]) -> str:
    """Return the earlier job whose picture is close; only the likeliest few are read, for a thousand may be alike in small."""
    candidates = sorted(
        (difference, other.job_id)
        for other in earlier
        if other.size == this.size
        and all(abs(a - b) <= _SMALL_DIFFERENCE for a, b in zip(other.mean, this.mean, strict=True))
        and (difference := _difference(other.picture, this.picture)) <= _SMALL_DIFFERENCE
    )
    for _, other in candidates[:_MOST_READ]:
        try:
            if _difference(read(other), read(this.job_id)) <= _HARDLY:
                return other
        except VerificationError:
            continue  # somebody has just changed or removed it
    return ""


def _difference(one: Image.Image, other: Image.Image) -> float:
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)
