"""A verified picture written anew as JPEG or WebP, with all that its file says of itself.

What ComfyUI and we write into a PNG's text chunks goes into EXIF, as ComfyUI does it itself for WebP (``SaveAnimatedWEBP`` in its
``comfy_extras/nodes_images.py``): ``prompt:{…}`` in tag 0x0110, ``workflow:{…}`` in 0x010F, further ones in descending tags.
Does not decide which pictures are written anew (`store.media_types`), nor where they go (`download`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from comfy_runner.errors import VerificationError
from comfy_runner.picture_files import BROKEN, opened, without_warnings
from comfy_runner.recipe.schema import QUALITY
from comfy_runner.store.interface import Artifact
from comfy_runner.text_files import shown

_PROMPT, _FIRST_OTHER, _LAST_OTHER = 0x0110, 0x010F, 0x010B  # below it there are tags that take no text
_FIRST = ("workflow", "comfy_runner")
_MOST_IN_JPEG = 65533 - 2  # of a segment, without its own length
_WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How pictures are written anew.

    Attributes:
        quality: 1 to 100.
        lossless: Whether a WebP has the very same pixels.
    """

    quality: int = QUALITY
    lossless: bool = False

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Encoding:
        """Return what a complete recipe says, as a sidecar or a submission has it."""
        output = recipe.get("output")
        given = output if isinstance(output, Mapping) else {}
        quality = given.get("quality")
        return cls(quality if type(quality) is int and 1 <= quality <= 100 else QUALITY, given.get("lossless") is True)


def convert(source: Path | Artifact, suffix: str, encoding: Encoding) -> tuple[bytes, tuple[str, ...]]:
    """Return a picture in another format, and what of its metadata has no room there, by name.

    Transparent parts of a JPEG become white; 16 bits a channel become 8.

    Args:
        source: A picture that was verified.
        suffix: Its format: ``.jpg`` or ``.webp``.
        encoding: How it is written.

    Raises:
        VerificationError: The picture cannot be read, or written in this format.
        OSError: It is gone.
    """
    where, target = shown(source) if isinstance(source, Path) else str(source), io.BytesIO()
    with source.open("rb") as file:
        try:
            with without_warnings():
                image = opened(file)
            with image:
                # What stands behind the pixels is read with them.
                image.load()
                exif, left_out = _exif(image, most=_MOST_IN_JPEG if suffix == ".jpg" else None)
                picture = _flattened(image) if suffix == ".jpg" else _coloured(image)
                beside = {"exif": exif} if exif else {}
                icc = image.info.get("icc_profile")
        except BROKEN as error:
            raise VerificationError(f"cannot be read: {str(error) or type(error).__name__}", where=where) from error
    # A profile describes the channels that it was made for.
    if icc and _channels(picture) == _channels(image):
        beside["icc_profile"] = icc
    try:
        if suffix == ".jpg":
            picture.save(target, "JPEG", quality=encoding.quality, **beside)
        else:
            picture.save(target, "WEBP", quality=encoding.quality, lossless=encoding.lossless, exact=encoding.lossless, **beside)
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise VerificationError(f"cannot be written as {suffix}: {str(error) or type(error).__name__}", where=where) from error
    return target.getvalue(), left_out


def _exif(image: Image.Image, *, most: int | None) -> tuple[bytes, tuple[str, ...]]:
    """Return what a picture says of itself as EXIF, and the names of what does not fit into so many bytes."""
    kept = image.getexif()
    left_out = []
    for tag, name, text in _tags(getattr(image, "text", {})):
        if tag is None:
            left_out.append(name)
            continue
        # ComfyUI writes ASCII alone, other programs anything; what reads EXIF takes it for UTF-8 if for anything.
        kept[tag] = f"{name}:{text}".encode()
        if most is not None and len(kept.tobytes()) > most:
            del kept[tag]
            left_out.append(name)
    found = kept.tobytes() if len(kept) else b""
    return (found, tuple(left_out)) if most is None or len(found) <= most else (b"", ("exif", *left_out))


def _tags(texts: Mapping[str, str]) -> Iterator[tuple[int | None, str, str]]:
    """Yield the tag of each text, those first of which the room is most needed; None where there is no tag for it."""
    others = [*(name for name in _FIRST if name in texts), *(name for name in texts if name not in (*_FIRST, "prompt"))]
    tags = dict(zip(others, range(_FIRST_OTHER, _LAST_OTHER - 1, -1), strict=False))
    tags["prompt"] = _PROMPT
    first = ("comfy_runner", "prompt")
    for name in sorted(texts, key=lambda name: first.index(name) if name in first else len(first)):
        yield tags.get(name), name, str(texts[name])


def _channels(image: Image.Image) -> str:
    return "RGB" if image.mode in ("P", "PA") else image.mode.removesuffix("A")


def _plain(image: Image.Image) -> Image.Image:
    """Return a picture with 8 bits a channel: grey, RGB or RGBA."""
    if image.mode.startswith("I"):
        # 16 bit grey; `convert` would cut it off at 255.
        return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.copy() if image.mode in ("L", "RGB") else image.convert("RGB")


def _coloured(image: Image.Image) -> Image.Image:
    """Return a picture as WebP has it: RGB or RGBA."""
    picture = _plain(image)
    return picture.convert("RGB") if picture.mode == "L" else picture


def _flattened(image: Image.Image) -> Image.Image:
    """Return a picture without transparency, which JPEG does not have: what is behind it is white, as on a page."""
    picture = _plain(image)
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, _WHITE), picture).convert("RGB")
