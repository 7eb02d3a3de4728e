"""One process at a time: the lock that setups and starts share, with a word to the user who has to wait.

Which file is the lock is decided by `options`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock


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
