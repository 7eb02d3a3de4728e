"""``comfy-runner bisect``: which version changed the pictures, with each step told as it is done."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.options import (
    LocalPath,
    NamedServers,
    RunPlace,
    json_option,
    max_cost_option,
    recipe_options,
    recipes_argument,
    servers_option,
)
from comfy_runner.cli.output import print_json, print_line, say
from comfy_runner.errors import Interrupted, JobFailed
from comfy_runner.text_files import shown
from comfy_runner.wording import counted

if TYPE_CHECKING:
    from comfy_runner.bisecting.walk import Bisected, Judged

_WORDS = {"good": "good", "bad": "bad", "skip": "skipped"}
_FOLDER = LocalPath(file_okay=False)


@click.command()
@click.argument("good")
@click.argument("bad")
@recipes_argument
@click.option("--start", required=True, metavar="COMMAND", help="The shell command that starts the server of a version.")
@click.option("--stop", default="", metavar="COMMAND", help="The command that stops it, if ending the first one does not.")
@click.option("--repo", type=_FOLDER, metavar="DIR", help="The git repository whose revisions are checked out.")
@click.option("--versions", type=LocalPath(), metavar="FILE", help="The versions, one per line, instead of all commits.")
@servers_option("The address of the started server: a URL, or a name from the config file.", several=False)
@click.option("--out", type=_FOLDER, metavar="DIR", help="The folder of the search (runs/bisect-<recipe name>).")
@click.option(
    "--baseline", type=RunPlace(file_okay=False), metavar="DIR", help="Compare the pictures with those in DIR (docs/ci.md)."
)
@recipe_options
@click.option(
    "--start-timeout",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="The longest that a server may take until it answers.",
)
@click.option(
    "--report/--no-report",
    default=True,
    envvar="COMFY_RUNNER_REPORT",
    help="Write report.html of the first bad version (default), or not.",
)
@max_cost_option
@json_option("Print one JSON object per version, and one for the answer, on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but results and errors.")
@click.option("-v", "--verbose", count=True, help="Print more details.")
def bisect(
    good: str,
    bad: str,
    recipes: tuple[str, ...],
    *,
    servers: NamedServers,
    report: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
    max_cost: float | None,
    **given: Any,
) -> int:
    """Find the first version at which a run fails its checks: what recipes expect, or a comparison with a baseline.

    GOOD and BAD are revisions in --repo, or lines of --versions. For each version tried, its server is started, the recipes are
    rendered into a run folder of its own and checked as `check` does, and the server is stopped. In a command, {version} and
    $COMFY_RUNNER_BISECT_VERSION stand for the version. Without --baseline, and if the recipes expect nothing, pictures are compared
    with those of GOOD. A version that cannot be judged is skipped. The repository is left as it was found. The same command
    continues an interrupted search. The answer goes to stdout, everything else to stderr.
    """
    from comfy_runner import api
    from comfy_runner.cli.follow import follower
    from comfy_runner.cli.json_records import event_record
    from comfy_runner.cli.report import write_report_at_end
    from comfy_runner.running.policy import Policy

    def told(judged: Judged) -> None:
        if as_json:
            print_json(event_record("version-judged", judged))
        if not quiet:
            say(step(judged))

    try:
        found = api.bisect(
            good,
            bad,
            recipes,
            server=servers.one(),
            policy=Policy(max_cost=max_cost),
            config=servers.config,
            say=None if quiet else say,
            told=told,
            # Lines for every node of every version would hide what is found.
            following=partial(follower, quiet=quiet or not (verbose or sys.stderr.isatty()), verbose=verbose),
            **given,
        )
    except KeyboardInterrupt:
        raise Interrupted("interrupted", hint="the same command continues where it stopped") from None
    if as_json:
        print_json(event_record("bisected", found))
    else:
        for version in found.suspects:
            print_line(version.name)
    if not quiet:
        for line in answer(found):
            say(line)
    if report:
        write_report_at_end(next(judged.folder for judged in found.judged if judged.version == found.bad), quiet=quiet)
    return 0 if len(found.suspects) == 1 else JobFailed.exit_code


def step(judged: Judged) -> str:
    """Return what is said of a version, and how much is left to do."""
    before = " (rendered before)" if judged.was_judged else ""
    left = f"; {counted(judged.left, 'version')} left, at most {counted(judged.steps, 'step')}" if judged.left else ""
    why = f": {judged.why}" if judged.why else ""
    return f"{judged.version}: {_WORDS[judged.judgment]}{before}{why}{left}"


def answer(found: Bisected) -> list[str]:
    """Return what a search has found, as people read it."""
    *skipped, bad = found.suspects
    if skipped:
        lines = [
            f"the first bad version is one of {len(found.suspects)}, for {counted(len(skipped), 'version')} could not be judged:"
        ]
        lines += [f"  {version}" for version in found.suspects]
    else:
        lines = [f"{bad} is the first bad version"]
    folders = {judged.version: judged.folder for judged in found.judged}
    lines += [f"{word}: {version}, {shown(folders[version])}" for word, version in (("last good", found.good), ("bad", bad))]
    if found.inside is not None:
        base, tip = found.inside
        lines.append(f"it is a merge; to search its commits, give GOOD {base.name[:10]} and BAD {tip.name[:10]}")
    return lines
