"""The command ``comfy-runner``: which commands there are, and how every error becomes a message and an exit code.

Commands are imported when they are called, so that ``--help`` is quick.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from comfy_runner._version import __version__
from comfy_runner.cli.interruption import signals_as_ctrl_c
from comfy_runner.cli.output import DroppingStream, clean, print_error, say, unwritable
from comfy_runner.errors import ComfyRunnerError, Interrupted, UsageError

# Each command is a function in the module of its name; the sentences stand here so that the list of commands needs no imports.
_COMMANDS = {
    "run": "Render recipes on ComfyUI servers and collect the pictures.",
    "plan": "Show what a run would do, and what it would cost.",
    "render": "Print a recipe's workflow graph in API format.",
    "validate": "Check recipes, also against a server's nodes and models.",
    "init": "Write a commented recipe to start from.",
    "templates": "List the templates that recipes can name, or describe one.",
    "schema": "Print the JSON Schema of recipes, for editors.",
    "status": "Show the state of a run folder's jobs.",
    "runs": "List run folders.",
    "report": "Write a page to compare a run's pictures, and their metrics.",
    "sheet": "Draw a run's pictures as one labelled grid.",
    "suggest": "Name the denoise value with the most detail that keeps the picture.",
    "fleet": "Add servers to a live run, or drain them.",
    "cancel": "End a run, and take back what it has left on servers.",
    "clean": "Remove files of a run folder that nobody needs any more.",
    "repair": "Rebuild a run folder's ledger from its sidecars.",
    "servers": "Show the state of servers: versions, queues, models, latency.",
    "models": "List a server's models, samplers and schedulers.",
    "nodes": "List a server's node classes, or describe one.",
    "local": "Manage a ComfyUI on this machine.",
}

# Before click 8.2 there is none: the help is printed, and that is all.
_NO_COMMAND: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"comfy_runner.cli.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from comfy_runner.hints import did_you_mean

            ctx.fail(f"no such command: {clean(args[0])} ({did_you_mean(args[0], _COMMANDS)})")
        return super().resolve_command(ctx, args)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="comfy-runner %(version)s")
def cli() -> None:
    """Render YAML recipes on ComfyUI: original and latent-upscaled pictures, collected and repeatable.

    Exit codes: 0 ok, 1 a job failed or is partial, 2 recipe, template or command line wrong, 3 server unreachable or stuck,
    4 verification failed, 5 run folder cannot be used, 130 interrupted.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; no traceback ever reaches a user."""
    _prepare_streams()
    with contextlib.redirect_stderr(DroppingStream(sys.stderr)), signals_as_ctrl_c():
        code = _exit_code(args)
    sys.exit(code)


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
        result = cli.main(args=None if args is None else list(args), prog_name="comfy-runner", standalone_mode=False)
    except _NO_COMMAND as error:
        say(error.format_message())
        return UsageError.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        print_error(UsageError(error.format_message()))
        if context:
            say(context.get_usage())
        return UsageError.exit_code
    except ComfyRunnerError as error:
        print_error(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print_error(Interrupted("interrupted"))
        return Interrupted.exit_code
    except Exception as error:
        # Help and version are printed by click. All that is written anywhere else has its own error.
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            print_error(unwritable(error))
            return UsageError.exit_code
        hint = "this is a fault of comfy-runner; please report it with the command and the recipe"
        print_error(ComfyRunnerError(f"internal: {type(error).__name__}: {error}", hint=hint))
        return ComfyRunnerError.exit_code
    return result if isinstance(result, int) else 0
