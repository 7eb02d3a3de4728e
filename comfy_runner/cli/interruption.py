"""What Ctrl-C does, and the signals that end a program as it does: SIGTERM, and the SIGHUP of a terminal that is closed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from comfy_runner.cli.screen import ERASE, SHOW_CURSOR

if TYPE_CHECKING:
    from types import FrameType

    from comfy_runner.running.handle import Run

_STDERR = 2
_IMPORTING = "<frozen importlib._bootstrap>"
_HANGUPS = [signal.SIGHUP] if sys.platform != "win32" else []


@contextlib.contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """SIGTERM, and a terminal that is closed, end any command as Ctrl-C does: it cleans up behind itself."""
    heeded = [number for number in (signal.SIGTERM, *_HANGUPS) if signal.getsignal(number) is signal.SIG_DFL]
    heeded += [signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.default_int_handler else []
    before = {number: signal.signal(number, _interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Raise what Ctrl-C raises. While a module is imported, leave at once: libraries blame others where their import breaks off."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            _shout("error: interrupted")
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


@contextlib.contextmanager
def cancelling_interrupts() -> Iterator[list[Run]]:
    """The first Ctrl-C, or SIGTERM, or SIGHUP, cancels the run in the list in good order; the second leaves at once.

    While the list is empty, nothing has begun, and the command just ends. A terminal that is closed sends SIGHUP, and its shell
    sends another, which does not mean that anybody wants it to leave at once.
    """
    begun: list[Run] = []
    presses = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal presses
        if not begun:
            _interrupt(number, frame)
        presses += 1
        if presses == 1:
            begun[0].cancel()
            _shout("interrupting: taking our jobs back; interrupt again to exit at once")
        elif number not in _HANGUPS:
            _shout(f"exited at once; still on the server: {', '.join(begun[0].on_server()) or 'none of our jobs'}")
            os._exit(130)

    # What is ignored stays so: nohup, and shells that start something in the background.
    heeded = [number for number in (signal.SIGINT, signal.SIGTERM, *_HANGUPS) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield begun
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shout(sentence: str) -> None:
    """Print from a signal handler, which must not wait for a lock that the interrupted code holds."""
    # What is shown at the bottom of a terminal is in the way, and may not come to show the cursor again.
    before = ERASE + SHOW_CURSOR if os.isatty(_STDERR) else "\n"
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{before}{sentence}\n".encode())
