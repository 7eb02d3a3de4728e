"""``comfy-runner find``: the best values of fields, with each step told as it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.completing import complete_fields, complete_recipes
from comfy_runner.cli.options import (
    NamedServers,
    RunPlace,
    calibration_option,
    json_option,
    max_cost_option,
    recipe_options,
    say_limits,
    servers_option,
)
from comfy_runner.cli.output import print_json, print_line, say
from comfy_runner.cli.watch import WatchedSearch, watch_options
from comfy_runner.errors import Interrupted, VerificationError
from comfy_runner.wording import counted

if TYPE_CHECKING:
    from comfy_runner.api import FindPlan, SearchStep
    from comfy_runner.running.events import Event


@click.command()
@click.argument("recipe", shell_complete=complete_recipes)
@click.option(
    "--over",
    multiple=True,
    metavar="FIELD=VALUES",
    shell_complete=complete_fields,
    help="A field and its values: upscale.denoise=0.3:0.8, or with a step or a list.",
)
@click.option("--max-drift", type=float, metavar="DRIFT", help="The most that a picture may drift from its original (0.3).")
@calibration_option
@click.option("--tolerance", type=float, metavar="DISTANCE", help="How precise the value must be (0.02).")
@click.option("--jobs", type=int, metavar="COUNT", help="The most jobs to render (a part of the sweep, 24 at most).")
@servers_option(waits=True)
@click.option("--out", type=RunPlace(file_okay=False), metavar="DIR", help="The run folder (runs/<recipe name>), or its URL.")
@recipe_options
@click.option("--dry-run", is_flag=True, help="Say how many jobs it would take at most, and render nothing.")
@click.option(
    "--report/--no-report", default=True, envvar="COMFY_RUNNER_REPORT", help="Write report.html at the end (default), or not."
)
@watch_options
@max_cost_option
@json_option("Print one JSON object per step, and one for the answer, on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but results and errors.")
@click.option("-v", "--verbose", count=True, help="Print more details.")
def find(
    recipe: str,
    *,
    servers: NamedServers,
    dry_run: bool,
    report: bool,
    watched: bool,
    port: int | None,
    host: str,
    as_json: bool,
    quiet: bool,
    verbose: int,
    max_cost: float | None,
    **given: Any,
) -> int:
    """Search for the values of fields that give the most real detail while the composition is kept.

    Instead of all values only a few are rendered; their measurements decide which come next. The value must suit everything else
    that RECIPE sweeps, such as all of its seeds. Pictures that the run folder already has are used, and the same command continues
    an interrupted search. RECIPE can contain all of this under find.
    The value goes to stdout (with several fields as field=value), everything else to stderr.
    """
    from comfy_runner import api
    from comfy_runner.api.search_results import line, setting
    from comfy_runner.cli.follow import follower
    from comfy_runner.cli.json_records import event_record
    from comfy_runner.cli.report import write_report_at_end
    from comfy_runner.running.policy import Policy

    given |= {"config": servers.config, "over": given["over"] or None}
    if dry_run:
        foreseen = api.plan_find(recipe, server=servers.fleet() if servers.names else None, **given)
        if as_json:
            print_json(event_record("find-planned", foreseen))
        elif not quiet:
            if given["calibrated"]:
                say_limits(foreseen.limits)
            print_line(plan_line(foreseen))
        return 0

    page_served = click.get_current_context().with_resource(WatchedSearch(host, port)) if watched else None

    @contextmanager
    def following() -> Iterator[Callable[[Event], None]]:
        # Lines for every node of every job would hide what is found.
        with follower(quiet=quiet or not (verbose or sys.stderr.isatty()), verbose=verbose) as follow:

            def take(event: Event) -> None:
                if page_served is not None:
                    page_served.follow(event)
                follow(event)

            yield take

    def told(steps: Sequence[SearchStep]) -> None:
        for step in steps:
            if as_json:
                print_json(event_record("find-step", step))
            if not quiet:
                say(step_line(step))

    try:
        found = api.find(
            recipe,
            server=servers.fleet(),
            say=None if quiet else say,
            told=told,
            following=following,
            policy=Policy(previews=watched, max_cost=max_cost),
            **given,
        )
    except KeyboardInterrupt:
        raise Interrupted("interrupted", hint="the same command continues where it stopped") from None
    if as_json:
        print_json(event_record("found", found))
    elif found.values:
        print_line(setting(found.values) if len(found.values) > 1 else f"{found.value!r}")
    if not quiet:
        if given["calibrated"]:
            say_limits(found.plan.limits)
        say(line(found))
    if report:
        write_report_at_end(found.plan.folder, found.plan.limits, quiet=quiet)
    if page_served is not None:
        page_served.end(found.plan.folder)
    return 0 if found.values else VerificationError.exit_code


def step_line(step: SearchStep) -> str:
    """Return what is said of a job that was rendered."""
    out = "" if step.allowed else ", ruled out"
    return f"{step.job_id}: detail {step.detail:.2f}, drift {step.drift:.2f}{out}"


def plan_line(plan: FindPlan) -> str:
    """Return what a search has before it, as people read it."""
    from comfy_runner.report.run_data import label

    same = f" ({plan.same} more would give the same pictures as others)" if plan.same else ""
    fields = [
        f"{field}: {counted(len(values), 'value')} from {label(values[0])} to {label(values[-1])}"
        for field, values in plan.over.items()
    ]
    if len(fields) > 1:
        fields.append(counted(plan.combinations, "combination"))
    series = f" in {counted(plan.series, 'series', 'series')}" if plan.series > 1 else ""
    done = f"; {plan.done} of these jobs {'is' if plan.done == 1 else 'are'} already done" if plan.done else ""
    return f"{', '.join(fields)}{same}{series}: at most {counted(plan.most, 'job')}, where the whole sweep takes {plan.grid}{done}"
