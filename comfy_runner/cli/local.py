"""``comfy-runner local``: a real ComfyUI on this machine, set up, started, stopped, looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.options import LocalPath
from comfy_runner.cli.output import print_line, print_lines, say

if TYPE_CHECKING:
    from comfy_runner.engine.local import LocalOptions, LocalStatus

_Command = Callable[..., Any]
_FOLDER = LocalPath(exists=True)


@click.group()
def local() -> None:
    """Manage a ComfyUI on this machine, in a folder of its own.

    `--server local` sets it up and starts it by itself.
    """


def _engine_options(command: _Command) -> _Command:
    command = click.option("--models", type=_FOLDER, metavar="DIR", help="A folder with your own models.")(command)
    command = click.option("--python", type=_FOLDER, metavar="FILE", help="The Python of that checkout.")(command)
    command = click.option("--comfyui", type=_FOLDER, metavar="DIR", help="Use this checkout of ComfyUI.")(command)
    return click.option(
        "--pip-arg", "pip_args", multiple=True, metavar="ARG", help="An option for pip, such as --index-url=URL; repeatable."
    )(command)


def _options(**given: Any) -> LocalOptions:
    from comfy_runner.api import local_options
    from comfy_runner.config import load_config

    return replace(local_options(load_config()), **{name: value for name, value in given.items() if value})


@local.command()
@_engine_options
def setup(**given: Any) -> None:
    """Set ComfyUI up: some minutes and about 2 GB the first time.

    On Linux a plain installation may bring the build of PyTorch for NVIDIA GPUs, several GB more; --pip-arg chooses another.
    """
    from comfy_runner.engine import local as managed

    engine = managed.setup(_options(**given), say=say)
    say(f"ComfyUI {engine.version} is set up")


@local.command()
@_engine_options
@click.option("--port", type=click.IntRange(1, 65535), help="Listen on this port.")
def start(**given: Any) -> None:
    """Start ComfyUI, set it up if needed, and print its URL."""
    from comfy_runner.engine import local as managed

    server = managed.start(_options(**given), say=say)
    print_line(server.url)


@local.command()
def stop() -> None:
    """Stop the ComfyUI that was started here."""
    from comfy_runner.engine import local as managed

    say("stopped" if managed.stop(_options()) else "it was not running")


@local.command()
def status() -> None:
    """Tell whether ComfyUI is set up, runs and answers."""
    from comfy_runner.engine import local as managed

    print_lines(describe(managed.status(_options())))


@local.command()
@click.option("-n", "--lines", type=click.IntRange(1), default=50, show_default=True, help="How many lines from the end.")
def logs(lines: int) -> None:
    """Print the end of ComfyUI's log, or of the setup's if that failed."""
    from comfy_runner.engine import local as managed

    print_line(managed.logs(_options(), lines=lines))


def describe(found: LocalStatus) -> list[str]:
    """Return what is known of the local ComfyUI, a line each."""
    if found.running:
        state = f"running at {found.url}, process {found.pid}" + ("" if found.answers else ", but does not answer")
    else:
        state = "not running" + (f", process {found.stale_pid} ended by itself" if found.stale_pid else "")
    engine = f"ComfyUI {found.engine_version}" if found.is_set_up else "not set up (comfy-runner local setup)"
    return [f"engine: {engine}", f"server: {state}", f"folder: {found.home}", f"log: {found.log}"]
