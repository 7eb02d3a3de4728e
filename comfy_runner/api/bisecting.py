"""Find the first version of ComfyUI or of a node pack that renders wrong pictures: start each, render, and judge the result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from comfy_runner.api.checking import check_run
from comfy_runner.api.importing import asking, loading
from comfy_runner.api.recipes import plan, run
from comfy_runner.baseline.folder import read_baseline
from comfy_runner.baseline.update import update_baseline
from comfy_runner.bisecting.checkout import Checkout
from comfy_runner.bisecting.journal import LOG, read_skipped, write_journal
from comfy_runner.bisecting.search import Judgment, Search
from comfy_runner.bisecting.server_commands import START_SECONDS, ServerCommands, require_commands
from comfy_runner.bisecting.versions import Version, between, read_versions
from comfy_runner.bisecting.walk import Bisected, Judged, walk
from comfy_runner.check.expected import Expected, expected_of
from comfy_runner.check.results import CheckedRun
from comfy_runner.config import LOCAL, Config, ServerConfig, load_config
from comfy_runner.engine.registry import connect, refuse_bad_addresses
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.errors import JobFailed, ServerError, UsageError, VerificationError, WorkflowError
from comfy_runner.planning.drafting import draft_all
from comfy_runner.recipe.names import slug
from comfy_runner.recipe.sources import RecipeSource, load_all
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.running.events import Event
from comfy_runner.running.policy import Policy
from comfy_runner.store.registry import local_part
from comfy_runner.text_files import local_path, on_one_line, shown
from comfy_runner.wording import counted

# No version's files are called so, for their names have no underscores.
_BASELINE: Final = "baseline_of_good"
_LEFT_OUT: Final = f"left out, as {LOG} says; remove its line there to try it again"
_ASKING: Final = RequestTimeouts(connect=2.0, read=5.0, answer=5.0)


def bisect(
    good: str,
    bad: str,
    recipes: Sequence[RecipeSource],
    *,
    start: str,
    stop: str = "",
    repo: Path | str | None = None,
    versions: Path | str | None = None,
    server: str | ServerConfig | None = None,
    out: Path | str | None = None,
    baseline: Path | str | None = None,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    templates: Sequence[Path] = (),
    start_timeout: float = START_SECONDS,
    policy: Policy | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
    told: Callable[[Judged], None] = lambda _judged: None,
    following: Callable[[], AbstractContextManager[Callable[[Event], None]]] = lambda: nullcontext(lambda _event: None),
) -> Bisected:
    """Find the first version that fails the expectations of recipes, or a comparison with a baseline.

    For each version, the server is started, the recipes are rendered into a separate run folder, the result is judged, and the
    server is stopped. A version whose server does not start, or cannot do the jobs, is skipped. The repository is always left as it
    was found. The same call continues an interrupted search: finished pictures are not rendered again.

    Args:
        good: A good version: a revision of the repository, or a line of the list.
        bad: A bad version. In a repository it must come after the good one; in a list it may come before it.
        recipes: At least one, as for `run`, with fixed seeds.
        start: Shell command that starts the server of a version, in the foreground or in the background. ``{version}`` and
            ``$COMFY_RUNNER_BISECT_VERSION`` stand for the version. If there is a repository, the version is checked out first.
        stop: Shell command that stops the server, with the same placeholders. Whatever remains of the start command's process group
            is ended in any case.
        repo: The git repository that is searched, or that contains the versions of the list; None for none.
        versions: A file with one version per line, in order; None for all commits of the repository from `good` to `bad`.
        server: The address at which the started server answers: a URL, a name from the config file, or a `ServerConfig`; None for
            the first server in the settings.
        out: Folder of the search, with a run folder for each version; None for ``runs/bisect-<recipe name>``.
        baseline: Folder or URL of the baseline that pictures are compared with. None for none, or, if the recipes expect nothing,
            for the pictures of the good version.
        sets: Overrides for every recipe, such as ``upscale.denoise=0.6``.
        sweeps: Axes for every recipe, such as ``upscale.denoise=0.45:0.70:0.05``.
        templates: Folders that are searched for templates first.
        start_timeout: Seconds within which a server must answer.
        policy: How to treat the servers: time limits, jobs in flight, retries; None for the defaults.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each step; None for silence.
        told: Called with each version that has been judged.
        following: Returns a context manager that yields a callable for the events of a version's run.

    Raises:
        InputError: An argument or a recipe is wrong, the good version is bad, the bad one is good, or a server is already running.
        ServerError: The server of the good version or of the bad one cannot be used.
        JobFailed: One of these two servers cannot do a job.
        RunFolderError: A run folder cannot be used.
    """
    require_commands()
    settings = config or load_config()
    address = settings.find_server(server)
    if address.url == LOCAL:
        raise UsageError("local is a single version of ComfyUI", hint="give the URL of the server that the start command starts")
    refuse_bad_addresses(address, settings)
    given: dict[str, Any] = {"sets": sets, "sweeps": sweeps, "templates": templates, "config": settings}
    name, expected = _look_at_recipes(recipes, **given)
    # How similar a picture has to be says nothing without another one.
    of_good = baseline is None and not any(each.expect.model_fields_set - {"similarity"} for each in expected)
    baseline = None if baseline is None else local_part(baseline)
    if baseline is not None and not read_baseline(baseline).jobs:
        raise UsageError("there is no baseline", where=shown(baseline), hint="make one: comfy-runner baseline update RUN --to DIR")
    checkout = None if repo is None else Checkout(local_path(repo))
    if checkout is not None:
        _refuse_changing(checkout, [*recipes, *templates, *([] if baseline is None else [baseline])])
    listed = _versions(good, bad, checkout, None if versions is None else Path(versions))
    folder = Path("runs") / f"bisect-{slug(name)}" if out is None else local_path(out)
    skipped = read_skipped(folder)
    judge = _Judge(
        recipes,
        folder,
        commands=ServerCommands(
            start=start, stop=stop, silence=lambda: _silence(address, settings), url=address.place, timeout=start_timeout
        ),
        checkout=checkout,
        baseline=baseline,
        skipped=skipped,
        in_one_go=any(each.expect.passes is not None for each in expected),
        given=given,
        rendering={"server": address, "policy": policy, "say": say},
        following=following,
    )
    journal = partial(write_journal, folder, commits=checkout is not None)
    left_out = {version: (Judgment.SKIPPED, _LEFT_OUT) for version in listed if version.name in skipped}
    judged: dict[Version, Judged] = {}
    search = Search(0, len(listed) - 1)
    try:
        for search, one in walk(listed, judge):
            judged[one.version] = replace(one, left=len(search.left), steps=search.steps)
            told(judged[one.version])
            if of_good and one.judgment is Judgment.GOOD and judge.baseline is None:
                judge.baseline = folder / _BASELINE
                update_baseline(one.folder, judge.baseline, prune=True)
            journal(left_out | {version: (each.judgment, each.why) for version, each in judged.items()})
    finally:
        if checkout is not None:
            checkout.restore()
    suspects = tuple(listed[place] for place in search.suspects)
    journal({version: (each.judgment, each.why) for version, each in judged.items()} | left_out, suspects=suspects)
    return Bisected(
        good=listed[search.good],
        bad=suspects[-1],
        suspects=suspects,
        judged=tuple(judged.values()),
        inside=checkout.merged(suspects[-1]) if checkout is not None and len(suspects) == 1 else None,
    )


class _Judge:
    """Judges versions, one after the other.

    Attributes:
        baseline: The folder of the baseline that pictures are compared with; None for none.
    """

    def __init__(
        self,
        recipes: Sequence[RecipeSource],
        folder: Path,
        *,
        commands: ServerCommands,
        checkout: Checkout | None,
        baseline: Path | None,
        skipped: Collection[str],
        in_one_go: bool,
        given: Mapping[str, Any],
        rendering: Mapping[str, Any],
        following: Callable[[], AbstractContextManager[Callable[[Event], None]]],
    ) -> None:
        self.baseline = baseline
        self._recipes, self._folder, self._in_one_go = recipes, folder, in_one_go
        self._commands, self._checkout, self._skipped = commands, checkout, skipped
        self._given, self._rendering, self._following = given, rendering, following

    def __call__(self, version: Version) -> Judged:
        folder = self._folder / version.folder
        if version.name in self._skipped:
            return Judged(version=version, judgment=Judgment.SKIPPED, why=_LEFT_OUT, folder=folder)
        was_judged = self._is_rendered(folder)
        try:
            if not was_judged:
                self._render(version, folder)
        except (ServerError, JobFailed, WorkflowError) as error:
            why = on_one_line(str(error.problems[0]).partition("\n")[0])
            return Judged(version=version, judgment=Judgment.SKIPPED, why=why, folder=folder, error=error)
        judgment, why = judgment_of(check_run(folder, self._recipes, baseline=self.baseline, **self._given))
        return Judged(version=version, judgment=judgment, why=why, folder=folder, was_judged=was_judged)

    def _is_rendered(self, folder: Path) -> bool:
        """Return whether every job in a version's run folder is done."""
        return folder.is_dir() and all(row.state == "done" for row in plan(self._recipes, out=folder, **self._given).jobs)

    def _render(self, version: Version, folder: Path) -> None:
        if say := self._rendering["say"]:
            say(f"{version}: starting its server")
        if self._checkout is not None:
            self._checkout.take(version)
        # What a run that was interrupted had in its cache, the next one has to do again: passes would be counted twice.
        again = self._in_one_go and folder.is_dir()
        with (
            self._commands.serving(version.name, self._folder / f"{version.folder}_server.log"),
            run(self._recipes, out=folder, force=again, **self._rendering, **self._given) as rendering,
            self._following() as follow,
        ):
            for event in rendering:
                follow(event)
        errors = [result.error for result in rendering.results() if result.error is not None]
        if error := next((error for error in errors if not isinstance(error, VerificationError)), None):
            raise error


def judgment_of(checked: CheckedRun) -> tuple[Judgment, str]:
    """Return what a version is by its run, and why: the first thing that is wrong, and how many more there are."""
    undone = [f"{job.job_id}: {job.problem}" for job in checked.jobs if job.exit_code not in (0, VerificationError.exit_code)]
    if undone:
        return Judgment.SKIPPED, _first(undone)
    wrong = [f"{job.job_id}: {job.problem}" for job in checked.jobs if job.exit_code and not job.failures]
    findings = [found for job in checked.jobs for found in job.failures] + list(checked.failures)
    wrong += [" ".join(filter(None, (found.job_id, found.role, found.message))) for found in findings]
    return (Judgment.BAD, _first(wrong)) if wrong else (Judgment.GOOD, "")


def _first(found: Sequence[str]) -> str:
    more = f", and {counted(len(found) - 1, 'more thing', 'more things')}" if len(found) > 1 else ""
    return on_one_line(found[0], longest=300) + more


def _look_at_recipes(
    recipes: Sequence[RecipeSource], *, sets: Sequence[str], sweeps: Sequence[str], templates: Sequence[Path], config: Config
) -> tuple[str, Collection[Expected]]:
    """Refuse recipes before any server is started for them; return the name of the first one, and what is expected of each job.

    Raises:
        InputError: One is wrong, or leaves a seed to chance.
    """
    folders = (*templates, *config.templates)
    loaded = load_all(recipes, sets=sets, sweeps=sweeps, load_one=loading(asking((), None, config, None), folders))
    variants = [variant for recipe in loaded for variant in expand(recipe)]
    if chance := next((variant for variant in variants if variant.draw), None):
        what = f"each version would render different pictures, because seeds are drawn at random (got job {chance.job_id})"
        raise UsageError(what, hint="give the seed, such as --set seed=42")
    draft_all(variants, templates=folders, seed_of=lambda _variant: 0)
    return loaded[0].recipe.name, expected_of(variants, config).values()


def _refuse_changing(checkout: Checkout, given: Sequence[object]) -> None:
    """Refuse files of ours that the checkout of a version would change.

    Raises:
        UsageError: One is in the repository.
    """
    for path in (Path(each) for each in given if isinstance(each, (str, Path))):
        if path.exists() and checkout.tracks(path):
            hint = "copy it out of the repository, and use the copy"
            raise UsageError("is in the repository, so each version would have a different one", where=shown(path), hint=hint)


def _versions(good: str, bad: str, checkout: Checkout | None, file: Path | None) -> list[Version]:
    if file is not None:
        names = between(good, bad, read_versions(file), where=shown(file))
        return [Version(name) if checkout is None else checkout.version(name) for name in names]
    if checkout is None:
        raise UsageError("the versions are not given", hint="give --repo DIR, or --versions FILE with one version per line")
    return checkout.versions(good, bad)


def _silence(address: ServerConfig, config: Config) -> str:
    """Return why no ComfyUI answers; empty where one does."""
    try:
        connect(address, config, start=False, requests=_ASKING).info()
    except ServerError as error:
        return str(error.problems[0])
    return ""
