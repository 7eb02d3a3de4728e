"""What other processes ask of a live run: small files in its folder, which the run looks for every second.

A file works for every user of the folder, on every system and across machines, where a signal does not.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

_CANCEL = ".cancel"


def request_cancel(folder: Path) -> None:
    """Ask the process that runs in this folder to end as Ctrl-C would make it.

    Raises:
        OSError: The folder cannot be written.
    """
    (folder / _CANCEL).touch()


def wants_cancel(folder: Path) -> bool:
    """Return whether the run is to end; told once."""
    try:
        (folder / _CANCEL).unlink()
    except OSError:
        return False
    return True


def forget(folder: Path) -> None:
    """Take back what was asked of an earlier run."""
    with contextlib.suppress(OSError):
        (folder / _CANCEL).unlink()
