"""``comfy-runner run``: recipes in, pictures out, with a live view and a Ctrl-C that cleans up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.interruption import cancelling_interrupts
from comfy_runner.cli.options import choice_options, out_option, recipe_options
from comfy_runner.cli.output import errors_as_json, print_error, print_json, print_notes, print_path, say
from comfy_runner.cli.server_options import NamedServers, servers_option
from comfy_runner.engine.timeouts import STALL_SECONDS
from comfy_runner.errors import ComfyRunnerError, Note, RunFolderError, UsageError

if TYPE_CHECKING:
    from comfy_runner.running.events import Event, JobResult

_NO_REPORT = (130, 5)
# Of more, measuring would take longer than people want to wait without having asked for it.
_MOST_REPORTED = 3000

# The most telling exit code first: an interruption, the run folder, the server, then failed jobs, then their pictures.
_PRECEDENCE = (130, 5, 3, 2, 1, 4)


@click.command()
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@servers_option()
@out_option
@recipe_options
@choice_options
@click.option("--dry-run", is_flag=True, help="Print what `plan` prints, and render nothing.")
@click.option("--force", is_flag=True, help="Render jobs that are done, too; their old pictures move to superseded/.")
@click.option("--allow-partial", is_flag=True, help="Where the server takes only a part of a job, render that.")
@click.option("--fail-fast/--keep-going", help="Begin no more jobs once one has failed, or carry on (default).")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="The most that a job may take, waiting included."
)
@click.option(
    "--stall-timeout",
    type=click.FloatRange(0, min_open=True),
    default=STALL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="The most that a running job may go without progress.",
)
@click.option("--no-websocket", is_flag=True, help="Poll only: the same results, no progress.")
@click.option(
    "--report/--no-report", default=True, envvar="COMFY_RUNNER_REPORT", help="Write report.html at the end (default), or not."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per event on stdout (docs/events.md).")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", count=True, help="Say more.")
def run(
    recipes: tuple[str, ...],
    *,
    servers: NamedServers,
    dry_run: bool,
    force: bool,
    allow_partial: bool,
    fail_fast: bool,
    timeout: float | None,
    stall_timeout: float,
    no_websocket: bool,
    report: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
    **given: Any,
) -> int:
    """Render recipes on ComfyUI servers and collect the original and the upscaled picture of each.

    RECIPE is a file, a glob, the name of a shipped recipe such as quickstart, or the job.json of a finished job, which is then
    repeated. What a run folder already has is not rendered again. Several servers share the jobs. The paths of the pictures go to
    stdout, everything else to stderr.
    """
    from comfy_runner import api
    from comfy_runner.config import load_config
    from comfy_runner.running.policy import Policy

    quietly: Callable[[str], None] = (lambda _sentence: None) if quiet else say
    policy = Policy(
        websocket=not no_websocket, stall=stall_timeout, total=timeout, allow_partial=allow_partial, fail_fast=fail_fast
    )
    with errors_as_json(as_json):
        config = load_config()
        if dry_run:
            from comfy_runner.cli.plan import show

            asked = servers.fleet(config) if servers.names else None
            planned = api.plan(recipes, server=asked, config=config, say=quietly, force=force, allow_partial=allow_partial, **given)
            show(planned, as_json=as_json, quiet=quiet)
            return 0
        chosen = servers.fleet(config)
        with cancelling_interrupts() as begun:
            rendering = api.run(recipes, server=chosen, policy=policy, force=force, config=config, say=quietly, **given)
            begun.append(rendering)
            with rendering, _followed(as_json=as_json, quiet=quiet, verbose=verbose) as follow:
                for event in rendering:
                    follow(event)
        results = rendering.results()
    unwritable = None if as_json else _list(results)
    code = _finish(results, quiet=quiet)
    if unwritable is not None:
        print_error(unwritable)
    code = code or (unwritable.exit_code if unwritable else 0)
    unwritten = _report(rendering.folder, results, code, quiet=quiet) if report else 0
    return code or unwritten


def _report(folder: Path, results: Sequence[JobResult], code: int, *, quiet: bool) -> int:
    """Write the report of a run that has ended, unless it is up to date; return an exit code, 0 if all is well."""
    # Whoever has interrupted the run, or has no room for it, does not want to wait for more.
    if code in _NO_REPORT or not any(result.files for result in results):
        return 0
    if len(results) > _MOST_REPORTED:
        if not quiet:
            print_notes([Note(f"no report is written of more than {_MOST_REPORTED} jobs, unless asked for: comfy-runner report")])
        return 0
    from comfy_runner import api
    from comfy_runner.cli.progress_bar import measuring
    from comfy_runner.cli.suggestion_text import sentence
    from comfy_runner.report.page.page import PAGE
    from comfy_runner.report.writer import is_current
    from comfy_runner.text_files import shown

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


@contextmanager
def _followed(*, as_json: bool, quiet: bool, verbose: int) -> Iterator[Callable[[Event], None]]:
    from comfy_runner.cli.follow import follower

    with follower(quiet=quiet, verbose=verbose) as follow:
        if not as_json:
            yield follow
            return
        from comfy_runner.cli.event_json import records

        def record_and_follow(event: Event) -> None:
            for record in records(event):
                print_json(json.dumps(record))
            follow(event)

        yield record_and_follow


def _list(results: Sequence[JobResult]) -> UsageError | None:
    """Print the pictures' paths, or return why that is not possible: the user has to learn how the jobs ended all the same."""
    try:
        for path in (path for result in results for paths in result.files.values() for path in paths):
            print_path(path)
    except UsageError as error:
        return error
    return None


def _finish(results: Sequence[JobResult], *, quiet: bool) -> int:
    failures = {id(result.error): result.error for result in results if result.error is not None}
    for error in failures.values():
        print_error(error)
    if not quiet:
        say(summary(results))
    return exit_code(results)


def exit_code(results: Sequence[JobResult]) -> int:
    """Return the most telling exit code of these results."""
    codes = {result.error.exit_code for result in results if result.error is not None}
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
