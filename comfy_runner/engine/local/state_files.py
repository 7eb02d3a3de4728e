"""Small files and logs of the local ComfyUI, written whole or not at all and read tolerantly; and its locks."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import filelock

from comfy_runner.atomic_files import write_atomically

# What a URL has before its host, and what it or its path has behind a question mark.
_SECRETS: Final = (re.compile(r"""(\w://)[^/\s'"]+(?=@)"""), re.compile(r"""(\?)[\w.-]+=[^\s'"]+"""))


def write_json(path: Path, data: Mapping[str, object]) -> None:
    """Write ``data`` so that a reader sees the old file or the new one, never a part, even after a crash."""
    # A model path with a character outside the BMP must stay one character for ComfyUI's YAML reader.
    write_atomically(path, json.dumps(data, indent=1, ensure_ascii=False).encode())


def read_json(path: Path) -> dict[str, object]:
    """Return the object in ``path``; an empty one if there is no such file or no JSON object in it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def without_secrets(text: str) -> str:
    """Return a text without the user names, passwords and tokens of the URLs in it, such as that of a package index."""
    for secret in _SECRETS:
        text = secret.sub(r"\1****", text)
    return text


def remove_secrets(path: Path, *, start: int) -> None:
    """Write the end of a log, from this byte on, anew without secrets."""
    with path.open("r+b") as stream:
        stream.seek(start)
        said = without_secrets(stream.read().decode("utf-8", errors="replace"))
        stream.seek(start)
        stream.write(said.encode())
        stream.truncate()


def tail(path: Path, *, lines: int, start: int = 0) -> str:
    """Return the last lines of a text file, without secrets; empty if it cannot be read.

    Args:
        path: The file.
        lines: How many lines at most.
        start: Byte offset before which nothing is looked at.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            last = deque(stream, maxlen=lines)
    except OSError:
        return ""
    # Progress bars overwrite their line with carriage returns: only what a terminal would still show is of interest.
    shown = (line.decode("utf-8", errors="replace").rstrip().rsplit("\r", 1)[-1] for line in last)
    return without_secrets("\n".join(shown))


@contextmanager
def locked(path: Path, *, say: Callable[[str], None], busy: str) -> Iterator[None]:
    """Hold the lock; the system frees it if this process dies.

    Args:
        path: The lock file; its folder is made if needed.
        say: Told ``busy`` once if another process holds the lock.
        busy: Short sentence for the user.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not thread-local: two threads of one program must wait for each other as two programs do.
    lock = filelock.FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        say(busy)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()
