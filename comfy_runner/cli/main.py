"""The command ``comfy-runner``: which commands there are, and how every error becomes a message and an exit code.

Commands are imported when they are called, so that ``--help`` is quick.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import keyword
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from comfy_runner._version import __version__
from comfy_runner.cli.exit_codes import MEANINGS
from comfy_runner.cli.interruption import signals_as_ctrl_c
from comfy_runner.cli.output import DroppingStream, clean, print_error, say, unwritable
from comfy_runner.errors import ComfyRunnerError, Interrupted, UsageError

# Each command is a function of its name in this module, or of the module's where the name is a word of Python; the sentences
# stand here so that the list of commands needs no imports. A test compares docs/commands.md with all of their help.
_COMMANDS = {
    "run": ("run", "Render recipes on ComfyUI servers and collect the pictures."),
    "find": ("find", "Search for the best values of fields without rendering all of them."),
    "plan": ("plan", "Show what a run would do, and what it would cost."),
    "render": ("recipes", "Print a recipe's workflow graph in API format."),
    "validate": ("recipes", "Check recipes, also against a server's nodes and models."),
    "import": ("import_workflow", "Make a recipe and a template from a workflow or a picture."),
    "convert": ("convert", "Print a workflow of ComfyUI's page in API format."),
    "init": ("recipes", "Write a recipe to start from."),
    "recipes": ("recipes", "List the recipes that come with the program."),
    "templates": ("templates", "List the templates that recipes can name, or describe one."),
    "schema": ("recipes", "Print the JSON Schema of recipes, for editors."),
    "baseline": ("baseline", "Keep pictures that later runs are compared with."),
    "check": ("check", "Check a run against what its recipes expect."),
    "bisect": ("bisecting", "Find the first version whose pictures are wrong."),
    "status": ("status", "Show the state of a run folder's jobs."),
    "runs": ("status", "List run folders."),
    "index": ("index", "Write a page with all run folders and some of their pictures."),
    "watch": ("watch", "Serve the page of a run, during the run or afterwards."),
    "attach": ("detaching", "Follow a run that was begun with `run --detach`."),
    "logs": ("logs", "Print the logs of a run's servers on Ray."),
    "merge": ("merge", "Merge the shards of a run into one run folder."),
    "report": ("report", "Write a page to compare a run's pictures, and their metrics."),
    "sheet": ("report", "Draw a run's pictures as one labelled grid."),
    "suggest": ("report", "Name the denoise value with the most detail that still keeps the picture."),
    "picks": ("picks", "List the pictures that you have picked, and copy or use them."),
    "verify": ("verify", "Check a run's files against what was collected."),
    "reproduce": ("reproduce", "Render a finished job again, and compare its pictures."),
    "fleet": ("control", "Add servers to a live run, or drain them."),
    "cancel": ("control", "End a run, and take its jobs back from servers."),
    "clean": ("control", "Remove files from a run folder that are no longer needed."),
    "repair": ("control", "Rebuild a run folder's ledger from its sidecars."),
    "servers": ("servers", "Show the state of servers: versions, queues, models, latency."),
    "models": ("models", "List a server's models, samplers and schedulers."),
    "nodes": ("nodes", "List a server's node classes, or describe one."),
    "local": ("local", "Manage a ComfyUI on this machine."),
    "completion": ("completion", "Print or install the completion script of a shell."),
    "mcp": ("agents", "Serve tools to agents through the Model Context Protocol."),
    "help": ("manual", "Show a page of the manual."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module = _COMMANDS[cmd_name][0]
        name = module if keyword.iskeyword(cmd_name) else cmd_name
        command = getattr(importlib.import_module(f"comfy_runner.cli.{module}"), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in _COMMANDS.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in MEANINGS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from comfy_runner.wording import did_you_mean

            ctx.fail(f"no such command: {clean(args[0])} ({did_you_mean(args[0], _COMMANDS)})")
        return super().resolve_command(ctx, args)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="comfy-runner %(version)s")
def cli() -> None:
    """Render YAML recipes on ComfyUI: original and latent-upscaled pictures, collected and repeatable."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; no traceback ever reaches a user."""
    _prepare_streams()
    with contextlib.redirect_stderr(DroppingStream(sys.stderr)), signals_as_ctrl_c():
        code = _exit_code(args)
    _let_go_of_streams()
    sys.exit(code)


def _let_go_of_streams() -> None:
    """Drop what could not be written: Python writes it once more at its end, and exits with 120 where that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _prepare_streams() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # One that was closed leaves its number to the next file that is opened, which what is meant for it would end up in.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON is UTF-8, whatever the terminal or the locale is.
        sys.stdout.reconfigure(encoding="utf-8")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")


def _exit_code(args: Sequence[str] | None) -> int:
    try:
        given = sys.argv[1:] if args is None else list(args)
        result = cli.main(args=given, obj=given, prog_name="comfy-runner", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return UsageError.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        print_error(UsageError(error.format_message()))
        if context:
            say(context.get_usage())
        return UsageError.exit_code
    except (Exception, KeyboardInterrupt) as error:
        found = _told(error)
        print_error(found)
        return found.exit_code
    return result if isinstance(result, int) else 0


def _told(error: BaseException) -> ComfyRunnerError:
    if isinstance(error, ComfyRunnerError):
        return error
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Interrupted("interrupted")
    # Help and version are printed by click. All that is written anywhere else has its own error.
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return unwritable(error)
    hint = "this is a fault in comfy-runner; please report it with the command and the recipe"
    return ComfyRunnerError(f"internal: {type(error).__name__}: {error}", hint=hint)
