"""Where a report's files go: to a place that a user names, if that is no picture of the run; beside pictures that lie at a URL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from comfy_runner.atomic_files import open_plain, write_as_named
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.report.run_data import Material
from comfy_runner.store.local import LocalStore, folder_errors, write_spool
from comfy_runner.text_files import reason_of, shown

_CHUNK = 1024 * 1024
_HEAD_BYTES = 4096


def check_target(material: Material, target: Path, *, suffix: str, what: str) -> None:
    """Refuse a target that is a picture of the run, or no place for a file of its kind.

    Args:
        material: The run.
        target: Where the file is to be.
        suffix: What its name has to end in, with the dot.
        what: What it is, with its article, such as ``a sheet``.

    Raises:
        UsageError: It is such a target.
    """
    if target.suffix.lower() != suffix:
        raise UsageError(f"must end in {suffix}", where=shown(target), hint=f"{what} is {suffix[1:].upper()}")
    if target.is_dir():
        raise UsageError("is a folder", where=shown(target), hint=f"name a file in it, such as {shown(target / f'file{suffix}')}")
    place, exists = target.resolve(), target.exists()
    for entry in material.entries:
        for path in (material.store.local_path(file.path) for files in entry.pictures.values() for file in files):
            # Of a file that is there, links and other spellings of its name are found, too.
            if path is not None and (path.resolve() == place or (exists and path.exists() and path.samefile(target))):
                raise UsageError(
                    f"is a picture of the job {entry.job_id}", where=shown(target), hint=f"write {what} to another file"
                )


def url_from(folder: Path, path: Path) -> str:
    """Return where a page that lies in a folder finds a file or a folder: a relative URL, whatever is in their names.

    Args:
        folder: Where the page lies.
        path: What it leads to; on another drive of Windows' the URL is absolute.
    """
    try:
        relative = os.path.relpath(path.absolute(), folder.absolute())
    except ValueError:
        return path.absolute().as_uri()
    return "/".join(quote(os.fsencode(part), safe="") for part in Path(relative).parts)


def refuse_foreign(target: Path, mark: bytes) -> None:
    """Refuse to replace a page that was not made here.

    Args:
        target: Where a page is to be written, whose place the user may not have thought of.
        mark: What pages of its kind say of themselves in their first lines.

    Raises:
        UsageError: There is a file without that.
    """
    try:
        with open_plain(target) as file:
            is_ours = mark in file.read(_HEAD_BYTES)
    except OSError:
        return  # not there; what cannot be read is told where it cannot be written
    if not is_ours:
        raise UsageError("is your own file, and would be lost", where=shown(target), hint="name another place with --out")


def write_target(target: Path, data: bytes | Callable[[BinaryIO], None], *, what: str) -> None:
    """Write such a file, whole or not at all; its folder is made.

    Args:
        target: Where.
        data: Its content, or what writes it.
        what: What it is, with its article.

    Raises:
        RunFolderError: It cannot be written.
    """
    try:
        write_as_named(target, data)
    except OSError as error:
        reason = reason_of(error)
        hint = f"name another place for {what}, or free some space there"
        raise RunFolderError(f"cannot be written ({reason})", where=shown(target), hint=hint) from error


def publish(material: Material, paths: Iterable[Path]) -> None:
    """Put files of a report beside the pictures of a run, where those do not lie in the run folder.

    Args:
        material: The run.
        paths: The files. Those outside of the run folder stay where they are; thumbnails that are there already are not put again.

    Raises:
        RunFolderError: The store cannot be written.
    """
    store, folder = material.store, material.folder
    if isinstance(store, LocalStore):
        return
    for path in paths:
        if not path.is_relative_to(folder):
            continue
        key = path.relative_to(folder).as_posix()
        # Their names are made of their pictures' checksums.
        if path.suffix == ".webp" and store.stat(key) is not None:
            continue
        with folder_errors(path), path.open("rb") as file:
            store.put([write_spool(store, key, iter(partial(file.read, _CHUNK), b""))])
