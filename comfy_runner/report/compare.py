"""Two pictures of one job held against each other: the same pixels, about the same to the eye, or another picture."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops

from comfy_runner.check.results import Likeness
from comfy_runner.report.measure_run import EXTRA, can_measure
from comfy_runner.report.pixels import DecodedPicture, eight_bits
from comfy_runner.report.read_pictures import over_grey
from comfy_runner.wording import counted

LEAST_SIMILARITY: Final = 0.95
"""The similarity from which on two pictures count as similar; docs/baselines.md has what it was tried on."""

_MOST_COMPARED: Final = 8192**2  # pixels; more would take gigabytes of memory
_LARGE: Final = 2048**2  # pixels; each takes some 30 bytes
_ONE_AT_A_TIME = threading.Lock()
_PALE: Final = 0.65
_CHANGED: Final = (214, 0, 110)


@dataclass(frozen=True, slots=True)
class Compared:
    """How a picture compares with the one that was expected.

    Attributes:
        likeness: `Likeness.SAME`, `Likeness.SIMILAR` or `Likeness.DIFFERENT`.
        similarity: That of the region that differs most, 0 to 1; None where none was measured.
        reason: Why they are different, in words that follow the name of the picture; empty where they are not.
    """

    likeness: Likeness
    similarity: float | None = None
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether they are the same, or similar."""
        return self.likeness is not Likeness.DIFFERENT


def compare_pictures(expected: DecodedPicture, actual: DecodedPicture, *, limit: float = LEAST_SIMILARITY) -> Compared:
    """Return how two pictures compare.

    Args:
        expected: What is wanted.
        actual: What there is.
        limit: The least similarity, 0 to 1, that makes them similar; with 1, only the same pixels pass.
    """
    if expected.sha256 == actual.sha256:
        return Compared(Likeness.SAME, 1.0)
    if expected.size != actual.size:
        return Compared(Likeness.DIFFERENT, None, f"is of another size (got {actual.size}, expected {expected.size})")
    if expected.frames > 1 or actual.frames > 1:
        frames = f" (got {counted(actual.frames, 'frame')}, expected {expected.frames})" if expected.frames != actual.frames else ""
        return Compared(Likeness.DIFFERENT, None, f"has different pixels, and an animation only passes with the same ones{frames}")
    if not can_measure():
        what = f"has different pixels, and how similar it is cannot be measured without numpy: {EXTRA}"
        return Compared(Likeness.DIFFERENT, None, what)
    if actual.image.width * actual.image.height > _MOST_COMPARED:
        return Compared(Likeness.DIFFERENT, None, "has different pixels, and is too large for its similarity to be measured")
    # What it imports takes long to load, and need not be installed.
    from comfy_runner.report.metrics.similarity import REGION, similarity

    with _ONE_AT_A_TIME if actual.image.width * actual.image.height > _LARGE else nullcontext():
        found = similarity(*_alike(expected.image, actual.image))
    alike = max(0.0, found.worst)
    if limit <= alike and limit < 1:
        return Compared(Likeness.SIMILAR, alike)
    if limit >= 1:
        return Compared(Likeness.DIFFERENT, alike, f"has different pixels (similarity {alike:.3f}), but only the same ones pass")
    place = f"{found.left + REGION // 2}, {found.top + REGION // 2}"
    what = f"looks different, most of all around pixel {place}: similarity {alike:.3f}, at least {limit:g} is wanted"
    return Compared(Likeness.DIFFERENT, alike, what)


def difference(expected: DecodedPicture, actual: DecodedPicture) -> Image.Image:
    """Return a picture of where two pictures of one size differ: the expected one, grey and pale, with what differs in magenta.

    What cannot be seen with the eye alone is a faint trace in it.
    """
    one, other = _alike(expected.image, actual.image)
    bands = ImageChops.difference(one, other).split()
    apart = bands[0]
    for band in bands[1:]:
        apart = ImageChops.lighter(apart, band)
    grey = one.convert("RGB").convert("L")
    pale = Image.blend(grey, Image.new("L", grey.size, 255), _PALE).convert("RGB")
    strength = apart.point(lambda value: 0 if value == 0 else 40 if value <= 3 else min(255, 90 + 1.5 * value))
    return Image.composite(Image.new("RGB", grey.size, _CHANGED), pale, strength)


def _alike(expected: Image.Image, actual: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return two pictures as RGB; where one has transparent parts, both as RGBA with grey behind them."""
    one, other = eight_bits(expected), eight_bits(actual)
    if one.mode == other.mode == "RGB":
        return one, other
    return _seen(one), _seen(other)


def _seen(image: Image.Image) -> Image.Image:
    """Return a picture whose colours are those that are seen over grey, with its own alpha channel."""
    picture = image.convert("RGBA")
    seen = over_grey(picture)
    seen.putalpha(picture.getchannel("A"))
    return seen
