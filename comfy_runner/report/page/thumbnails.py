"""Small pictures for a page of many, made once, each with a coarse description: the picture's size, where it is bright and busy.

No suggestion rests on that description.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

from comfy_runner.atomic_files import is_leftover, open_plain, write_atomically
from comfy_runner.errors import VerificationError
from comfy_runner.report.read_pictures import read_reduced
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.run_folder import REPORT_FILES
from comfy_runner.store.sidecar import HASH

LONG_SIDE = 448
"""Of a thumbnail, in pixels."""

CELLS = 16
"""Of a signature, along the long side."""

_FORMAT = 2
_QUALITY = 80
_MOST_WORKERS = 4  # each holds a whole picture in memory
_IMAGE_DESCRIPTION = 0x010E  # the EXIF field in which a thumbnail carries what is known of its picture
_OURS = re.compile(r"[0-9a-f]{32}\.webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A small picture, and what is known of the one that it was made from.

    Attributes:
        path: Relative to the run folder, with ``/``; empty where none could be made.
        width: Of the large picture, in pixels; 0 where it could not be read.
        height: Likewise.
        columns: Of the signature; 0 where there is none.
        rows: Likewise.
        signature: Of each cell, row by row, its mean luma and its fine contrast (mean distance from the blurred luma, times
            four), a byte each; base64.
        problem: Why there is none; empty where there is.
    """

    path: str = ""
    width: int = 0
    height: int = 0
    columns: int = 0
    rows: int = 0
    signature: str = ""
    problem: str = ""


def make_thumbnails(folder: Path, files: Iterable[FileRow], store: ArtifactStore) -> dict[str, Thumbnail]:
    """Make the thumbnails of a run's pictures in its folder, and take away those of pictures that are gone.

    Those that are there already are kept.

    Args:
        folder: The run folder.
        files: Its pictures.
        store: Where these are.

    Returns:
        For each picture, by its path in the run folder, what became of it.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    names = {row.path: thumbnail_key(row.sha256) for row in files}
    first = {name: path for path, name in reversed(names.items())}  # the very same pixels may lie in several places
    with ThreadPoolExecutor(min(_MOST_WORKERS, os.cpu_count() or 1)) as pool:
        made = dict(zip(first, pool.map(lambda name: _thumbnail(folder, Artifact(store, first[name]), name), first), strict=True))
    _sweep(folder / REPORT_FILES, {name.rpartition("/")[2] for name, thumbnail in made.items() if thumbnail.path})
    return {path: made[name] for path, name in names.items()}


def make_thumbnail(folder: Path, row: FileRow, store: ArtifactStore) -> Thumbnail:
    """Make the thumbnail of one picture, or return the one that is there already; no other is taken away.

    Args:
        folder: The run folder.
        row: The picture.
        store: Where it is.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    return _thumbnail(folder, Artifact(store, row.path), thumbnail_key(row.sha256))


def thumbnail_key(sha256: str) -> str:
    """Return where the thumbnail of a picture lies, relative to the run folder, with ``/``.

    Args:
        sha256: The picture's, as the ledger has it, which may come from anywhere: what is none is hashed.
    """
    stem = (sha256 if HASH.fullmatch(sha256) else hashlib.sha256(sha256.encode()).hexdigest())[:32]
    return f"{REPORT_FILES}/{stem}.webp"


def _thumbnail(folder: Path, source: Artifact, name: str) -> Thumbnail:
    if source.store.stat(source.key) is None:
        return Thumbnail(problem="the file is gone")
    known = _known(folder, name)
    if known is not None:
        return known
    try:
        picture, (width, height) = read_reduced(source)
    except VerificationError as error:
        return Thumbnail(problem=error.problems[0].what)
    columns, rows, cells = signature_cells(picture.convert("L"))
    signature = base64.b64encode(cells).decode("ascii")
    made = Thumbnail(path=name, width=width, height=height, columns=columns, rows=rows, signature=signature)
    picture = picture.resize(_fitted(picture.size, min(LONG_SIDE, max(picture.size))), Image.Resampling.LANCZOS, reducing_gap=2.0)
    # It can be made anew, and a thousand waits for the disk take long.
    write_atomically(folder / name, _encoded(picture, made), durable=False)
    return made


def _known(folder: Path, name: str) -> Thumbnail | None:
    """Return what an earlier report left; None where it has to be made."""
    try:
        with open_plain(folder / name) as file, Image.open(file, formats=["WEBP"]) as picture:
            fields = json.loads(picture.getexif()[_IMAGE_DESCRIPTION])
        if fields.pop("format") != _FORMAT:
            return None
        return Thumbnail(**fields | {"path": name})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError):
        return None  # not there, cut short, or not one of ours


def _encoded(picture: Image.Image, made: Thumbnail) -> bytes:
    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = json.dumps({"format": _FORMAT, **asdict(made)})
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, exif=exif.tobytes())
    return buffer.getvalue()


def signature_cells(luma: Image.Image) -> tuple[int, int, bytes]:
    """Return how many columns and rows of cells there are, and what each is like, row by row.

    Args:
        luma: A picture in grey.

    Returns:
        Of each cell its mean luma and its fine contrast, a byte each, as `Thumbnail.signature` has them.
    """
    size = _fitted(luma.size, CELLS)
    # The blur grows with the picture, so that an original and its upscaled picture are held to the same measure.
    blurred = luma.filter(ImageFilter.BoxBlur(max(1, max(luma.size) // 128)))
    busy = ImageChops.difference(luma, blurred).point(lambda value: min(255, value * 4))
    cells = zip(*(image.resize(size, Image.Resampling.BOX).tobytes() for image in (luma, busy)), strict=True)
    return *size, bytes(byte for cell in cells for byte in cell)


def _fitted(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    scale = long_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _sweep(folder: Path, wanted: set[str]) -> None:
    """Remove thumbnails that nothing refers to, and halves of ones; whatever else lies there is not ours."""
    if not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        if is_leftover(path.name) or (_OURS.fullmatch(path.name) and path.name not in wanted):
            path.unlink(missing_ok=True)
