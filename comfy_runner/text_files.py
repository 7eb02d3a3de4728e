"""Reading the files that people write, with limits; their paths as they are given, and as messages name them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import unquote

from comfy_runner.errors import InputError, UsageError
from comfy_runner.wording import MISSPELT, nearest

MAX_BYTES = 1 << 20
"""Largest file that a person writes, in bytes."""

_LONGEST_SHOWN = 300
# A single letter is a drive of Windows. Of a URL that was made a `Path` of, one slash is left.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_QUOTED_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+%3A%2F%2F")
_SPOILT_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\\\]")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_being_recorded: ContextVar[set[Path] | None] = ContextVar("_being_recorded", default=None)


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
    if (recorded := _being_recorded.get()) is not None:
        recorded.add(path)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise error("no such file", where=name, hint=_near(path)) from None
    except (OSError, ValueError) as fault:
        # Windows calls it a lack of permission.
        if isinstance(fault, IsADirectoryError | PermissionError) and path.is_dir():
            raise error("is a directory, not a file", where=name) from None
        raise error(f"cannot be read ({reason_of(fault)})", where=name) from None
    return decode(data, name=name, error=error, most=most)


def _near(path: Path) -> str:
    """Return a hint that names a file beside, which may be the one that was meant; empty where there is none."""
    with suppress(OSError, ValueError):
        close = nearest(path.name, (each.name for each in path.parent.iterdir() if each.is_file()), most=1, like=MISSPELT)
        return f"did you mean {shown(path.with_name(close[0]))}?" if close else ""
    return ""


@contextmanager
def recorded_reads() -> Iterator[set[Path]]:
    """Yield a set that takes the path of each file that this thread has `read` open from now on, also of what is not there."""
    paths: set[Path] = set()
    token = _being_recorded.set(paths)
    try:
        yield paths
    finally:
        _being_recorded.reset(token)


def reason_of(error: OSError | ValueError) -> str:
    """Return why a file cannot be used, as messages say it: what the system says of an error, or else what Python does."""
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()


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


def scheme_of(address: Path | str) -> str:
    """Return the scheme of a URL, lower case; empty for what is a path."""
    found = _SCHEME.match(address) if isinstance(address, str) else None
    return found[1].lower() if found else ""


def local_path(address: Path | str, *, where: str = "") -> Path:
    """Return the path of a local folder or file as a user gives it; a URL would become a folder of an odd name.

    Args:
        address: What was given.
        where: What it was given for, such as ``--out``, for the error.

    Raises:
        UsageError: It is a URL, or was one before it was made a `Path`.
    """
    was_url = isinstance(address, Path) and _SPOILT_SCHEME.match(str(address)) and not address.exists()
    if scheme_of(address) or was_url:
        what = f"must be a path on this machine, not a URL (got {on_one_line(str(address))})"
        raise UsageError(what, where=where, hint="name a file or folder that can be reached here")
    return Path(address)


def url_of(path: Path) -> str:
    """Return the URL that a path stands for: that of a run's local part (`comfy_runner.store.registry.local_part`), or below it.

    Args:
        path: Any path.

    Returns:
        The URL; empty for other paths, and for what lies in the local part alone.
    """
    for number, part in enumerate(reversed(path.parts)):
        if _QUOTED_SCHEME.match(part):
            below = path.parts[len(path.parts) - number :]
            is_local = bool(below) and below[0].startswith((".", "ledger."))
            return "" if is_local else "/".join([unquote(part), *below])
    return ""


def place(path: Path) -> str:
    """Return what programs are told of a path: the URL that it stands for, or the path as it is."""
    return url_of(path) or str(path)


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
    """Return a path as messages show it: relative to the current directory when inside it, no control characters.

    What stands for a URL is shown as that.
    """
    if url := url_of(path):
        return on_one_line(url)
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
