"""What the commands print: data on stdout, all else on stderr, one form for errors and notes, no raw control characters."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from comfy_runner.errors import ComfyRunnerError, Note, Problem
from comfy_runner.text_files import place, reason_of
from comfy_runner.wording import named

_Said = TypeVar("_Said", Note, Problem)

_LONGEST_PLACES = 100
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: unprintable characters but line breaks are replaced."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _REPLACEMENT for char in text)


def one_line(text: str, *, longest: int = 200) -> str:
    """Return a server's words as a part of a line: none of their line breaks can begin a line that looks like ours.

    Args:
        text: The words, which `print_line` cleans of other unprintable characters.
        longest: What is longer than so many characters is shortened; 0 for no limit.
    """
    short = text if not longest or len(text) <= longest else text[:longest] + "..."
    return short.replace("\n", _REPLACEMENT)


def print_error(*errors: ComfyRunnerError) -> None:
    """Print every problem of errors with its hint: what is wrong in several places once, as is a hint that serves several."""
    problems = dict.fromkeys(problem for error in errors for problem in error.problems)
    told = _grouped(problems, lambda problem: (problem.what, problem.hint))
    for number, problem in enumerate(told):
        print_stderr(_label("error: ", "red") + clean(str(problem)))
        following = told[number + 1].hint if number + 1 < len(told) else ""
        if problem.hint and problem.hint != following:
            print_stderr(_label("hint: ", "cyan") + clean(problem.hint))


def print_notes(notes: Iterable[Note]) -> None:
    """Print notes: what is to be said of several places, or of several values of a place, once."""
    for line in note_lines(notes):
        print_stderr(line)


def note_lines(notes: Iterable[Note]) -> Iterator[str]:
    """Yield notes as they are printed, as `print_notes` does."""
    for note in _with_values(_grouped(dict.fromkeys(notes), lambda note: (note.what, note.level))):
        label = _label("warning: ", "yellow") if note.level == "warning" else "note: "
        yield label + clean(str(note))


def _grouped(said: Iterable[_Said], alike: Callable[[_Said], object]) -> list[_Said]:
    """Return one of all that are alike, which names their places."""
    groups: dict[object, list[_Said]] = {}
    for each in said:
        groups.setdefault(alike(each), []).append(each)
    return [each if not more else replace(each, where=_places([each, *more])) for each, *more in groups.values()]


def _with_values(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield one of all notes that differ only in the value that was given, with these values."""
    groups: dict[tuple[str, str, str], list[tuple[Note, str]]] = {}
    for note in notes:
        what, given, value = note.what.removesuffix(")").rpartition(" (got ")
        start = what if given and note.what.endswith(")") else note.what
        groups.setdefault((start, note.where, note.level), []).append((note, value))
    for (start, _, _), found in groups.items():
        note, values = found[0][0], named([value for _, value in found])
        yield replace(note, what=f"{start} (got {values})") if found[1:] else note


def _places(said: Sequence[_Said]) -> str:
    """Return where something is that was said several times: as many places as there is room for, at least one."""
    places = [each.where for each in said if each.where]
    count = next((count for count in range(len(places), 1, -1) if len("; ".join(places[:count])) <= _LONGEST_PLACES), 1)
    more = f" and {len(places) - count} more" if len(places) > count else ""
    return "; ".join(places[:count]) + more


def say(sentence: str) -> None:
    """Print a sentence about what goes on."""
    print_stderr(clean(sentence))


def print_line(line: str) -> None:
    """Print a line of data on stdout. Whoever reads it may leave early, as `head` does.

    Raises:
        ComfyRunnerError: It cannot be written for any other reason, such as a full disk.
    """
    _print_stdout(clean(line))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of data on stdout, as `print_line` does."""
    for line in lines:
        print_line(line)


def print_path(path: Path) -> None:
    """Print a path on stdout as the system writes it, which need not be UTF-8, so that other programs find the file.

    Raises:
        ComfyRunnerError: It cannot be written.
    """
    _print_stdout(b"".join(os.fsencode(char if _is_raw_byte(char) else clean(char)) for char in place(path)))


def unwritable(error: OSError) -> ComfyRunnerError:
    """Return the error to raise where stdout cannot be written to, such as on a full disk."""
    return ComfyRunnerError(f"cannot be written: {reason_of(error)}", where="stdout")


def _print_stdout(line: str | bytes) -> None:
    try:
        click.echo(line)
    except OSError as error:
        left = isinstance(error, BrokenPipeError) or _is_closed_terminal(error)
        # Python flushes stdout once more at its end, and must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not left:
            raise unwritable(error) from error


def _is_closed_terminal(error: OSError) -> bool:
    return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)


def _is_raw_byte(char: str) -> bool:
    """Return whether this is how Python keeps a byte of a path that is no text."""
    return "\udc80" <= char <= "\udcff"


def print_json(value: object) -> None:
    """Print a value as JSON, or a text that is JSON, on stdout; what could steer a terminal is escaped, and says the same.

    Raises:
        ComfyRunnerError: It cannot be written.
    """
    text = value if isinstance(value, str) else json.dumps(value)
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    print_line(text)


class DroppingStream:
    """A stream that drops what cannot be written, as to a terminal that is closed.

    Args:
        stream: The stream; in all other ways this is as it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def print_stderr(line: str) -> None:
    """Print a line on stderr as it is. Where nobody listens any more, that is no reason to stop working."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def _label(text: str, colour: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)
