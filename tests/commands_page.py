"""Makes docs/commands.md, the help of every command: ``python -m tests.commands_page`` writes it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from comfy_runner.cli.main import cli

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"

_HEAD = """\
# Commands

What `--help` of each command says; `comfy-runner COMMAND --help` prints the same. The page is made from the program:
`python -m tests.commands_page` writes it again.
"""
_WIDTH = 78  # what a terminal of 80 columns gets


def commands_page() -> str:
    """Return the text of the page as it should be."""
    context = _context(cli, "comfy-runner", None)
    return "\n".join([_HEAD, *_block("comfy-runner", context), *_sections(cli, context, "##")])


def _sections(group: click.Group, parent: click.Context, heading: str) -> Iterator[str]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = _context(command, name, parent)
        words = context.command_path.removeprefix("comfy-runner ")
        yield f"{heading} {words}\n"
        yield from _block(context.command_path, context)
        if isinstance(command, click.Group):
            yield from _sections(command, context, f"{heading}#")


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, terminal_width=_WIDTH, help_option_names=["-h", "--help"])


def _block(path: str, context: click.Context) -> Iterator[str]:
    yield f"```console\n$ {path} --help\n{context.get_help().rstrip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(commands_page(), encoding="utf-8")
