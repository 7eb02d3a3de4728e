"""The pictures of a page that has no files beside it: as large and as good as its limit in bytes allows, all of them alike."""

from __future__ import annotations

import base64
import io
import math
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from PIL import Image

from comfy_runner.errors import UsageError, VerificationError
from comfy_runner.picture_files import BROKEN, opened, without_warnings
from comfy_runner.report.page.thumbnails import LONG_SIDE
from comfy_runner.report.read_pictures import read_reduced
from comfy_runner.store.interface import Artifact
from comfy_runner.wording import counted

MOST_BYTES: Final = 25_000_000
"""Largest page with its pictures in it, in bytes, unless another limit is given."""

AROUND: Final = 64
"""Bytes that a picture takes in the page besides its own."""

_SAMPLE = 16
_MARGIN = 1.03
_MOST_WORKERS = 4  # each holds a whole picture in memory


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture that is to be embedded.

    Attributes:
        artifact: The file.
        thumbnail: Its thumbnail, on this disk.
    """

    artifact: Artifact
    thumbnail: Path


@dataclass(frozen=True, slots=True)
class EmbeddedPicture:
    """A picture as it stands in a page.

    Attributes:
        media_type: Such as ``image/webp``.
        data: Its bytes; none where its file has gone or changed meanwhile.
    """

    media_type: str
    data: bytes

    @property
    def text(self) -> str:
        """Its bytes as base64."""
        return base64.b64encode(self.data).decode("ascii")

    @property
    def cost(self) -> int:
        """How many bytes of the page it takes."""
        return (len(self.data) + 2) // 3 * 4 + AROUND


@dataclass(frozen=True, slots=True)
class Step:
    """How good pictures are: the steps down are tried until all pictures fit.

    Attributes:
        side: Longest side, in pixels; larger pictures are reduced.
        quality: Of WebP, from 1 to 100.
    """

    side: int
    quality: int


_STEPS = (
    *(Step(4096, 90), Step(2048, 90), Step(2048, 80), Step(1536, 80), Step(1024, 80), Step(768, 80), Step(640, 80), Step(512, 80)),
    *(
        Step(448, 80),
        Step(384, 75),
        Step(320, 75),
        Step(320, 60),
        Step(256, 60),
        Step(192, 60),
        Step(128, 50),
        Step(96, 50),
        Step(64, 40),
    ),
)


def embed(sources: Sequence[PictureFile], room: int, quality: int | None = None) -> tuple[Sequence[EmbeddedPicture], Step | None]:
    """Return pictures that fit into a number of bytes, and how good they are; None where they are the very files.

    The files themselves are taken where they fit. Otherwise all become WebP of one quality and one longest side, so that no two
    differ by what was done to them here. Of a thousand pictures they are not all in memory at a time, only what they become.

    Args:
        sources: The pictures.
        room: Bytes of a page that they may take.
        quality: Of WebP, from 1 to 100, whatever the size; None for the files themselves where they fit, or else 90 and less.

    Raises:
        UsageError: They do not fit, however small they are made.
    """
    if quality is None and sum(map(_size, sources)) * 4 / 3 + AROUND * len(sources) <= room:
        files = _all(sources, lambda source: _file(source, room), room)
        if files is not None:
            return files, None
    steps = _STEPS if quality is None else tuple(Step(side, quality) for side in dict.fromkeys(step.side for step in _STEPS))
    # Names of thumbnails are hashes: the first ones are as good as drawn.
    sample = sorted(sources, key=lambda source: source.thumbnail.name)[:_SAMPLE]
    factor = 1.0 if len(sample) == len(sources) else _MARGIN * len(sources) / len(sample)

    @cache
    def expected(step: Step) -> float:
        return sum(each.cost for each in _all(sample, partial(_reduced, step=step)) or ()) * factor

    for step in steps[bisect_left(steps, True, key=lambda step: expected(step) <= room) :]:
        reduced = _all(sources, partial(_reduced, step=step), room)
        if reduced is not None:
            return reduced, step
    smallest = expected(steps[-1])
    what = f"is too little for {counted(len(sources), 'picture')}, even at {steps[-1].side} pixels"
    raise UsageError(what, where="--max-size", hint=f"allow {math.ceil((smallest - room) / 1e6)} MB more")


def _all(
    sources: Sequence[PictureFile], embedded: Callable[[PictureFile], EmbeddedPicture], room: float = math.inf
) -> Sequence[EmbeddedPicture] | None:
    """Return all of them; None as soon as they take more than their room."""
    found = []
    with ThreadPoolExecutor(min(_MOST_WORKERS, os.cpu_count() or 1)) as pool:
        for each in pool.map(embedded, sources):
            found.append(each)
            room -= each.cost
            if room < 0:
                pool.shutdown(cancel_futures=True)
                return None
    return found


def _size(source: PictureFile) -> int:
    found = source.artifact.store.stat(source.artifact.key)
    return found.size_bytes if found else 0


def _file(source: PictureFile, room: int) -> EmbeddedPicture:
    try:
        with source.artifact.open() as file:
            with without_warnings(), opened(file) as picture:
                media_type = picture.get_format_mimetype() or ""
            file.seek(0)
            return EmbeddedPicture(media_type, file.read(room + 1))
    except BROKEN:
        return EmbeddedPicture("image/webp", b"")


def _reduced(source: PictureFile, *, step: Step) -> EmbeddedPicture:
    try:
        picture, _ = read_reduced(source.thumbnail if step.side <= LONG_SIDE else source.artifact)
    except VerificationError:
        return EmbeddedPicture("image/webp", b"")
    picture.thumbnail((step.side, step.side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=step.quality)
    return EmbeddedPicture("image/webp", buffer.getvalue())
