"""How words reach the terminal: talk on stderr, data on stdout, one form for errors and notes, no raw control characters."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable

import click

from comfy_runner.errors import ComfyRunnerError, Note, UsageError

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: unprintable characters but line breaks are replaced."""
    return "".join(char if char.isprintable() or char == "\n" else _REPLACEMENT for char in text)


def complain(error: ComfyRunnerError) -> None:
    """Print every problem of an error with its hint; a hint that serves several is printed once, after the last."""
    for number, problem in enumerate(error.problems):
        _talk(_label("error: ", "red") + clean(str(problem)))
        following = error.problems[number + 1].hint if number + 1 < len(error.problems) else ""
        if problem.hint and problem.hint != following:
            _talk(_label("hint: ", "cyan") + clean(problem.hint))


def tell(notes: Iterable[Note]) -> None:
    """Print notes."""
    for note in notes:
        _talk(worded(note))


def worded(note: Note) -> str:
    """Return a note as it is printed."""
    label = _label("warning: ", "yellow") if note.level == "warning" else "note: "
    return label + clean(str(note))


def say(sentence: str) -> None:
    """Print a sentence about what goes on."""
    _talk(clean(sentence))


def put(line: str) -> None:
    """Print a line of data on stdout. Whoever reads it may leave early, as `head` does.

    Raises:
        UsageError: It cannot be written for any other reason, such as a full disk.
    """
    try:
        click.echo(clean(line))
    except OSError as error:
        # Python flushes stdout once more at its end, and must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"cannot be written: {(error.strerror or str(error)).lower()}", where="stdout") from error


def put_json(text: str) -> None:
    """Print a JSON text on stdout; characters that could steer a terminal are escaped, which changes nothing of what it says.

    Raises:
        UsageError: It cannot be written.
    """
    put("".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text))


def _talk(line: str) -> None:
    # Nobody listens any more: that is no reason to stop working.
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def _label(text: str, colour: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)
