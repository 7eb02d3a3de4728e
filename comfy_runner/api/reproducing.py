"""Render a finished job again, and compare the new pictures with the recorded ones."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.api.recipes import plan, run
from comfy_runner.check.results import Likeness
from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.control.fetched_job import fetched
from comfy_runner.control.recorded_job import RecordedJob, read_recorded, was_tiled
from comfy_runner.control.reproduced import ReproducedPicture, hold_picture
from comfy_runner.engine.interface import Engine, EngineOptions
from comfy_runner.engine.registry import connect
from comfy_runner.engine.reports import EngineReport
from comfy_runner.errors import JobFailed, RunFolderError, ServerStuck, UsageError, WorkflowError
from comfy_runner.graph.sizes import node_work
from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.inbox import Inbox
from comfy_runner.report.compare import LEAST_SIMILARITY
from comfy_runner.report.triples import remove_triples
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.store.environment import EnvironmentChange, changes, environment_of
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.text_files import local_path, shown
from comfy_runner.wording import counted, named

FOLDER = "reproduced"
"""Below which what was made again lies."""

_TRIES = 3
_FREE_SECONDS = 60.0  # a question to a server takes at most half of that


@dataclass(frozen=True, slots=True)
class Reproduced:
    """The result of rendering a job again.

    Attributes:
        folder: The run folder with the new pictures.
        job_id: The job in that folder.
        pictures: Each recorded picture, with the new one.
        changes: What differs between the environments, as far as both are known.
        notes: Further remarks.
    """

    folder: Path
    job_id: str
    pictures: tuple[ReproducedPicture, ...]
    changes: tuple[EnvironmentChange, ...]
    notes: tuple[str, ...]

    @property
    def is_alike(self) -> bool:
        """Whether every picture has the same pixels, or is perceptually equal."""
        return all(picture.likeness in (Likeness.SAME, Likeness.SIMILAR) for picture in self.pictures)


def reproduce(
    source: Path | str,
    *,
    server: str | ServerConfig | None = None,
    out: Path | str | None = None,
    templates: Sequence[Path] = (),
    limit: float = LEAST_SIMILARITY,
    max_cost: float | None = None,
    config: Config | None = None,
    follow: Callable[[Run], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Reproduced:
    """Render a finished job again, and report whether its pictures are the same and how the environments differ.

    The server is first asked to free its memory, because pictures from its cache would prove nothing.

    Args:
        source: A job's folder in a run folder, its ``job.json``, or a picture from comfy_runner or ComfyUI; a path or a URL.
        server: A URL, a name from the config file, ``local``, which is started when needed, or a `ServerConfig`; None for the first
            server that the settings name.
        out: The run folder for the new pictures; None for ``reproduced/<job>`` in the current folder. Pictures of an earlier call
            move to ``superseded``.
        templates: Folders that are searched for templates first.
        limit: The least similarity, 0 to 1, of pictures that count as perceptually equal (docs/baselines.md).
        max_cost: The most that paid services may cost, in US dollars, including what `out` has already spent; None for no limit.
        config: Settings; None for the user's config file.
        follow: Called with the run, whose events it may follow to the end; called again if the job has to be rendered again. None
            to wait in silence.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: `source` is neither a finished job nor a picture, or can no longer be rendered.
        VerificationError: A recorded picture is missing or incomplete.
        ServerError: The server cannot be used, or returns only cached results.
        RunFolderError: The sidecar is damaged, or the folder cannot be used.
        ComfyRunnerError: The job failed, or was cancelled.
    """
    settings = config or load_config()
    with fetched(source) as path:
        return _reproduced(
            read_recorded(path),
            settings,
            server=server,
            out=out,
            templates=templates,
            limit=limit,
            max_cost=max_cost,
            follow=follow,
            say=say,
        )


def _reproduced(
    recorded: RecordedJob,
    settings: Config,
    *,
    server: str | ServerConfig | None,
    out: Path | str | None,
    templates: Sequence[Path],
    limit: float,
    max_cost: float | None,
    follow: Callable[[Run], None] | None,
    say: Callable[[str], None] | None,
) -> Reproduced:
    folder = local_path(out) if out is not None else Path(FOLDER) / recorded.name
    _refuse_own_folder(folder, recorded)
    chosen = settings.find_server(server)
    engine = connect(chosen, settings, say=say)
    # A mistake is told before anybody's models are unloaded.
    jobs = plan([recorded.source], server=chosen, out=folder, templates=templates, config=settings, say=say).jobs
    if len(jobs) != 1:
        raise UsageError(f"makes {counted(len(jobs), 'job')} (expected 1)", where=shown(recorded.source))

    def begun() -> Run:
        _free(engine, folder)
        return run(
            [recorded.source],
            server=chosen,
            out=folder,
            templates=templates,
            force=True,
            policy=Policy(max_cost=max_cost),
            config=settings,
            say=say,
        )

    made = _rendered(begun(), follow)
    for _ in range(_TRIES - 1):
        if not made.cached_nodes:
            break
        try:
            again = begun()
        except UsageError:  # it would cost more than allowed: what was paid for is looked at
            break
        made = _rendered(again, follow)
    notes = [*_cached(made, engine.url), *_notes(recorded, made)]
    view = FolderView(folder)
    remove_triples(folder, (record.path for records in made.files.values() for record in records))
    pictures = tuple(hold_picture(view, made, picture, limit=limit) for picture in recorded.pictures)
    return Reproduced(folder, made.job_id, pictures, changes(recorded.environment, environment_of(made)), tuple(notes))


def _refuse_own_folder(folder: Path, recorded: RecordedJob) -> None:
    """Refuse to render into the folder of the recorded pictures, because rendering would move them away."""
    inside = folder.resolve()
    if any(inside in path.resolve().parents for path in (recorded.source, *(picture.path for picture in recorded.pictures))):
        hint = "choose another folder with --out"
        raise UsageError("is the folder of the pictures to compare with", where=shown(folder), hint=hint)


def _free(engine: Engine, folder: Path) -> None:
    """Ask a server to drop its cache. If it does not, its answer shows that."""
    reports = Inbox[EngineReport]()
    engine.open(reports.put, FolderView(folder), EngineOptions())
    try:
        engine.free("reproduce")
        with suppress(queue.Empty):
            reports.get(timeout=_FREE_SECONDS)
    finally:
        engine.close()


def _rendered(rendering: Run, follow: Callable[[Run], None] | None) -> Sidecar:
    """Wait for a run, and return the sidecar of its only job.

    Raises:
        ComfyRunnerError: The job is not done.
    """
    with rendering:
        if follow is not None:
            follow(rendering)
        (result,) = rendering.results()
    if result.state != "done":
        raise result.error or JobFailed(f"is {result.state}", where=result.job_id)
    sidecar = FolderView(rendering.folder).sidecar(result.job_id)
    if sidecar is None:
        raise RunFolderError("no longer has a sidecar", where=result.job_id)
    return sidecar


def _cached(made: Sidecar, url: str) -> Iterator[str]:
    """Yield what came from a cache, although the server was asked to drop it.

    Raises:
        ServerStuck: That is what makes the picture.
    """
    cached = set(made.cached_nodes)
    with suppress(WorkflowError):
        if cached & node_work(parse_workflow(made.workflow, where=made.job_id)).keys():
            what = "answers from its cache even after it was asked to clear it, which proves nothing about a picture"
            raise ServerStuck(what, where=url, hint="restart it, or start it with --cache-none")
    if cached:
        count = counted(len(cached), "node")
        yield f"{count} came from the server's cache, such as models that were loaded before: {named(sorted(cached))}"


def _notes(recorded: RecordedJob, made: Sidecar) -> Iterator[str]:
    for environment, when in ((recorded.environment, "rendered it then"), (environment_of(made), "renders it now")):
        if "comfyui" not in environment:
            yield f"which ComfyUI {when} is unknown"
    if recorded.content_hash and recorded.content_hash != made.content_hash:
        yield "its graph is no longer the same"
    if recorded.was_tiled != was_tiled(made):
        yield f"it ran out of memory {'then' if recorded.was_tiled else 'now'}, and was decoded in tiles"
    if recorded.others:
        yield f"{counted(recorded.others, 'file that is not a picture was', 'files that are not pictures were')} not compared"
