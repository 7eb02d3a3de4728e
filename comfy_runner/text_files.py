"""Reading the files that people write, with limits, and naming them in messages."""

from __future__ import annotations

import re
from pathlib import Path

from comfy_runner.errors import InputError

MAX_BYTES = 1 << 20
"""Largest file that a person writes, in bytes."""

_LONGEST_SHOWN = 300
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(data: bytes, *, name: str, error: type[InputError] = InputError, most: int = MAX_BYTES) -> str:
    """Return bytes as text: UTF-8, with or without a byte order mark, at most so many bytes.

    Raises:
        InputError: (or the `error` given) if they are too many or not UTF-8.
    """
    if len(data) > most:
        raise error(f"must be at most {most} bytes", where=name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise error(
            f"is not UTF-8 text (got byte 0x{data[fault.start]:02x})",
            where=f"{name}:{line}",
            hint="save the file as UTF-8",
        ) from None


def read(path: Path, *, error: type[InputError] = InputError, most: int = MAX_BYTES) -> str:
    """Return the text of a file of at most so many bytes.

    Raises:
        InputError: (or the `error` given) if it cannot be read, is too large or not UTF-8.
    """
    name = shown(path)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise error("no such file", where=name) from None
    except (OSError, ValueError) as fault:
        # Windows calls it a lack of permission.
        if isinstance(fault, IsADirectoryError | PermissionError) and path.is_dir():
            raise error("is a directory, not a file", where=name) from None
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise error(f"cannot be read ({reason.lower()})", where=name) from None
    return decode(data, name=name, error=error, most=most)


def control_character(text: str) -> tuple[str, int, int] | None:
    """Return what is wrong with a text that has a control character (but a tab or an end of a line) or a surrogate.

    Returns:
        The sentence, and line and column of the first one, from 1; None where there is none.
    """
    bad = _FORBIDDEN.search(text)
    if not bad:
        return None
    line, column = text.count("\n", 0, bad.start()) + 1, bad.start() - text.rfind("\n", 0, bad.start())
    return f"must not contain control characters (got U+{ord(bad[0]):04X})", line, column


def is_file(path: Path) -> bool:
    """Return whether there is such a file; a path that no system can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with NUL
        return False


def is_folder(path: Path) -> bool:
    """Return whether there is such a directory; a path that no system can have is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long, or with NUL
        return False


def shown(path: Path) -> str:
    """Return a path as messages show it: relative to the current directory when inside it, no control characters."""
    try:
        text = path.absolute().relative_to(Path.cwd()).as_posix()
    except (OSError, ValueError):
        text = str(path)
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:50]}...{text[50 - _LONGEST_SHOWN :]}"
    return on_one_line(text)


def on_one_line(text: str, *, longest: int = 1000) -> str:
    """Return a sentence with others' words in it as it can stand in a message: no ends of lines, no control characters.

    Args:
        text: The sentence.
        longest: How many characters it has at most; the others are cut off.
    """
    short = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short)
