"""Copies of picked pictures in a folder that a user names: whole, verified, under safe names; no other file is overwritten."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from comfy_runner.atomic_files import write_atomically
from comfy_runner.errors import UsageError, VerificationError
from comfy_runner.report.picked import PickedPicture, judged_files
from comfy_runner.report.run_data import Material
from comfy_runner.store.interface import Artifact, checksum
from comfy_runner.store.local import LocalStore, folder_errors
from comfy_runner.store.media_types import suffix_of
from comfy_runner.text_files import shown

_CHUNK: Final = 1 << 20
_UNSAFE: Final = re.compile(r"[^\w.-]+")
_LONGEST: Final = 200  # characters; a file's name may have 255 bytes


def copy_pictures(material: Material, pictures: Sequence[PickedPicture], folder: Path) -> tuple[Path, ...]:
    """Copy pictures of a run, each to a file that is called by its job, and return where they are.

    Copies that are there already stay as they are. Nothing is copied where another file has such a name.

    Args:
        material: The run; its pictures may lie at a URL.
        pictures: Which.
        folder: Where to; it is made.

    Raises:
        UsageError: A file that is no copy of the picture is there.
        VerificationError: A picture has changed since it was collected.
        RunFolderError: A picture cannot be read, or the folder cannot be written.
    """
    rows = judged_files(material)
    targets = _targets(pictures, folder)
    wanted = {target: rows[picture.name] for target, picture in zip(targets, pictures, strict=True)}
    missing = [target for target, row in wanted.items() if not _is_there(target, row.sha256)]
    for target in missing:
        with folder_errors(target):
            folder.mkdir(parents=True, exist_ok=True)
        _copy(material.artifact(wanted[target]), target, wanted[target].sha256)
    return tuple(targets)


def _targets(pictures: Sequence[PickedPicture], folder: Path) -> list[Path]:
    taken: set[str] = set()
    found = []
    for picture in pictures:
        stem = _UNSAFE.sub("-", picture.name).strip(".-")[:_LONGEST] or "picture"
        name, number = f"{stem}{suffix_of(picture.path)}", 2
        # Some systems do not tell large letters from small ones.
        while name.casefold() in taken:
            name, number = f"{stem}-{number}{suffix_of(picture.path)}", number + 1
        taken.add(name.casefold())
        found.append(folder / name)
    return found


def _is_there(target: Path, sha256: str) -> bool:
    """Return whether a copy is there; what else is there is an error."""
    if not target.exists() and not target.is_symlink():
        return False
    with suppress(OSError):  # what cannot be read is no copy
        if checksum(LocalStore(target.parent), target.name) == sha256:
            return True
    raise UsageError("already exists, and is not a copy of the picked picture", where=shown(target), hint="name another folder")


def _copy(source: Artifact, target: Path, sha256: str) -> None:
    def write(out: BinaryIO) -> None:
        digest = hashlib.sha256()
        with folder_errors(source), source.open() as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != sha256:
            raise VerificationError("has changed since it was collected", where=str(source), hint="`comfy-runner verify` says more")

    with folder_errors(target):
        write_atomically(target, write)
