"""``comfy-runner run``: recipes in, pictures out, with a live view and a Ctrl-C that cleans up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli import exit_codes
from comfy_runner.cli.check import Checking, check_options, lines, notes_of
from comfy_runner.cli.closing import Stdout, print_errors, print_last_line
from comfy_runner.cli.detaching import DetachedRun, detach_option
from comfy_runner.cli.interruption import cancelling_interrupts
from comfy_runner.cli.notifying import Notifier, notify_option
from comfy_runner.cli.options import NamedServers, RunPlace, json_option, max_cost_option, run_options, say_limits
from comfy_runner.cli.output import print_error, print_json, print_notes, say
from comfy_runner.cli.ray_option import ray_options
from comfy_runner.cli.watch import WatchedPage, watch_options
from comfy_runner.engine.timeouts import STALL_SECONDS
from comfy_runner.errors import (
    ComfyRunnerError,
    Interrupted,
    Note,
    RecipeError,
    RunFolderError,
    ServerError,
    TemplateError,
    UsageError,
    VerificationError,
    WorkflowError,
)

if TYPE_CHECKING:
    from comfy_runner.ray_options import RayOptions
    from comfy_runner.running.events import JobResult

# The options that are fields of `Policy`.
_POLICY = ("stall", "total", "outage", "allow_partial", "fail_fast", "max_cost")
_SECONDS: dict[str, Any] = {"type": click.FloatRange(0, min_open=True), "metavar": "SECONDS"}

# Whoever has interrupted the run, or has no room for it, does not want to wait for a report.
_NO_REPORT = (Interrupted.exit_code, RunFolderError.exit_code)
# Of more, measuring would take longer than people want to wait without having asked for it.
_MOST_REPORTED = 3000


@click.command()
@run_options
@ray_options
@click.option("--dry-run", is_flag=True, help="Print what `plan` prints, and render nothing.")
@click.option("--force", is_flag=True, help="Also render jobs that are done; their old pictures move to superseded/.")
@click.option("--allow-partial", is_flag=True, help="If the server accepts only part of a job, render that part.")
@click.option("--fail-fast/--keep-going", help="Start no more jobs once one has failed, or carry on (default).")
@click.option("--timeout", "total", **_SECONDS, help="The longest that a job may take, including waiting.")
@click.option(
    "--stall-timeout",
    "stall",
    **_SECONDS,
    default=STALL_SECONDS,
    show_default=True,
    help="The longest that a running job may go without progress.",
)
@click.option(
    "--outage-timeout",
    "outage",
    **_SECONDS,
    help="The longest that a server may be silent before its jobs go to others, or to the next run (60; with several servers 15).",
)
@max_cost_option
@click.option("--no-websocket", is_flag=True, help="Only poll: the same results, but no progress.")
@click.option(
    "--report/--no-report", default=True, envvar="COMFY_RUNNER_REPORT", help="Write report.html at the end (default), or not."
)
@detach_option
@notify_option
@check_options
@click.option(
    "--update-baseline",
    "renewed",
    type=RunPlace(file_okay=False),
    metavar="DIR",
    help="Make the pictures the baseline in DIR.",
)
@click.option("--update-snapshots", is_flag=True, help="Replace the pictures of --baseline instead of comparing with them.")
@watch_options
@json_option("Print one JSON object per event on stdout (docs/events.md).")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but results and errors.")
@click.option("-v", "--verbose", count=True, help="Print more details.")
def run(
    recipes: tuple[str, ...],
    *,
    servers: NamedServers,
    ray: RayOptions | None,
    dry_run: bool,
    force: bool,
    no_websocket: bool,
    report: bool,
    notifier: Notifier,
    checking: Checking,
    renewed: Path | None,
    update_snapshots: bool,
    watched: bool,
    port: int | None,
    host: str,
    as_json: bool,
    quiet: bool,
    verbose: int,
    detached: DetachedRun,
    **given: Any,
) -> int:
    """Render recipes on ComfyUI servers and collect the original and the upscaled picture of each.

    RECIPE is a file, a glob, or the name of a shipped recipe such as quickstart. It can also be a workflow as JSON or a picture
    that holds one, which is rendered as it is, or the job.json of a finished job. Jobs that the run folder already has are not
    rendered again. Several servers share the jobs. The paths of the pictures go to stdout (on a terminal, if they are many, only
    their folder), everything else to stderr.
    """
    from comfy_runner import api
    from comfy_runner.cli.fetching import fetch_follower
    from comfy_runner.cli.follow import follower
    from comfy_runner.cli.json_records import checked_record, records
    from comfy_runner.running.policy import Policy

    policy = Policy(websocket=not no_websocket, previews=watched, **{name: given.pop(name) for name in _POLICY})
    given |= {"force": force, "config": servers.config, "say": None if quiet else say}
    checking, renewed = _baselines(checking, renewed, update_snapshots=update_snapshots)
    if renewed is not None and given["shard"] is not None:
        hint = "merge the shards, then use `comfy-runner baseline update`"
        raise UsageError("a baseline is made from a whole run, not from a shard", where="--update-baseline", hint=hint)
    if dry_run:
        from comfy_runner.cli.plan import show

        asked = servers.fleet() if servers.names else None
        plan = api.plan(recipes, server=asked, allow_partial=policy.allow_partial, **given)
        show(plan, as_json=as_json, quiet=quiet)
        print_notes(() if quiet else checking.foresee([job.job_id for job in plan.jobs]))
        return 0
    # Beside Ray, those of the settings are not used unless they are named.
    chosen, stdout = servers.fleet() if servers.names or ray is None else (), Stdout()
    began = time.monotonic()
    page_served = click.get_current_context().with_resource(WatchedPage(host, port)) if watched else None
    with cancelling_interrupts() as begun:
        try:
            with fetch_follower(quiet=quiet) as fetching:
                rendering = api.run(recipes, server=chosen, ray=ray, policy=policy, fetching=fetching, **given)
                begun.append(rendering)
        except (RecipeError, TemplateError, WorkflowError, ServerError) as fault:
            checking.write_unbegun(recipes, fault, **given)
            raise
        with rendering:
            if page_served is not None:
                page_served.serve(rendering.folder)
            detached.begin(rendering.folder)
            with follower(quiet=quiet, verbose=verbose) as follow:
                for event in rendering:
                    if as_json:
                        stdout.print(print_json, records(event))
                    if page_served is not None:
                        page_served.follow(event)
                    notifier.follow(event)
                    follow(event)
    results, seconds = rendering.results(), time.monotonic() - began
    if not as_json:
        stdout.print_pictures(rendering.folder, results)
    print_errors(results)
    stdout.print_error(rendering.folder)
    code = exit_codes.of_results(results) or (stdout.error.exit_code if stdout.error else 0)
    unwritten = _renew(renewed, rendering.folder, given, quiet=quiet) if renewed is not None else 0
    checked = None
    is_expected = any(each.expect.model_fields_set for each in rendering.expected.values())
    # Files that are asked for are wanted also of a run that was interrupted.
    if checking.is_asked or (is_expected and code not in _NO_REPORT):
        try:
            checked = checking.check(rendering, config=servers.config, quiet=quiet)
            unwritten = checking.write(checked) or unwritten
        except ComfyRunnerError as error:
            print_error(error)
            # The run has gone well for all that; what cannot be checked has not passed.
            unwritten = error.exit_code if isinstance(error, RunFolderError) else VerificationError.exit_code
    # The report shows what was found wrong.
    page, unreported = _report(rendering.folder, results, code, quiet=quiet) if report else (None, 0)
    if checked is not None:
        if as_json:
            stdout.print(print_json, [checked_record(checked)])
        says_all = not quiet or bool(exit_codes.of_check(checked))
        # Which jobs the baseline has alone, nothing else would tell.
        if says_all or checked.orphans:
            print_notes(notes_of(checked))
        for line in lines(checked) if says_all else ():
            say(line)
    if not quiet:
        print_last_line(results, seconds, page or rendering.folder)
    code = code or (exit_codes.of_check(checked) if checked else 0) or unreported or unwritten
    notifier.ended(rendering.folder, results, seconds, code, page)
    if page_served is not None:
        page_served.linger()
    return code


def _baselines(checking: Checking, renewed: Path | None, *, update_snapshots: bool) -> tuple[Checking, Path | None]:
    """Return what is to be checked, and the baseline that is to be made of the run; None for none.

    Raises:
        UsageError: The options do not go together.
        InputError: One of the baselines cannot be used.
    """
    from comfy_runner.baseline.folder import read_baseline

    if checking.baseline is not None and renewed is not None:
        raise UsageError("--baseline and --update-baseline cannot be used together", hint="add --update-snapshots to --baseline")
    if update_snapshots:
        if checking.baseline is None:
            raise UsageError("has no effect without --baseline", where="--update-snapshots")
        checking, renewed = replace(checking, baseline=None), checking.baseline
    for folder in (checking.baseline, renewed):
        if folder is not None:
            read_baseline(folder)
    return checking, renewed


def _renew(baseline: Path, folder: Path, given: Mapping[str, Any], *, quiet: bool) -> int:
    """Make the pictures of a run a baseline; return an exit code, 0 if all is well."""
    from comfy_runner import api
    from comfy_runner.cli.baseline import notes, sentence
    from comfy_runner.cli.report import measuring

    try:
        with measuring(quiet=quiet, verb="comparing", noun="job") as progress:
            found = api.update_baseline(folder, baseline, only=given["only"], skip=given["skip"], progress=progress)
    except ComfyRunnerError as error:
        print_error(error)
        return error.exit_code
    if not quiet:
        print_notes(notes(found))
        say(sentence(found))
    return 0


def _report(folder: Path, results: Sequence[JobResult], code: int, *, quiet: bool) -> tuple[Path | None, int]:
    """Write the report of a run that has ended, unless it is up to date; return its page, and an exit code, 0 if all is well."""
    if code in _NO_REPORT or not any(result.files for result in results):
        return None, 0
    if len(results) > _MOST_REPORTED:
        if not quiet:
            print_notes(
                [Note(f"no report is written for more than {_MOST_REPORTED} jobs unless you ask for it: comfy-runner report")]
            )
        return None, 0
    from comfy_runner import api
    from comfy_runner.cli.report import measuring, sentence
    from comfy_runner.report.page.page import PAGE
    from comfy_runner.report.writer import is_current

    try:
        limits = api.kept_limits(folder)
        if not is_current(folder, limits):
            with measuring(quiet=quiet) as progress:
                found = api.write_report(folder, limits=limits, progress=progress)
            if not quiet:
                say_limits(limits)
                print_notes(Note(note) for note in found.notes)
                if found.suggestion is not None:
                    say(sentence(found.suggestion))
    except ComfyRunnerError as error:
        print_error(error)
        # With a metric of the user's own that cannot be used, the run has gone well all the same.
        return None, error.exit_code if isinstance(error, RunFolderError) else 0
    return folder / PAGE, 0
