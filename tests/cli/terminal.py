"""A terminal: a pseudo-terminal whose other end is an emulator, so that tests read what people would see."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

import pyte
import pytest

if sys.platform != "win32":
    import termios

from tests.standin import HELD

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
"""Marks tests that open a `Terminal`."""

_HISTORY = 10_000  # lines that have scrolled away


class Terminal:
    """A terminal of a size; what is written to its `stream` is seen in its `lines`.

    Args:
        columns: How wide it is.
        rows: How high.

    Attributes:
        stream: Writes to it, line by line, as stderr does.
        raw: All that it was sent.
    """

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self._reading, writing = os.openpty()
        self.stream: TextIO = io.TextIOWrapper(os.fdopen(writing, "wb"), encoding="utf-8", line_buffering=True)
        self._screen = pyte.HistoryScreen(columns, rows, history=_HISTORY)
        self._emulator = pyte.ByteStream(self._screen)
        self.raw = b""
        self._news = threading.Condition()
        self.resize(columns, rows)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Terminal:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, and read what was written to it."""
        self.stream.close()
        self._thread.join(HELD)
        os.close(self._reading)

    def resize(self, columns: int, rows: int) -> None:
        """Make it as wide and as high."""
        with self._news:
            termios.tcsetwinsize(self._reading, (rows, columns))
            self._screen.resize(rows, columns)

    def lines(self) -> list[str]:
        """Return all lines, those that have scrolled away first, without the blanks at their ends and empty lines."""
        with self._news:
            gone = ["".join(line[column].data for column in range(self._screen.columns)) for line in self._screen.history.top]
            return [line.rstrip() for line in [*gone, *self._screen.display] if line.strip()]

    def wait_until(self, seen: Callable[[list[str]], object]) -> list[str]:
        """Return the lines as soon as they are as wanted."""
        with self._news:
            assert self._news.wait_for(lambda: seen(self.lines()), HELD), "\n".join(self.lines())
            return self.lines()

    @property
    def has_colours(self) -> bool:
        """Whether any character has a colour."""
        with self._news:
            return any(char.fg != "default" for line in self._screen.buffer.values() for char in line.values())

    @property
    def has_cursor(self) -> bool:
        """Whether the cursor is shown."""
        with self._news:
            return not self._screen.cursor.hidden

    def _listen(self) -> None:
        while True:
            try:
                chunk = os.read(self._reading, 65536)
            except OSError:  # how a terminal says that nobody writes to it any more
                return
            with self._news:
                self.raw += chunk
                self._emulator.feed(chunk)
                self._news.notify_all()


@contextmanager
def on_terminal(terminal: Terminal, *, stdout: bool = False) -> Iterator[Terminal]:
    """Have stderr be a terminal, and stdout, too, if wanted; the fixture ``plain_terminal`` has it be as it says."""
    with ExitStack() as stack:
        stack.enter_context(terminal)
        stack.enter_context(redirect_stderr(terminal.stream))
        if stdout:
            stack.enter_context(redirect_stdout(terminal.stream))
        yield terminal
