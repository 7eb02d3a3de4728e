"""Pictures that differ from what was expected, written into the run folder to be looked at: actual, expected, difference.

They are copies as PNG, without metadata, in a folder of their own, which is emptied of earlier ones: the pictures themselves are
neither touched nor replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image

from comfy_runner.atomic_files import is_leftover, write_atomically
from comfy_runner.errors import RunFolderError
from comfy_runner.report.compare import difference
from comfy_runner.report.pixels import DecodedPicture, eight_bits
from comfy_runner.store.interface import is_key
from comfy_runner.store.local import folder_errors, refuse_links
from comfy_runner.store.run_folder import COMPARISON_FILES
from comfy_runner.text_files import shown

ACTUAL: Final = ".actual.png"
EXPECTED: Final = ".expected.png"
DIFFERENCE: Final = ".diff.png"


@dataclass(frozen=True, slots=True)
class Triple:
    """Where the three pictures lie: keys relative to the run folder; empty for one that there is not.

    Attributes:
        actual: What the run has.
        expected: What was expected.
        difference: Where they differ; only of two pictures of one size.
    """

    actual: str = ""
    expected: str = ""
    difference: str = ""


def write_triple(folder: Path, name: str, *, actual: DecodedPicture | None, expected: DecodedPicture | None) -> Triple:
    """Write the pictures of one comparison.

    Args:
        folder: The run folder.
        name: What they are called, such as ``lake-d055/upscaled``.
        actual: What the run has; None where it has nothing.
        expected: What was expected; likewise.

    Raises:
        RunFolderError: The folder cannot be written, or the disk is full.
    """
    start = f"{COMPARISON_FILES}/{name}"
    if not is_key(start):
        raise RunFolderError(f"must be a relative path inside of it (got {name!r})", where=shown(folder))
    refuse_links(folder, (folder / start).parent)
    pair = actual is not None and expected is not None and actual.image.size == expected.image.size
    pictures = {
        ACTUAL: actual.image if actual else None,
        EXPECTED: expected.image if expected else None,
        DIFFERENCE: difference(expected, actual) if pair and actual and expected else None,
    }
    written = []
    with folder_errors(folder):
        for suffix, picture in pictures.items():
            if picture is not None:
                # They can be made anew: no wait for the disk.
                write_atomically(folder / f"{start}{suffix}", partial(_save, picture), durable=False)
            written.append(f"{start}{suffix}" if picture is not None else "")
    return Triple(*written)


def remove_triples(folder: Path, taken: Iterable[str] = ()) -> None:
    """Remove what earlier comparisons have written; whatever else lies there stays.

    Args:
        folder: The run folder.
        taken: Keys of pictures of the run, which are never removed nor written over.

    Raises:
        RunFolderError: One of those pictures lies where comparisons are written, or the folder cannot be written.
    """
    for key in taken:
        if key.split("/")[0] == COMPARISON_FILES:
            what = "is a picture of this run, where comparisons are written"
            raise RunFolderError(what, where=shown(folder / key), hint="have the recipe write it to another folder")
    top = folder / COMPARISON_FILES
    refuse_links(folder, top)
    with folder_errors(top):
        if not top.is_dir():
            return
        for inner in sorted(top.iterdir()):
            if inner.is_symlink() or not inner.is_dir():
                continue
            for path in list(inner.iterdir()):
                if path.name.endswith((ACTUAL, EXPECTED, DIFFERENCE)) or is_leftover(path.name):
                    path.unlink(missing_ok=True)
            if not any(inner.iterdir()):
                inner.rmdir()


def _save(picture: Image.Image, file: BinaryIO) -> None:
    eight_bits(picture).save(file, "PNG", compress_level=3)
