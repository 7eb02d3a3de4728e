"""What the tests of this room share: small recipes, jobs planned from them, runs against the stand-in, what they left behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfy_runner import api
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.comfyui.patience import Patience
from comfy_runner.config import Config
from comfy_runner.recipe.jobs import job
from comfy_runner.recipe.load import from_mapping
from comfy_runner.runs.coordinate import Coordinator, Policy, Task
from comfy_runner.runs.events import Event, JobResult
from comfy_runner.runs.folder import RunFolder
from comfy_runner.runs.plan import PlannedJob, plan_job
from comfy_runner.runs.run import Run
from comfy_runner.runs.sidecar import FileRecord, Sidecar
from tests.standin import StandIn

HASH = "0123456789abcdef" * 4


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


def planned(**changes: Any) -> PlannedJob:
    """Return a small recipe's job, with its graph."""
    return plan_job(job(from_mapping(small(**changes))))


def begin(server: StandIn, out: Path, *recipes: Any, **options: Any) -> Run:
    """Begin to render recipes, or the small one."""
    how = {name: options.pop(name) for name in ("in_flight", "websocket", "allow_partial") if name in options}
    return api.run(recipes or [small()], server=server.url, out=out, config=Config(), policy=Policy(**how), **options)


def rendered(server: StandIn, out: Path, *recipes: Any, **options: Any) -> tuple[JobResult, ...]:
    """Render recipes, or the small one, and return the results."""
    return begin(server, out, *recipes, **options).results()


def sidecar_in(folder: Path, job_id: str = "lake") -> dict[str, Any]:
    """Return a job's sidecar as it lies on disk."""
    found: dict[str, Any] = json.loads((folder / job_id / "job.json").read_text(encoding="utf-8"))
    return found


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
    folder.write_sidecar(made)
    return made


class Room:
    """A run folder, and what goes on in it when a coordinator renders small jobs there."""

    def __init__(self, path: Path, *names: str, patience: Patience | None = None) -> None:
        self.folder = RunFolder(path)
        self.events: list[Event] = []
        self.tasks = [Task(planned(name=name, seed=number)) for number, name in enumerate(names, 1)]
        self._patience = patience

    def coordinator(self, http: ComfyHttp, *, in_flight: int = 2) -> Coordinator:
        """Return a coordinator of these jobs."""
        return Coordinator(
            self.folder,
            self.tasks,
            http=http,
            server={},
            emit=self.events.append,
            policy=Policy(in_flight=in_flight, patience=self._patience or Patience()),
        )
