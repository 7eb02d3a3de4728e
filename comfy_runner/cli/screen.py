"""The terminal that stderr is, while something is shown at its bottom: one owner, which alone writes to it.

What is shown is drawn again several times a second, from a thread of its own; what is printed meanwhile, on stderr or on a stdout
that is the same terminal, goes above it and scrolls away. Each writes in one go and leaves the cursor in the first column of the
first line that is shown. So whoever writes next, be it a signal handler, has nothing to know of what was drawn before: it erases
from the cursor on. Rich's own live display keeps the cursor below and goes up by as many lines as it has last drawn, which is
wrong as soon as two threads draw at once, or the terminal breaks the lines again because it has become narrower.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console, RenderableType

_SECONDS_APART = 0.125
_LONGEST_APART = 1.0
_OTHER_ROWS = 1  # the cursor's, where the terminal is no higher than what is shown

# The cursor's line and those below it in two steps: what is erased at once from the first column of the first line on tmux keeps.
ERASE = "\r\x1b7\x1b[K\x1b[B\x1b[J\x1b8"
"""Erases what is shown; what is written next stands in its place."""

SHOW_CURSOR = "\x1b[?25h"
"""Shows the cursor, which is hidden while something is shown."""

_HIDE_CURSOR = "\x1b[?25l"
# A line that is wider than the terminal, such as one of characters that it takes to be wider, must not become two.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


@contextlib.contextmanager
def live(*parts: RenderableType) -> Iterator[bool]:
    """Show something at the bottom of the terminal as long as the context lasts; below what is shown already.

    Yields:
        Whether it is shown: stderr has to be a terminal that can move its cursor.

    Args:
        parts: What is shown, one below the other; they are rendered on another thread, again and again.
    """
    global _screen
    if _screen is not None:
        with _screen.showing(parts):
            yield True
        return
    from rich.console import Console

    console = Console(file=sys.stderr, markup=False, highlight=False)
    if not console.is_terminal or not sys.stderr.isatty() or console.is_dumb_terminal or console.legacy_windows:
        yield False
        return
    _screen = _Screen(sys.stderr, console)
    try:
        with _screen, _screen.showing(parts):
            yield True
    finally:
        _screen = None


class _Screen:
    """A terminal with something at its bottom.

    Args:
        stream: The terminal.
        console: Renders for it.
    """

    def __init__(self, stream: TextIO, console: Console) -> None:
        self._stream, self._console = stream, console
        self._parts: list[RenderableType] = []
        self._drawn = ""
        self._written = 0.0
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="screen", daemon=True)

    def __enter__(self) -> None:
        self._undo = contextlib.ExitStack()
        above = [_Above(self, self._stream)]
        self._undo.enter_context(contextlib.redirect_stderr(above[0]))
        if sys.stdout.isatty():
            above.append(_Above(self, sys.stdout))
            self._undo.enter_context(contextlib.redirect_stdout(above[1]))
        for each in above:
            self._undo.callback(each.end)
        self._undo.enter_context(_suspended(self._stream))
        self._ticker.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._undo:
            # An interruption must not leave it without a cursor.
            self._undo.callback(self._leave)
            self._ticker.join()

    def _leave(self) -> None:
        with self._lock:
            if self._written:
                self._write(ERASE + SHOW_CURSOR)

    @contextlib.contextmanager
    def showing(self, parts: tuple[RenderableType, ...]) -> Iterator[None]:
        """Show these parts, too."""
        with self._lock:
            self._parts += parts
        try:
            yield
        finally:
            with self._lock:
                del self._parts[len(self._parts) - len(parts) :]
                self._draw()

    def print(self, stream: TextIO, text: str) -> None:
        """Write whole lines above what is shown, to the stream that they are for."""
        with self._lock:
            if self._drawn and stream is self._stream:
                self._write(ERASE + text + self._drawn)
                return
            if self._drawn:
                self._write(ERASE)
            try:
                stream.write(text)
                stream.flush()
            finally:
                if self._drawn:
                    self._write(self._drawn)

    def _tick(self) -> None:
        while not self._ended.wait(_SECONDS_APART):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        """Render what is shown, and show it."""
        from rich.console import Group

        self._console.size = _size(self._stream)
        with self._console.capture() as capture:
            self._console.print(Group(*self._parts), no_wrap=True, overflow="ellipsis", crop=True)
        before = self._drawn
        lines = capture.get().splitlines()[: max(1, self._console.height - _OTHER_ROWS)]
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        self._drawn = _HIDE_CURSOR + _NO_WRAP + "\n".join(lines) + _WRAP + "\r" + up if lines else ""
        # Now and then also where nothing has changed: somebody else may have written there.
        if self._drawn != before or (self._drawn and time.monotonic() - self._written > _LONGEST_APART):
            self._write(ERASE + self._drawn)

    def _write(self, text: str) -> None:
        self._written = time.monotonic()
        self._stream.write(text)
        self._stream.flush()


_screen: _Screen | None = None


def _size(stream: TextIO) -> os.terminal_size:
    """Return how wide and high a terminal is now; of one that does not know, what the environment says."""
    with contextlib.suppress(OSError):
        found = os.get_terminal_size(stream.fileno())
        if found.columns > 0 and found.lines > 0:
            return found
    return shutil.get_terminal_size()


class _Above:
    """A stream of which whole lines are written above what is shown; in all other ways it is as the stream itself.

    Args:
        screen: What is shown.
        stream: The terminal.
    """

    def __init__(self, screen: _Screen, stream: TextIO) -> None:
        self._screen, self._stream = screen, stream
        self._begun = ""

    def write(self, text: str) -> int:
        """Write what ends with this text as lines; the rest waits for its end."""
        lines, end, rest = (self._begun + text).rpartition("\n")
        self._begun = rest
        if end:
            self._screen.print(self._stream, lines + end)
        return len(text)

    def flush(self) -> None:
        """Do nothing: whole lines are already there."""

    def end(self) -> None:
        """Write what waits for its end as it is; a terminal that is closed meanwhile needs it no more."""
        if self._begun:
            with contextlib.suppress(OSError):
                self._stream.write(self._begun)
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _suspended(stream: TextIO) -> Iterator[None]:
    """Leave the terminal to the shell while the program is suspended by Ctrl-Z; what is shown comes back by itself."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return

    def suspend(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            os.write(stream.fileno(), (ERASE + SHOW_CURSOR).encode())
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, suspend)

    signal.signal(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
