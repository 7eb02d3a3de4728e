"""What tests of actors ask of the processes of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line of a process; of one that has ended, or is somebody else's, nothing."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def until(is_so: Callable[[], bool], *, seconds: float) -> None:
    """Wait until something is so; it must be within that time."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
