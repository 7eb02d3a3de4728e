"""What a picture file shows, whatever its format, its compression and its metadata: pixels, and a hash of them."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from comfy_runner.check.pictures import MOST_PIXELS
from comfy_runner.errors import VerificationError
from comfy_runner.picture_files import BROKEN, eight_bit_grey, opened, without_warnings
from comfy_runner.store.interface import Artifact
from comfy_runner.text_files import shown
from comfy_runner.wording import counted

_DEEP = "I"
_MOST_FRAMES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedPicture:
    """A decoded picture; of an animation, its first frame.

    Attributes:
        image: RGB, or RGBA where anything is transparent, of 8 bits a channel; grey of 16 bits (mode ``I``) stays so.
        sha256: Of the sizes, modes and values of all frames, hex: equal for equal pixels, and for no others. Empty for what is
            left of a picture.
        frames: How many pictures it has; more than one for an animation.
    """

    image: Image.Image
    sha256: str
    frames: int = 1

    @property
    def size(self) -> str:
        """Width and height as messages have them, such as ``512x288``."""
        return f"{self.image.width}x{self.image.height}"


def read_pixels(source: Path | Artifact) -> DecodedPicture:
    """Decode a PNG, JPEG or WebP, to its end. Colour profiles and turns that EXIF asks for are not applied.

    Args:
        source: The file.

    Raises:
        VerificationError: It is gone, no whole picture, or has more pixels than any that is collected.
    """
    where = shown(source) if isinstance(source, Path) else str(source)
    digest = hashlib.sha256()
    try:
        with source.open("rb") as file:
            with without_warnings():
                image = opened(file)
            with image:
                frames = int(getattr(image, "n_frames", 1))
                if image.width * image.height * frames > MOST_PIXELS or frames > _MOST_FRAMES:
                    size = f"{image.width}x{image.height} in each of {counted(frames, 'frame')}"
                    what = f"has more than {MOST_PIXELS} pixels (got {size})"
                    raise VerificationError(what, where=where)
                first = None
                for number in range(frames):
                    image.seek(number)
                    image.load()
                    frame = _canonical(image)
                    digest.update(f"{frame.mode} {frame.width}x{frame.height} ".encode())
                    digest.update(frame.tobytes())
                    first = first or frame
    except FileNotFoundError as error:
        raise VerificationError("is gone", where=where) from error
    except BROKEN as error:
        raise VerificationError(f"is not a whole picture: {str(error) or type(error).__name__}", where=where) from error
    assert first is not None  # noqa: S101 - every picture has a frame
    return DecodedPicture(image=first, sha256=digest.hexdigest(), frames=frames)


def read_remains(source: Path | Artifact) -> DecodedPicture | None:
    """Decode as much as there is of a PNG or JPEG that was cut short or spoilt; what is lost is black or grey.

    Args:
        source: The file.

    Returns:
        The picture, without a hash; None where nothing can be made out, or it has more pixels than any that is collected.
    """
    try:
        with source.open("rb") as file:
            with without_warnings():
                image = opened(file)
            with image:
                if image.width * image.height > MOST_PIXELS:
                    return None
                with contextlib.suppress(*BROKEN):
                    image.load()
                # Pillow has decoded what comes before the fault, and takes it for the whole where no part is left to be read.
                image.tile = []
                return DecodedPicture(image=_canonical(image), sha256="")
    except BROKEN:
        return None


def eight_bits(image: Image.Image) -> Image.Image:
    """Return a picture of `DecodedPicture` as RGB or RGBA: 16 bits of grey become 8."""
    return eight_bit_grey(image).convert("RGB") if image.mode == _DEEP else image


def _canonical(image: Image.Image) -> Image.Image:
    if image.mode.startswith(_DEEP):
        return image.convert(_DEEP)
    if not image.has_transparency_data:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    # An alpha channel that hides nothing is how some nodes save any picture.
    return picture.convert("RGB") if picture.getchannel("A").getextrema() == (255, 255) else picture
