"""``comfy-runner help``: the pages of the manual in a terminal, and the help of single commands.

The pages are those of ``docs/`` in the repository, which the wheel carries. Messages name them as ``docs/ci.md``, and that is
understood here, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from comfy_runner.cli.formatting import line_width
from comfy_runner.cli.output import clean, print_lines
from comfy_runner.errors import UsageError
from comfy_runner.shipped import shipped
from comfy_runner.wording import did_you_mean

_WIDEST = 100  # longer lines are hard to read


@click.command()
@click.argument("topic", required=False)
@click.pass_context
def help(context: click.Context, topic: str | None) -> None:  # noqa: A001 - the command's name
    """Show a page of the manual, or list all pages.

    TOPIC is a page, such as sweeps or docs/sweeps.md, or a command that has no page of its own. On a terminal the page is laid
    out; elsewhere it is printed as Markdown.
    """
    found = pages()
    if topic is None:
        print_lines(contents(found))
        return
    name = Path(topic.partition("#")[0]).name.removesuffix(".md")
    if name in found:
        _show(found[name].read_text(encoding="utf-8"))
        return
    group = context.parent.command if context.parent is not None else None
    command = group.get_command(context, name) if isinstance(group, click.Group) else None
    if command is None:
        names = [*found, *(group.list_commands(context) if isinstance(group, click.Group) else ())]
        raise UsageError(f"there is no page {clean(topic)}", where="help", hint=did_you_mean(name, names))
    print_lines(click.Context(command, info_name=name, parent=context.parent).get_help().splitlines())


def pages() -> dict[str, Path]:
    """Return the pages of the manual by their topics, in alphabetical order."""
    return {path.stem: path for path in sorted(shipped("docs").glob("*.md"))}


def contents(found: dict[str, Path]) -> Iterator[str]:
    """Yield a line for each page: its topic and its title.

    Args:
        found: The pages by their topics.
    """
    width = max(map(len, found), default=0)
    for topic, path in found.items():
        with path.open(encoding="utf-8") as lines:
            yield f"{topic.ljust(width)}  {next(lines).removeprefix('#').strip()}"


def _show(text: str) -> None:
    if not sys.stdout.isatty():
        print_lines([text.rstrip()])
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(width=min(line_width(), _WIDEST))
    console.print(Markdown(text, hyperlinks=False))
