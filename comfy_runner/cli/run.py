"""``comfy-runner run``: recipes in, pictures out, with a live view and a Ctrl-C that cleans up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from comfy_runner.cli import exit_codes
from comfy_runner.cli.interruption import cancelling_interrupts
from comfy_runner.cli.options import NamedServers, json_option, run_options
from comfy_runner.cli.output import print_error, print_json, print_notes, print_path, say
from comfy_runner.engine.timeouts import STALL_SECONDS
from comfy_runner.errors import ComfyRunnerError, Interrupted, Note, RunFolderError
from comfy_runner.text_files import shown

if TYPE_CHECKING:
    from comfy_runner.running.events import JobResult

_Value = TypeVar("_Value")

# The options that are fields of `Policy`.
_POLICY = ("stall", "total", "outage", "allow_partial", "fail_fast")
_SECONDS: dict[str, Any] = {"type": click.FloatRange(0, min_open=True), "metavar": "SECONDS"}

# Whoever has interrupted the run, or has no room for it, does not want to wait for a report.
_NO_REPORT = (Interrupted.exit_code, RunFolderError.exit_code)
# Of more, measuring would take longer than people want to wait without having asked for it.
_MOST_REPORTED = 3000


@click.command()
@run_options
@click.option("--dry-run", is_flag=True, help="Print what `plan` prints, and render nothing.")
@click.option("--force", is_flag=True, help="Render jobs that are done, too; their old pictures move to superseded/.")
@click.option("--allow-partial", is_flag=True, help="Where the server takes only a part of a job, render that.")
@click.option("--fail-fast/--keep-going", help="Begin no more jobs once one has failed, or carry on (default).")
@click.option("--timeout", "total", **_SECONDS, help="The most that a job may take, waiting included.")
@click.option(
    "--stall-timeout",
    "stall",
    **_SECONDS,
    default=STALL_SECONDS,
    show_default=True,
    help="The most that a running job may go without progress.",
)
@click.option(
    "--outage-timeout",
    "outage",
    **_SECONDS,
    help="The most that a server may be silent before its jobs go to others, or to the next run (default: 60, of several 15).",
)
@click.option("--no-websocket", is_flag=True, help="Poll only: the same results, no progress.")
@click.option(
    "--report/--no-report", default=True, envvar="COMFY_RUNNER_REPORT", help="Write report.html at the end (default), or not."
)
@json_option("Print one JSON object per event on stdout (docs/events.md).")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", count=True, help="Say more.")
def run(
    recipes: tuple[str, ...],
    *,
    servers: NamedServers,
    dry_run: bool,
    force: bool,
    no_websocket: bool,
    report: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
    **given: Any,
) -> int:
    """Render recipes on ComfyUI servers and collect the original and the upscaled picture of each.

    RECIPE is a file, a glob, or the name of a shipped recipe such as quickstart. A workflow as JSON, or a picture that holds one,
    is rendered as it is; the job.json of a finished job is repeated. What a run folder already has is not rendered again. Several
    servers share the jobs. The paths of the pictures go to stdout, everything else to stderr.
    """
    from comfy_runner import api
    from comfy_runner.cli.follow import follower
    from comfy_runner.cli.json_records import records
    from comfy_runner.running.policy import Policy

    policy = Policy(websocket=not no_websocket, **{name: given.pop(name) for name in _POLICY})
    given |= {"force": force, "config": servers.config, "say": None if quiet else say}
    if dry_run:
        from comfy_runner.cli.plan import show

        asked = servers.fleet() if servers.names else None
        show(api.plan(recipes, server=asked, allow_partial=policy.allow_partial, **given), as_json=as_json, quiet=quiet)
        return 0
    chosen, stdout = servers.fleet(), _Stdout()
    with cancelling_interrupts() as begun:
        rendering = api.run(recipes, server=chosen, policy=policy, **given)
        begun.append(rendering)
        with rendering, follower(quiet=quiet, verbose=verbose) as follow:
            for event in rendering:
                if as_json:
                    stdout.print(print_json, records(event))
                follow(event)
    results = rendering.results()
    if not as_json:
        stdout.print(print_path, (path for result in results for paths in result.files.values() for path in paths))
    for error in {id(result.error): result.error for result in results if result.error is not None}.values():
        print_error(error)
    if not quiet:
        say(summary(results))
    if stdout.error is not None:
        hint = f"the run has ended all the same; its pictures are in {shown(rendering.folder)}"
        print_error(ComfyRunnerError(stdout.error.problems[0].what, where="stdout", hint=hint))
    code = exit_codes.of_results(results) or (stdout.error.exit_code if stdout.error else 0)
    unwritten = _report(rendering.folder, results, code, quiet=quiet) if report else 0
    return code or unwritten


def _report(folder: Path, results: Sequence[JobResult], code: int, *, quiet: bool) -> int:
    """Write the report of a run that has ended, unless it is up to date; return an exit code, 0 if all is well."""
    if code in _NO_REPORT or not any(result.files for result in results):
        return 0
    if len(results) > _MOST_REPORTED:
        if not quiet:
            print_notes([Note(f"no report is written of more than {_MOST_REPORTED} jobs, unless asked for: comfy-runner report")])
        return 0
    from comfy_runner import api
    from comfy_runner.cli.report import measuring, sentence
    from comfy_runner.report.page.page import PAGE
    from comfy_runner.report.writer import is_current

    try:
        if not is_current(folder):
            with measuring(quiet=quiet) as progress:
                found = api.write_report(folder, progress=progress)
            if not quiet:
                print_notes(Note(note) for note in found.notes)
                if found.suggestion is not None:
                    say(sentence(found.suggestion))
    except ComfyRunnerError as error:
        print_error(error)
        # With a metric of the user's own that cannot be used, the run has gone well all the same.
        return error.exit_code if isinstance(error, RunFolderError) else 0
    if not quiet:
        say(f"report: {shown(folder / PAGE)}")
    return 0


class _Stdout:
    """What a run prints on stdout. Where that is not possible, the run goes on, and the user learns how it ended all the same.

    Attributes:
        error: Why no more can be printed; None where all could.
    """

    def __init__(self) -> None:
        self.error: ComfyRunnerError | None = None

    def print(self, write: Callable[[_Value], None], values: Iterable[_Value]) -> None:
        """Print values, unless one could not be printed before."""
        try:
            for value in values if self.error is None else ():
                write(value)
        except ComfyRunnerError as error:
            self.error = error


def summary(results: Sequence[JobResult]) -> str:
    """Return how many jobs ended how, such as ``3 done (1 already), 1 on the server; the same command collects it``."""
    counts = Counter(str(result.state) for result in results)
    already = Counter(str(result.state) for result in results if result.was_done)
    words = {"done": "done", "partial": "partial", "failed": "failed", "cancelled": "cancelled", "pending": "not started"}
    words["submitted"] = f"on the server; the same command collects {'it' if counts['submitted'] == 1 else 'them'}"
    return ", ".join(
        f"{counts[state]} {word}" + (f" ({already[state]} already)" if already[state] else "")
        for state, word in words.items()
        if counts[state]
    )
