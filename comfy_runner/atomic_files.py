"""Files written whole or not at all, and read only where they are plain files."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_LONGEST_STEM = 50
_IN_USE = (5, 32, 33)  # what Windows says of a file that another program has open: access denied, sharing or lock violation
_WAITS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0)  # seconds; scanners and indexers look at new files no longer
_LEFTOVER = re.compile(rf"\..{{0,{_LONGEST_STEM}}}\.[0-9a-f]{{16}}\.part", re.DOTALL)


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading. What is none, such as a named pipe, would be waited for without an end.

    Raises:
        OSError: It is not there, cannot be read, or is not a plain file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Is not a plain file", str(path))
    return os.fdopen(descriptor, "rb")


def open_beside(path: Path) -> tuple[BinaryIO, Path]:
    """Open a new file in a path's folder, hidden, to be renamed to that path once it is whole.

    Unlike the files of `tempfile`, it can be read by all whom the user's umask lets read.

    Raises:
        OSError: The folder is not there or cannot be written.
    """
    temporary = path.with_name(f".{path.stem[:_LONGEST_STEM]}.{secrets.token_hex(8)}.part")
    return temporary.open("xb"), temporary


def remove_leftovers(path: Path) -> None:
    """Remove what `open_beside` made for this path, and processes that were killed could not take away."""
    ours = re.compile(rf"\.{re.escape(path.stem[:_LONGEST_STEM])}\.[0-9a-f]{{16}}\.part")
    with contextlib.suppress(OSError):
        for leftover in [found for found in path.parent.iterdir() if ours.fullmatch(found.name)]:
            leftover.unlink(missing_ok=True)


def is_leftover(name: str) -> bool:
    """Return whether a file's name is one that `open_beside` gives, for whatever path."""
    return _LEFTOVER.fullmatch(name) is not None


def sync_folder(path: Path) -> None:
    """Make sure that what was renamed in a folder is so after a power cut, too; on Windows that is the system's business.

    Raises:
        OSError: The folder is gone.
    """
    if sys.platform == "win32":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems cannot do this.
        with contextlib.suppress(OSError):
            os.fsync(folder)
    finally:
        os.close(folder)


def move_into_place(source: Path, target: Path) -> None:
    """Rename a file, or a folder, to a path of the same disk; a file that is there is replaced at once.

    Windows refuses that while another program has either of them open, such as a virus scanner, which takes moments: it is tried
    again for about two seconds.

    Raises:
        OSError: It cannot be done; with `errno.EBUSY` where another program has one of them open all the time.
    """
    for wait in _WAITS:
        try:
            source.replace(target)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
            time.sleep(wait)
    try:
        source.replace(target)
    except PermissionError as error:
        raise OSError(errno.EBUSY, "Is in use by another program", str(target)) from error


def write_atomically(path: Path, data: bytes | Callable[[BinaryIO], None], *, durable: bool = True) -> None:
    """Write a file so that a reader, or a crash at any instant, sees the old content or the new, never a part.

    Args:
        path: The file; its folder is made.
        data: Its content, or what writes it.
        durable: Whether to wait until it would survive a power cut.

    Raises:
        OSError: The folder cannot be written, or the disk is full; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file, temporary = open_beside(path)
    try:
        with file:
            data(file) if callable(data) else file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        move_into_place(temporary, path)
        if durable:
            sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_device(path: Path) -> bool:
    """Return whether a path leads to what is neither a file nor a folder: ``/dev/null``, ``/dev/stdout``, a named pipe."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_as_named(path: Path, data: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file that the user has named: whole or not at all, but what is no file, such as ``/dev/null``, is never replaced.

    Args:
        path: The file; its folder is made. A link stays one: what it leads to is written.
        data: Its content, or what writes it.

    Raises:
        OSError: It cannot be written.
    """
    if is_device(path):
        with path.open("wb") as file:
            data(file) if callable(data) else file.write(data)
    else:
        write_atomically(Path(os.path.realpath(path)), data)
