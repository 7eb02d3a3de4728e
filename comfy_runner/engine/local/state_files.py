"""Small files and logs of the local ComfyUI, written whole or not at all and read tolerantly; and its locks."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import filelock

from comfy_runner.atomic_files import write_atomically


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


def tail(path: Path, *, lines: int, start: int = 0) -> str:
    """Return the last lines of a text file; empty if it cannot be read.

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
    return "\n".join(shown)


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
