"""``comfy-runner run``: recipes in, pictures out, with a live view and a Ctrl-C that cleans up."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.options import recipe_options, server_option
from comfy_runner.cli.talk import clean, complain, say

if TYPE_CHECKING:
    from comfy_runner.api import Run
    from comfy_runner.runs.events import JobResult

# The most telling exit code first: an interruption, the run folder, the server, then failed jobs, then their pictures.
_PRECEDENCE = (130, 5, 3, 2, 1, 4)


@click.command()
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@server_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The run folder (runs/<recipe name>).")
@recipe_options
@click.option("--force", is_flag=True, help="Render jobs that are done, too; their old pictures move to superseded/.")
@click.option("--no-websocket", is_flag=True, help="Poll only: the same results, no progress.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", count=True, help="Say more.")
def run(recipes: tuple[str, ...], quiet: bool, verbose: int, no_websocket: bool, **given: Any) -> int:
    """Render recipes on a ComfyUI server and collect the original and the upscaled picture of each.

    RECIPE is a file, the name of a shipped recipe such as quickstart, or the job.json of a finished job, which is then repeated.
    What a run folder already has is not rendered again. The paths of the pictures go to stdout, everything else to stderr.
    """
    from comfy_runner import api
    from comfy_runner.cli.console import follower

    quietly: Callable[[str], None] = (lambda _sentence: None) if quiet else say
    rendering = api.run(recipes, websocket=not no_websocket, say=quietly, **given)
    with _interruptible(rendering), follower(quiet=quiet, verbose=verbose) as follow:
        for event in rendering:
            follow(event)
    return _finish(rendering.results(), quiet=quiet)


def _finish(results: Sequence[JobResult], *, quiet: bool) -> int:
    for result in results:
        for paths in result.files.values():
            for path in paths:
                click.echo(clean(str(path)))
    codes = {result.error.exit_code for result in results if result.error is not None}
    failures = {id(result.error): result.error for result in results if result.error is not None}
    for error in failures.values():
        complain(error)
    if not quiet:
        say(summary(results))
    return next((code for code in _PRECEDENCE if code in codes), 0)


def summary(results: Sequence[JobResult]) -> str:
    """Return how many jobs ended how, such as ``3 done (1 already), 1 partial``."""
    parts = []
    for state in ("done", "partial", "failed", "cancelled", "pending"):
        count = sum(result.state == state for result in results)
        already = sum(result.was_done for result in results if result.state == state)
        if count:
            parts.append(f"{count} {'not started' if state == 'pending' else state}" + (f" ({already} already)" if already else ""))
    return ", ".join(parts)


@contextmanager
def _interruptible(rendering: Run) -> Iterator[None]:
    """The first Ctrl-C, or SIGTERM, cancels the run in good order; the second leaves at once."""
    presses = 0

    def interrupt(_number: int, _frame: object) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            # Nothing here may wait for a lock that the interrupted code holds.
            os.write(2, b"\ninterrupting: our jobs are taken back from the server; once more to leave at once\n")
            rendering.cancel()
        else:
            left = ", ".join(rendering.on_server()) or "nothing of ours"
            os.write(2, f"\nleft at once; on the server there is still: {left}\n".encode())
            os._exit(130)

    signals = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if sys.platform != "win32" else [])
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
