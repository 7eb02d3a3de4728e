"""What can be told before anything is rendered: limits that no finished job could be held against, pictures without a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from comfy_runner.baseline.folder import Baseline
from comfy_runner.check.expected import Expected
from comfy_runner.errors import Note
from comfy_runner.gates.measured import NOT_INSTALLED
from comfy_runner.planning.draft import Draft
from comfy_runner.report.measure_run import can_measure
from comfy_runner.report.run_data import ORIGINAL
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named


def unmeasurable(drafts: Iterable[Draft], expected: Mapping[str, Expected]) -> Iterator[Note]:
    """Yield a warning for limits of metrics that cannot be measured here, or of what a job's template makes; each once.

    Args:
        drafts: The jobs.
        expected: What is expected of each, by its id.
    """
    is_possible, seen, told = can_measure(), set[tuple[int, int]](), set[Note]()
    for draft in drafts:
        each = expected[draft.job_id]
        # The jobs of a sweep share both.
        key = id(each.expect), id(draft.filled.shape)
        if key in seen:
            continue
        seen.add(key)
        names = [*each.expect.metrics, *(["vetoes"] if each.expect.vetoes else [])]
        roles = list(draft.filled.shape.outputs)
        if not names or (is_possible and ORIGINAL in roles and len(roles) > 1):
            continue
        why = f"needs an {ORIGINAL} and another picture, but the template gives {named(roles)}" if is_possible else NOT_INSTALLED
        place, field = each.place(names[0]), f"expect.{names[0]}"
        where = place if field in place else f"{place}: {field}"
        note = Note(f"cannot be measured, so a check will fail: {why}", where)
        if note not in told:
            told.add(note)
            yield note


def without_baseline(job_ids: Sequence[str], baseline: Baseline, *, write_missing: bool) -> Iterator[Note]:
    """Yield a note on the jobs of which a baseline has no picture, and what becomes of them; nothing where it has all.

    Args:
        job_ids: The jobs.
        baseline: The baseline.
        write_missing: Whether their pictures would be added to it; otherwise they would count as failed.
    """
    if missing := [job_id for job_id in job_ids if job_id not in baseline.jobs]:
        them = "all jobs" if len(missing) == len(job_ids) else counted(len(missing), "job")
        what = "a run adds their pictures" if write_missing else "a check of their pictures will fail"
        yield Note(f"has nothing of {them} ({named(missing)}): {what}", shown(baseline.folder))
