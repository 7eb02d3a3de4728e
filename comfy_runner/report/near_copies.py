"""Which pictures have the very same pixels, and which can hardly be told apart.

Files of equal pixels differ: ComfyUI writes each one's own graph into it. So pixels are compared, not files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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
        small: Its mean colours in 16x16 cells, RGB bytes.

    Raises:
        ValueError: They are too few or too many bytes.
    """

    pixels: str
    size: tuple[int, int]
    small: bytes

    def __post_init__(self) -> None:
        if len(self.small) != 3 * _SMALL[0] * _SMALL[1]:
            raise ValueError("not 16x16 colours")


@dataclass(frozen=True, slots=True)
class Likeness:
    """Which earlier job's picture is the same as, or close to, a job's.

    Attributes:
        same_as: The first job whose picture has the very same pixels; empty where there is none before this.
        close_to: The first job whose picture can hardly be told apart from this; likewise.
    """

    same_as: str = ""
    close_to: str = ""


def fingerprint(picture: Image.Image) -> Fingerprint:
    """Return the fingerprint of an RGB picture."""
    digest = hashlib.sha256(f"{picture.width}x{picture.height} ".encode())
    digest.update(picture.tobytes())
    small = picture.resize(_SMALL, Image.Resampling.BOX)
    return Fingerprint(digest.hexdigest(), picture.size, small.tobytes())


def find_likeness(
    prints: Mapping[str, Fingerprint], groups: Sequence[Sequence[str]], read: Callable[[str], Image.Image]
) -> dict[str, Likeness]:
    """Return, for each job, which earlier one its picture is like; jobs that are like none are left out.

    Pictures that are close to each other are looked for within a group only: whole pictures have to be read for that.

    Args:
        prints: The fingerprints of the jobs' pictures.
        groups: Jobs whose pictures can be alike, such as all that have one original, in order.
        read: Returns a job's picture, RGB; may raise a `VerificationError`.
    """
    found: dict[str, Likeness] = {}
    first: dict[str, str] = {}
    for group in groups:
        looked_at: list[tuple[str, Image.Image, Sequence[float]]] = []
        for job_id in (job_id for job_id in group if job_id in prints):
            same = first.setdefault(prints[job_id].pixels, job_id)
            if same != job_id:
                found[job_id] = Likeness(same_as=same)
                continue
            small = Image.frombytes("RGB", _SMALL, prints[job_id].small)
            mean = ImageStat.Stat(small).mean
            close = _close(job_id, small, mean, [one for one in looked_at if prints[one[0]].size == prints[job_id].size], read)
            if close:
                found[job_id] = Likeness(close_to=close)
            looked_at.append((job_id, small, mean))
    return found


def _close(
    job_id: str,
    small: Image.Image,
    mean: Sequence[float],
    earlier: Sequence[tuple[str, Image.Image, Sequence[float]]],
    read: Callable[[str], Image.Image],
) -> str:
    """Return the earlier job whose picture is close; only the likeliest few are read, for a thousand may be alike in small."""
    by_mean = (one for one in earlier if all(abs(a - b) <= _SMALL_DIFFERENCE for a, b in zip(one[2], mean, strict=True)))
    candidates = sorted(
        (difference, other) for other, its, _ in by_mean if (difference := _difference(its, small)) <= _SMALL_DIFFERENCE
    )
    for _, other in candidates[:_MOST_READ]:
        try:
            if _difference(read(other), read(job_id)) <= _HARDLY:
                return other
        except VerificationError:
            continue  # somebody has just changed or removed it
    return ""


def _difference(one: Image.Image, other: Image.Image) -> float:
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)
