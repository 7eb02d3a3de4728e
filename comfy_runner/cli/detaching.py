"""``run --detach``: a run in a process of its own, which goes on without a terminal; and ``attach``, which follows it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import print_error, print_line, print_path, say
from comfy_runner.errors import ComfyRunnerError, Interrupted, UsageError
from comfy_runner.text_files import place, shown

if TYPE_CHECKING:
    from comfy_runner.store.run_log import RunLog

_Command = TypeVar("_Command", bound=Callable[..., Any])

_CHILD: Final = "COMFY_RUNNER_DETACHED"  # set for the process that runs
_POLL_SECONDS = 0.2
_STDOUT, _STDERR = 1, 2
# Windows has no sessions; there a process is without the console instead.
_FLAGS = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


class DetachedRun:
    """What is done for a run in the process that was started for it. A run that is not detached has one, too, and nothing is done.

    Args:
        is_detached: Whether the run is detached.
    """

    def __init__(self, *, is_detached: bool = False) -> None:
        self._is_detached = is_detached
        self._log: RunLog | None = None

    def begin(self, folder: Path) -> None:
        """Name the run folder to who has started this process, and from then on say everything in the folder's log.

        Args:
            folder: The run folder, or its local part.

        Raises:
            RunFolderError: The log cannot be written.
        """
        if self._is_detached:
            from comfy_runner.store.run_log import RunLog

            self._log = RunLog(folder)
            print_path(folder)
            sys.stdout.flush()
            sys.stderr.flush()
            self._log.take(_STDOUT, _STDERR)

    def end(self, code: int) -> None:
        """Say in the log how the command ends.

        Args:
            code: Its exit code.
        """
        if self._log is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            self._log.end(code)


def detach_option(command: _Command) -> _Command:
    """Add ``--detach``; the command gets a `DetachedRun` as `detached`, and is to tell it the run folder once the run has begun.

    Args:
        command: A command that takes `as_json` and `dry_run`, too.
    """

    @functools.wraps(command)
    def call(*, detach: bool, **given: Any) -> int:
        if not detach:
            return int(command(detached=DetachedRun(), **given))
        for option, name in (("--json", "as_json"), ("--dry-run", "dry_run")):
            if given[name]:
                raise UsageError(f"excludes {option}", where="--detach", hint="`comfy-runner status RUN --json` shows its jobs")
        # Not left to the programs that the run starts.
        if os.environ.pop(_CHILD, "") != "1":
            return start(click.get_current_context().obj)
        detached = DetachedRun(is_detached=True)
        try:
            code = int(command(detached=detached, **given))
        except ComfyRunnerError as error:
            print_error(error)
            code = error.exit_code
        detached.end(code)
        return code

    text = "Hand the run to a separate process, and print its folder; `attach` follows it."
    return click.option("--detach", is_flag=True, help=text)(cast(_Command, call))


def start(arguments: Sequence[str]) -> int:
    """Start this command again in a process of its own, and wait until its run has begun, or failed to.

    Until then that process speaks on our stderr. Ctrl-C ends it as long as its run has not begun.

    Args:
        arguments: Those of this command.

    Returns:
        The exit code: 0 for a run that has begun, whose folder is on stdout; otherwise that of the process.
    """
    # -P: a file of the current folder must not stand in for a module of the same name.
    command = [sys.executable, "-P", "-m", "comfy_runner", *arguments]
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | {_CHILD: "1"},
        start_new_session=True,
        creationflags=_FLAGS,
    )
    try:
        folder = child.stdout.readline() if child.stdout is not None else b""
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    if not folder:
        return child.wait()
    path = Path(os.fsdecode(folder.rstrip(b"\r\n")))
    print_path(path)
    say(f"it runs in the background: comfy-runner attach {place(path)} follows it, comfy-runner cancel {place(path)} ends it")
    child.returncode = 0  # it is not waited for
    return 0


@click.command()
@run_argument
def attach(folder: Path) -> int:
    """Follow the run in RUN that was begun with `run --detach`, and exit as it does.

    What it has said so far is printed first. Ctrl-C ends only this command; `comfy-runner cancel` ends the run.
    """
    from comfy_runner.store.run_log import log_lines

    try:
        say(f"follows {shown(folder)}; Ctrl-C ends only this command")
        for line in log_lines(folder):
            if isinstance(line, int):
                return line
            if line is None:
                time.sleep(_POLL_SECONDS)
            else:
                print_line(line)
    except KeyboardInterrupt:
        raise Interrupted("no longer follows the run, which continues", where=shown(folder)) from None
    hint = "the same `comfy-runner run` continues it"
    raise Interrupted("the process of the run was killed", where=shown(folder), hint=hint)
