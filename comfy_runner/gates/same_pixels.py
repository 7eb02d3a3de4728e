"""Which jobs have the very same pixels although they differ in their seeds: a seed that changes nothing is a mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from comfy_runner.errors import VerificationError
from comfy_runner.report.pixels import read_pixels
from comfy_runner.report.run_data import ORIGINAL, key
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.status import JobStatus

_SEEDS = ("seed", "upscale.seed")


def same_pixels(jobs: Iterable[JobStatus], store: ArtifactStore) -> Mapping[str, str]:
    """Return the jobs of which some picture has the same pixels as that of an earlier job with other seeds, and that job.

    Args:
        jobs: Jobs that are done. Those of one recipe are compared that differ in seeds alone, each picture with those of its role.
        store: Where their pictures are. One that cannot be read is like no other.
    """
    groups: dict[str, list[JobStatus]] = {}
    for job in jobs:
        if not any(name in job.row.assignments for name in _SEEDS):
            continue
        others = {name: value for name, value in job.row.assignments.items() if name not in _SEEDS}
        groups.setdefault(key([job.row.recipe, others]), []).append(job)
    found: dict[str, str] = {}
    for group in groups.values():
        first: dict[tuple[str, int, str], str] = {}
        for job in group if len(group) > 1 else ():
            pictures = [row for row in job.files if suffix_of(row.path) in PICTURES]
            # Jobs that differ in the second pass alone have one original.
            for row in [row for row in pictures if row.role != ORIGINAL] or pictures:
                if not (pixels := _pixels(store, row)):
                    continue
                other = first.setdefault((row.role, row.number, pixels), job.row.job_id)
                if other != job.row.job_id:
                    found.setdefault(job.row.job_id, other)
    return found


def _pixels(store: ArtifactStore, row: FileRow) -> str:
    try:
        return read_pixels(Artifact(store, row.path)).sha256
    except VerificationError:
        return ""
