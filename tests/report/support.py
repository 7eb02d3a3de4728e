"""What the tests of this room share: run folders as a run leaves them, with pictures made for the test, and no server."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image
from skimage import data

from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, PlanRow
from comfy_runner.store.sidecar import FileRecord, Sidecar
from comfy_runner.store.states import Change

Painter = Callable[[Mapping[str, Any]], Mapping[str, Image.Image | bytes]]
"""Returns a job's pictures by role, or what lies there instead, for its values."""


def points(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the axes' values, the last axis innermost."""
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def job_id_of(values: Mapping[str, Any], recipe: str = "lake") -> str:
    """Return a readable id for a job with these values."""
    parts = [f"{name.rpartition('.')[2][:1]}{str(value).replace('.', '')}" for name, value in values.items()]
    return "-".join([recipe, *("".join(char for char in part.lower() if char.isalnum()) for part in parts)])


def make_run(
    folder: Path,
    axes: Mapping[str, Sequence[Any]],
    paint: Painter,
    *,
    recipe: Mapping[str, Any] | None = None,
    failed: Sequence[str] = (),
) -> Path:
    """Make a run folder of which every job is done, and return it.

    Args:
        folder: Where; made if it is not there.
        axes: The sweep: values by dotted field.
        paint: Gives each job's pictures.
        recipe: Fields of the recipe besides those of the sweep.
        failed: Ids of jobs that have failed and have no pictures.
    """
    name = str((recipe or {}).get("name", "lake"))
    jobs = {job_id_of(values, name): values for values in points(axes)}
    with Ledger(folder_of(folder) / FILE) as ledger:
        rows = [_plan_row(job_id, values, name, position) for position, (job_id, values) in enumerate(jobs.items())]
        ledger.write_plan(rows, recipes=[name])
        for row in rows:
            prompt_id = str(uuid.uuid4())
            ledger.submit(prompt_id, server="http://127.0.0.1:8188", text="{}", job_ids=[row.job_id])
            if row.job_id in failed:
                ledger.settle(JobUpdate(row.job_id, Change.FAILED, error="out of memory", files=[]))
                continue
            sidecar, files = _write(folder, row, paint(row.assignments), prompt_id, recipe or {})
            (folder / row.job_id / "job.json").write_bytes(sidecar.to_bytes())
            ledger.settle(JobUpdate(row.job_id, Change.DONE, files=files, seconds=2.5, work=40.0))
    return folder


def folder_of(path: Path) -> Path:
    """Return a folder that is there now."""
    path.mkdir(parents=True, exist_ok=True)
    return path


def _plan_row(job_id: str, values: Mapping[str, Any], recipe: str, position: int) -> PlanRow:
    content = hashlib.sha256(job_id.encode()).hexdigest()
    return PlanRow(
        job_id=job_id,
        position=position,
        recipe=recipe,
        content_hash=content,
        pixel_hash=content,
        shares="",
        assignments=dict(values),
    )


def _write(
    folder: Path, row: PlanRow, pictures: Mapping[str, Image.Image | bytes], prompt_id: str, recipe: Mapping[str, Any]
) -> tuple[Sidecar, list[FileRow]]:
    (folder / row.job_id).mkdir(exist_ok=True)
    records, files = {}, []
    for role, picture in pictures.items():
        path = folder / row.job_id / f"{role}.png"
        if isinstance(picture, bytes):
            path.write_bytes(picture)
            width = height = None
        else:
            picture.save(path, compress_level=1)
            width, height = picture.size
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        where = path.relative_to(folder).as_posix()
        records[role] = (FileRecord(where, digest, len(data), width, height, f"comfy_runner/{row.job_id}_00001_.png"),)
        mtime = path.stat().st_mtime_ns
        files.append(FileRow(role=role, number=0, path=where, size_bytes=len(data), mtime_ns=mtime, sha256=digest))
    sidecar = Sidecar(
        job_id=row.job_id,
        content_hash=row.content_hash,
        state="done",
        reason="",
        files=records,
        recipe={"name": row.job_id, "checkpoint": "tiny.safetensors", "prompt": "a lake", **recipe, **nested(row.assignments)},
        workflow={"second_pass": {"class_type": "KSampler", "inputs": {"denoise": row.assignments.get("upscale.denoise", 0.55)}}},
        template={"name": "latent_upscale", "sha256": "0" * 64},
        server={"url": "http://127.0.0.1:8188", "version": "0.3.75"},
        prompt_id=prompt_id,
        cached_nodes=("checkpoint", "first_pass"),
        seconds=2.5,
        finished="2026-11-27T10:00:00+00:00",
        comfy_runner="0.1.0",
        assignments=dict(row.assignments),
        recipe_name=row.recipe,
    )
    return sidecar, files


def nested(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted fields as the mappings of a recipe."""
    found: dict[str, Any] = {}
    for name, value in assignments.items():
        *folders, last = name.split(".")
        inner = found
        for step in folders:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return found


def photo(values: Mapping[str, Any], *, of: str = "astronaut", paints: float = 0.3, moves: float = 0.2) -> dict[str, Image.Image]:
    """Paint as a sweep over denoise does: more of it is more detail at first, and then another picture.

    The seed chooses a part of a photograph; the original is that part at half the size.

    Args:
        values: The job's values.
        of: The photograph, of scikit-image.
        paints: From 0.3 on, by how much more denoise all detail is there.
        moves: From 0.6 on, by how much more denoise it is another picture.
    """
    return dict(_painted(of, paints, moves, int(values.get("seed", 0)), float(values.get("upscale.denoise", 0.55))))


@cache
def _painted(of: str, paints: float, moves: float, seed: int, denoise: float) -> dict[str, Image.Image]:
    left = 20 * seed
    truth = _photograph(of).crop((left, 40, left + 256, 184))
    other = _photograph("coffee").crop((100, 100, 356, 244))
    original = truth.resize((128, 72), Image.Resampling.LANCZOS)
    plain = original.resize(truth.size, Image.Resampling.LANCZOS)
    painted = Image.blend(plain, truth, min(1.0, max(0.0, (denoise - 0.3) / paints)))
    return {"original": original, "upscaled": Image.blend(painted, other, min(1.0, max(0.0, (denoise - 0.6) / moves)))}


@cache
def _photograph(name: str) -> Image.Image:
    return Image.fromarray(getattr(data, name)())
