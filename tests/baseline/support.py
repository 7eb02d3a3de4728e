"""What the tests of this room share: runs of a photograph, and changes to what they have left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from comfy_runner.baseline.compare_run import RunComparison, compare_run
from comfy_runner.baseline.folder import read_baseline
from comfy_runner.check.results import Likeness
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.status import status
from tests.report.support import make_run, photo

SEEDS: dict[str, list[Any]] = {"seed": [1, 2]}


def run_of(folder: Path, axes: Mapping[str, list[Any]] = SEEDS, **given: Any) -> Path:
    """Make a run folder."""
    return make_run(folder, axes, photo, **given)


def edit(run: Path, job_id: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a job's sidecar."""
    path = run / job_id / "job.json"
    sidecar = json.loads(path.read_text(encoding="utf-8"))
    change(sidecar)
    path.write_text(json.dumps(sidecar), encoding="utf-8")


def repaint(run: Path, job_id: str, role: str, picture: Image.Image) -> None:
    """Give a job another picture, as if it had been rendered so."""
    path = run / job_id / f"{role}.png"
    picture.save(path)
    content = path.read_bytes()

    def record(sidecar: dict[str, Any]) -> None:
        width, height = picture.size
        (found,) = sidecar["files"][role]
        found |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content), "width": width, "height": height}

    edit(run, job_id, record)


def painted(run: Path, job_id: str, role: str = "upscaled") -> Image.Image:
    """Return a job's picture with a red mark on it."""
    with Image.open(run / job_id / f"{role}.png") as image:
        picture = image.convert("RGB")
    picture.paste((255, 0, 0), (40, 40, 60, 60))
    return picture


def compare(run: Path, baseline: Path, **given: Any) -> RunComparison:
    """Compare all jobs of a run that are done."""
    jobs = status(run).jobs
    done = given.pop("done", [job for job in jobs if job.row.state == "done"])
    known = [job.row.job_id for job in jobs]
    return compare_run(read_baseline(baseline), done, FolderView(run), **{"limits": {}, "known": known, **given})


def likenesses(found: RunComparison) -> dict[str, list[Likeness]]:
    """Return how the pictures of each job compare."""
    return {job_id: [each.likeness for each in one.comparisons] for job_id, one in found.jobs.items()}


def messages(found: RunComparison) -> list[str]:
    """Return what is wrong."""
    return [each.message for one in found.jobs.values() for each in one.findings if not each.passed]


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return all files below a folder: their bytes, and when they were written."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
