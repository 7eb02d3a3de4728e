"""What the tests of this room share: small recipes, jobs drafted from them, runs against the stand-in, what they left behind."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.engine import ComfyUIEngine
from comfy_runner.engine.interface import NamedEngine
from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import Note, UsageError
from comfy_runner.graph.workflow import Workflow
from comfy_runner.planning.draft import Draft, Plan
from comfy_runner.planning.drafting import draft_all
from comfy_runner.planning.job_graph import PlannedJob
from comfy_runner.planning.survey import plan_rows
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.sources import RecipeSource, load_source
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.retry import Retry
from comfy_runner.running.candidates import Candidate, Examiner
from comfy_runner.running.coordinator import Coordinator
from comfy_runner.running.events import Event, JobResult, RunStarted
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.running.state import Work
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import FileRecord, Sidecar
from tests.standin import StandIn

HASH = "0123456789abcdef" * 4
CHECKPOINTS = ("tiny-random-sd15.safetensors", "SDXL/base.safetensors")
"""Those that the stand-in has."""

_OPTIONS = ("in_flight", "websocket", "allow_partial", "fail_fast", "retry", "stall", "total", "timeouts", "previews", "max_cost")


def small(**changes: Any) -> dict[str, Any]:
    """Return a recipe that takes the stand-in some milliseconds: 64x64 pixels, upscaled to 128x128."""
    recipe = {
        "name": "lake",
        "checkpoint": "tiny-random-sd15.safetensors",
        "prompt": "a lake",
        "seed": 1,
        "size": {"width": 64, "height": 64},
        "sampler": {"steps": 2},
    }
    return {**recipe, **changes}


def sweep(axes: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a small recipe with a sweep."""
    return small(sweep=axes, **changes)


def plan_of(*recipes: RecipeSource, templates: Sequence[Path] = ()) -> Plan:
    """Return the plan of recipes, or of the small one, without a server."""
    loaded = [load_source(recipe) for recipe in recipes or [small()]]
    return draft_all([variant for recipe in loaded for variant in expand(recipe)], templates=templates, seed_of=lambda _variant: 0)


def draft(**changes: Any) -> Draft:
    """Return the only job of a small recipe, without its graph."""
    (found,) = draft_all(expand(from_mapping(small(**changes))), templates=(), seed_of=lambda _variant: 0).drafts
    return found


def planned(**changes: Any) -> PlannedJob:
    """Return a small recipe's job, with its graph."""
    return draft(**changes).planned()


def submitted_job(
    job: PlannedJob | None = None, *, workflow: Workflow | None = None, outputs: Mapping[str, str] | None = None, **changes: Any
) -> SubmittedJob:
    """Return a job as it would be posted, or the small one's; with its template's own file prefixes."""
    job = job or planned()
    values: dict[str, Any] = {
        "job_id": job.job_id,
        "content_hash": job.content_hash,
        "outputs": outputs or job.outputs,
        "sizes": job.sizes,
        "workflow": workflow or job.workflow,
        "recipe": {},
        "template": {},
    }
    return SubmittedJob(**{**values, **changes})


def begin(server: StandIn, out: Path | str, *recipes: Any, **options: Any) -> Run:
    """Begin to render recipes, or the small one."""
    policy = Policy(**{name: options.pop(name) for name in _OPTIONS if name in options})
    config = options.pop("config", Config())
    servers = [server.url, *options.pop("others", ())]
    return api.run(recipes or [small()], server=servers, out=out, config=config, policy=policy, **options)


def rendered(server: StandIn, out: Path | str, *recipes: Any, **options: Any) -> tuple[JobResult, ...]:
    """Render recipes, or the small one, and return the results."""
    return begin(server, out, *recipes, **options).results()


def notes_of(server: StandIn, out: Path, *recipes: Any, **options: Any) -> list[Note]:
    """Render recipes, or the small one, and return what the user was told at the beginning."""
    with begin(server, out, *recipes, **options) as rendering:
        started, *_ = rendering
    assert isinstance(started, RunStarted)
    return list(started.notes)


def states(results: Sequence[JobResult]) -> dict[str, str]:
    """Return how each job ended."""
    return {result.job_id: result.state for result in results}


def posted(server: StandIn) -> list[dict[str, Any]]:
    """Return the graphs that were posted."""
    return [asked.body["prompt"] for asked in server.state.requests("POST", "/prompt")]


def posted_jobs(server: StandIn) -> list[str]:
    """Return the ids of the jobs that were posted alone, in order."""
    posts = server.state.requests("POST", "/prompt")
    return [post.body["extra_data"]["extra_pnginfo"]["comfy_runner"]["job_id"] for post in posts]


def sidecar_in(folder: Path, job_id: str = "lake") -> dict[str, Any]:
    """Return a job's sidecar as it lies on disk."""
    found: dict[str, Any] = json.loads((folder / job_id / "job.json").read_text(encoding="utf-8"))
    return found


def files_in(folder: Path) -> list[str]:
    """Return all files in a folder, relative to it, but for those of the lock and the ledger."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".lock", "ledger.sqlite")))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def picture(folder: Path, job_id: str = "lake", role: str = "upscaled") -> bytes:
    """Return a job's picture."""
    return (folder / job_id / f"{role}.png").read_bytes()


def pixels(folder: Path, job_id: str = "lake", role: str = "upscaled") -> bytes:
    """Return the pixels of a job's picture, whose file also carries the graph that was posted."""
    with Image.open(folder / job_id / f"{role}.png") as image:
        return image.convert("RGB").tobytes()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return a picture as a file has it."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def record(path: str, data: bytes, **changes: Any) -> FileRecord:
    """Return the record of a file with this content."""
    known = {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    return FileRecord(**{**known, "width": 64, "height": 64, "server_name": path, **changes})


def sidecar(job_id: str, files: Mapping[str, tuple[FileRecord, ...]], **changes: Any) -> Sidecar:
    """Return a sidecar with these files."""
    values = {
        "job_id": job_id,
        "content_hash": HASH,
        "state": "done",
        "reason": "",
        "files": files,
        "recipe": {},
        "workflow": {},
        "template": {},
        "server": {},
        "prompt_id": "",
        "cached_nodes": (),
        "seconds": None,
        "finished": "",
        "comfy_runner": "",
    }
    return Sidecar(**{**values, **changes})


def fill(folder: RunFolder, job_id: str, contents: Mapping[str, bytes], **changes: Any) -> Sidecar:
    """Write pictures by role, at ``<job_id>/<role>.png``, and their sidecar."""
    files = {}
    for role, data in contents.items():
        path = folder.path / job_id / f"{role}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        files[role] = (record(f"{job_id}/{role}.png", data),)
    made = sidecar(job_id, files, **changes)
    folder.put(made)
    return made


class Supply:
    """An `EngineSupply` of these engines.

    Args:
        engines: Those that a run begins with.
    """

    def __init__(self, *engines: NamedEngine) -> None:
        self._engines = engines
        self.coming: list[NamedEngine] = []
        self.is_closed = False

    def connect(self) -> Sequence[NamedEngine]:
        return self._engines

    def newcomers(self) -> Sequence[NamedEngine]:
        found, self.coming = self.coming, []
        return found

    def enlist(self, server: str) -> NamedEngine:
        raise UsageError("there are no others", where=server)

    def close(self) -> None:
        self.is_closed = True


class Room:
    """A run folder, and what goes on in it when a coordinator renders small jobs there."""

    def __init__(self, path: Path, *names: str, timeouts: Timeouts | None = None, retry: Retry | None = None) -> None:
        self.folder = RunFolder(path)
        self.events: list[Event] = []
        plan = plan_of(*(small(name=name, seed=number) for number, name in enumerate(names, 1)))
        self.drafts, self.costs = plan.drafts, plan.steps
        self.folder.ledger.write_plan(plan_rows(self.drafts, {}, {}), recipes=names)
        self._timeouts, self._retry = timeouts, retry

    def coordinator(self, http: ComfyHttp, *, in_flight: int = 2) -> Coordinator:
        """Return a coordinator of these jobs."""
        examiner, candidate = Examiner(self.drafts), Candidate("server", ComfyUIEngine(http))
        return Coordinator(
            self.folder,
            Work([(draft,) for draft in self.drafts], self.costs),
            candidates=[replace(candidate, answer=examiner.ask(candidate))],
            examiner=examiner,
            supply=Supply(),
            emit=self.events.append,
            policy=Policy(in_flight=in_flight, timeouts=self._timeouts or Timeouts(), retry=self._retry),
        )
