"""One at a time writes a baseline: others wait, at a folder for its lock, at a URL for its lease."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from comfy_runner.baseline.folder import Baseline, read_baseline, writing_errors
from comfy_runner.store.lease import LEASE_SECONDS, Lease, LeaseTaken
from comfy_runner.store.remote import RemoteStore

_POLL_SECONDS: Final = 1.0  # between two looks at whether nobody else writes at a URL


@contextmanager
def renewing(folder: Path) -> Iterator[Baseline]:
    """Give a baseline to be written, wait before until nobody else writes it, and let nobody until the end.

    A folder is made, and no file left there, which git would show. On Windows, and on network file systems without such locks, it
    waits for nobody. At a URL it waits as long as a lease holds (`comfy_runner.store.lease`).

    Args:
        folder: Its folder; of one at a URL what stands for that.

    Raises:
        InputError: It is damaged, or was written by a newer version; or it is a run folder.
        RunFolderError: The folder cannot be made or opened; or somebody else writes at the URL for too long.
    """
    store = read_baseline(folder).store  # so that no folder is made where there is something else
    if isinstance(store, RemoteStore):
        with closing(_lease(store)):
            store.keep_listing()
            yield read_baseline(folder, store)
        return
    with writing_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield read_baseline(folder)
        return
    import fcntl

    with writing_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield read_baseline(folder)
    finally:
        os.close(descriptor)


def _lease(store: RemoteStore) -> Lease:
    until = time.monotonic() + LEASE_SECONDS
    while True:
        try:
            return Lease(store, str(uuid.uuid4()))
        except LeaseTaken:
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_SECONDS)
