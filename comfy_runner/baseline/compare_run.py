"""The pictures of a run compared with a baseline: what is the same, similar or different, what is missing on either side.

Pictures that differ are put beside what was expected in the run folder (`report.triples`), and told to the report by a file there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from comfy_runner.baseline.changed_jobs import changed_fields, environment_notes
from comfy_runner.baseline.folder import Baseline, BaselinePicture
from comfy_runner.baseline.update import add_missing, pictures_of
from comfy_runner.check.interface import Finding
from comfy_runner.check.results import Comparison, Likeness
from comfy_runner.errors import VerificationError
from comfy_runner.report.compare import LEAST_SIMILARITY, Compared, compare_pictures
from comfy_runner.report.pixels import DecodedPicture, read_pixels, read_remains
from comfy_runner.report.run_data import sidecar_of
from comfy_runner.report.triples import Triple, remove_triples, write_triple
from comfy_runner.store.environment import EnvironmentChange, changes, environment_of
from comfy_runner.store.interface import Artifact
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.status import JobStatus
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named

CHECK = "baseline"
"""The name of the check."""

_MOST_AT_ONCE = 4  # pictures that are compared, which takes many times their size
_MOST_TRIPLES = 200


@dataclass(frozen=True, slots=True)
class LeastSimilarity:
    """How similar a job's pictures have to be to those of the baseline.

    Attributes:
        least: 0 to 1.
        where: Where that is said, such as ``fox.yaml:12``; empty for the usual limit.
    """

    least: float = LEAST_SIMILARITY
    where: str = ""


@dataclass(frozen=True, slots=True)
class JobComparison:
    """A job's pictures beside those of the baseline.

    Attributes:
        comparisons: Each of them.
        findings: The same as findings of a check.
        changed: What the job is rendered by, and the baseline's was not.
        is_same_job: Whether it is the very job that the baseline has.
    """

    comparisons: tuple[Comparison, ...] = ()
    findings: tuple[Finding, ...] = ()
    changed: tuple[EnvironmentChange, ...] = ()
    is_same_job: bool = False

    @property
    def is_unexplained(self) -> bool:
        """Whether a picture of it is another one, and nothing that is known of is."""
        differs = any(each.likeness is Likeness.DIFFERENT and each.similarity is not None for each in self.comparisons)
        return differs and self.is_same_job and not self.changed


@dataclass(frozen=True, slots=True)
class RunComparison:
    """A run beside a baseline.

    Attributes:
        jobs: What was found of each job, by its id; of those that are done.
        orphans: The jobs of the baseline that the run does not have.
        notes: What the user should know.
    """

    jobs: Mapping[str, JobComparison] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def compare_run(
    baseline: Baseline,
    done: Sequence[JobStatus],
    view: FolderView,
    *,
    limits: Mapping[str, LeastSimilarity],
    known: Iterable[str],
    write_missing: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> RunComparison:
    """Hold the pictures of a run against a baseline, and write those that differ into the run folder, beside what was expected.

    Args:
        baseline: The baseline.
        done: The jobs to look at, all of which are done.
        view: The run folder.
        limits: How similar the pictures of each job have to be, by its id; without one, `LEAST_SIMILARITY`.
        known: The ids of all jobs that the run has.
        write_missing: Whether pictures that the baseline lacks are added to it; otherwise they count as failed.
        progress: Told how many of how many jobs have been compared.

    Raises:
        RunFolderError: The run folder, or that of the baseline, cannot be written.
        InputError: A file that is not the baseline's lies where it would have a picture.
    """
    found: dict[str, JobComparison] = {}
    pool = ThreadPoolExecutor(min(_MOST_AT_ONCE, os.cpu_count() or 1), thread_name_prefix="compare")
    try:
        compared = pool.map(lambda job: _compare(baseline, job, view, limits.get(job.row.job_id, LeastSimilarity())), done)
        for number, (job, one) in enumerate(zip(done, compared, strict=True), start=1):
            found[job.row.job_id] = one
            if progress is not None:
                progress(number, len(done))
    finally:
        pool.shutdown(cancel_futures=True)
    notes = [*environment_notes(one.changed for one in found.values())]
    if write_missing and (missing := {job_id: keys for job_id, one in found.items() if (keys := _missing(one))}):
        add_missing(baseline.folder, missing, view)
        found |= {job_id: _written(found[job_id]) for job_id in missing}
        count = sum(map(len, missing.values()))
        had = counted(count, "picture that had no baseline was", "pictures that had no baseline were")
        notes.append(f"{had} written to {shown(baseline.folder)}: {named(list(missing))}")
    elif not write_missing and not baseline.jobs:
        make = f"`comfy-runner baseline update {shown(view.path)} --to {shown(baseline.folder)}`"
        notes.append(f"{shown(baseline.folder)} has no pictures yet: {make} makes this run's pictures the baseline")
    _show(baseline, found, view)
    orphans = tuple(sorted(baseline.jobs.keys() - set(known)))
    return RunComparison(found, orphans, (*notes, *_notes(found, done)))


def _compare(baseline: Baseline, job: JobStatus, view: FolderView, limit: LeastSimilarity) -> JobComparison:
    """Return a job beside the baseline; of pictures that differ, nothing is written yet."""
    sidecar, job_id = sidecar_of(view, job.row.job_id), job.row.job_id
    if sidecar is None:
        return JobComparison(findings=(_finding(job_id, "", None, limit, "has no readable sidecar, so it cannot be compared"),))
    entry = baseline.jobs.get(job_id)
    why = changed_fields(entry, sidecar) if entry else ""
    comparisons, findings = [], []
    there = {(role, number): record.path for role, number, record in pictures_of(sidecar)}
    expected = {(each.role, each.number): each for each in (entry.pictures if entry else ())}
    for role, number in dict.fromkeys((*there, *expected)):
        path, wanted = there.get((role, number), ""), expected.get((role, number))
        if wanted is None:
            one = Compared(Likeness.MISSING, None, "is not in the baseline")
        elif not path:
            one = Compared(Likeness.DIFFERENT, None, "is missing, but the baseline has it")
        else:
            one = _compare_files(baseline, wanted, Artifact(view.store, path), limit)
        reason = f"{one.reason}; {why}" if one.likeness is Likeness.DIFFERENT and why else one.reason
        comparisons.append(
            Comparison(
                role=role,
                number=number,
                likeness=one.likeness,
                similarity=one.similarity,
                limit=limit.least,
                actual=path,
                message=reason,
            )
        )
        problem = f"picture {number} {reason}" if reason and number > 1 else reason
        findings.append(_finding(job_id, role, one.similarity, limit, problem))
    changed = changes(entry.environment, environment_of(sidecar)) if entry else ()
    return JobComparison(tuple(comparisons), tuple(findings), changed, is_same_job=entry is not None and not why)


def _compare_files(baseline: Baseline, picture: BaselinePicture, actual: Artifact, limit: LeastSimilarity) -> Compared:
    try:
        decoded = read_pixels(actual)
        if decoded.sha256 == picture.pixels:
            return Compared(Likeness.SAME, 1.0)
        wanted = replace(baseline.read(picture), sha256=picture.pixels, frames=picture.frames)
    except VerificationError as error:
        return Compared(Likeness.DIFFERENT, None, f"cannot be compared: {error.problems[0]}")
    return compare_pictures(wanted, decoded, limit=limit.least)


def _finding(job_id: str, role: str, similarity: float | None, limit: LeastSimilarity, problem: str) -> Finding:
    return Finding(
        check=CHECK,
        job_id=job_id,
        role=role,
        measured=similarity,
        limit=limit.least,
        passed=not problem,
        message=problem,
        where=limit.where,
    )


def _missing(one: JobComparison) -> set[tuple[str, int]]:
    return {(each.role, each.number) for each in one.comparisons if each.likeness is Likeness.MISSING}


def _written(one: JobComparison) -> JobComparison:
    """Return a job whose missing pictures the baseline has now."""
    comparisons, findings = list(one.comparisons), list(one.findings)
    for place, each in enumerate(one.comparisons):
        if each.likeness is Likeness.MISSING:
            comparisons[place] = replace(each, likeness=Likeness.WRITTEN, message="")
            findings[place] = replace(findings[place], passed=True, message="")
    return replace(one, comparisons=tuple(comparisons), findings=tuple(findings))


def _show(baseline: Baseline, found: dict[str, JobComparison], view: FolderView) -> None:
    """Write pictures that differ into the run folder beside what was expected; add where they lie."""
    remove_triples(view.path, (each.actual for one in found.values() for each in one.comparisons))
    left = _MOST_TRIPLES
    for job_id, one in found.items():
        comparisons = []
        for each in one.comparisons:
            triple = Triple()
            if each.likeness is Likeness.DIFFERENT and left > 0:
                triple, left = _triple(baseline, job_id, each, view), left - 1
            actual = triple.actual or each.actual
            comparisons.append(replace(each, actual=actual, expected=triple.expected, difference=triple.difference))
        found[job_id] = replace(one, comparisons=tuple(comparisons))


def _triple(baseline: Baseline, job_id: str, one: Comparison, view: FolderView) -> Triple:
    source = Artifact(view.store, one.actual) if one.actual else None
    actual = (_readable(lambda: read_pixels(source)) or read_remains(source)) if source else None
    entry = baseline.jobs.get(job_id)
    picture = entry.picture(one.role, one.number) if entry else None
    expected = _readable(lambda: baseline.read(picture)) if picture else None
    stem = picture.path.rpartition("/")[2].rpartition(".")[0] if picture else one.role
    return write_triple(view.path, f"{job_id}/{stem}", actual=actual, expected=expected)


def _readable(read: Callable[[], DecodedPicture]) -> DecodedPicture | None:
    try:
        return read()
    except VerificationError:
        return None  # which the finding has told


def _notes(found: Mapping[str, JobComparison], done: Sequence[JobStatus]) -> Iterator[str]:
    different = sum(each.likeness is Likeness.DIFFERENT for one in found.values() for each in one.comparisons)
    if different > _MOST_TRIPLES:
        yield f"only the first {_MOST_TRIPLES} pictures that differ are shown beside what was expected (of {different})"
    if unexplained := [job_id for job_id, one in found.items() if one.is_unexplained]:
        one = "job looks different, though nothing known about it has changed"
        them = counted(len(unexplained), one, "jobs look different, though nothing known about them has changed")
        may_be = "a model file may have been replaced under its name, or a node pack updated"
        yield f"{them} ({named(unexplained)}): {may_be}"
    others = {row.path for job in done for row in job.files if suffix_of(row.path) not in PICTURES}
    if others:
        them = counted(len(others), "file is not a picture", "files are not pictures")
        yield f"{them}, and not compared with the baseline: {named(sorted(others))}"
