"""How messages reach the terminal: on stderr, one form for errors and notes, never raw control characters."""

from __future__ import annotations

from collections.abc import Iterable

import click

from comfy_runner.errors import ComfyRunnerError, Note

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: unprintable characters but line breaks are replaced."""
    return "".join(char if char.isprintable() or char == "\n" else _REPLACEMENT for char in text)


def complain(error: ComfyRunnerError) -> None:
    """Print every problem of an error with its hint; a hint that serves several is printed once, after the last."""
    for number, problem in enumerate(error.problems):
        click.echo(click.style("error: ", fg="red") + clean(str(problem)), err=True)
        following = error.problems[number + 1].hint if number + 1 < len(error.problems) else ""
        if problem.hint and problem.hint != following:
            click.echo(click.style("hint: ", fg="cyan") + clean(problem.hint), err=True)


def tell(notes: Iterable[Note]) -> None:
    """Print notes."""
    for note in notes:
        label = click.style("warning: ", fg="yellow") if note.level == "warning" else "note: "
        click.echo(label + clean(str(note)), err=True)


def say(sentence: str) -> None:
    """Print a sentence about what goes on."""
    click.echo(clean(sentence), err=True)
