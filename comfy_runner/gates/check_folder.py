"""A run folder, checked against what is expected of its jobs: what is there is read, measured as far as it is needed, and judged.

Nothing is rendered, and no server is asked. It works beside a live run, whose jobs that have not ended are told so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from comfy_runner.baseline.compare_run import JobComparison, LeastSimilarity, RunComparison, compare_run
from comfy_runner.baseline.folder import Baseline
from comfy_runner.check.expected import Expected, expected_in
from comfy_runner.check.findings import FileFacts, JobFacts, job_findings, pass_findings
from comfy_runner.check.interface import Finding, installed_checks
from comfy_runner.check.results import CheckedJob, CheckedRun, Comparison, Outcome
from comfy_runner.config import Config
from comfy_runner.errors import JobFailed, RunFolderError, ServerError, VerificationError, WorkflowError
from comfy_runner.expect import Expect
from comfy_runner.gates.measured import MeasuredRun, measure
from comfy_runner.gates.passes import count_passes
from comfy_runner.gates.same_pixels import same_pixels
from comfy_runner.recipe.sweep.ids import select
from comfy_runner.report.run_data import read_material, sidecar_of
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.remote import RemoteStore
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.sidecar import FileRecord, Sidecar
from comfy_runner.store.status import JobStatus, status

_NOT_PLANNED = "is not in this run folder"
_PROBLEMS = {"pending": "was not begun", "submitted": "is on its server", "cancelled": "was taken back"}


def check_folder(
    folder: Path,
    expected: Mapping[str, Expected] | None,
    *,
    config: Config,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    reasons: Mapping[str, str] = MappingProxyType({}),
    baseline: Baseline | None = None,
    write_missing: bool = False,
    store: ArtifactStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckedRun:
    """Return what becomes of checking a run folder against what is expected of its jobs.

    Args:
        folder: The run folder.
        expected: What is expected of each job, in order: those that are looked at. None for all jobs of the folder, and what their
            sidecars say.
        config: Settings, whose expectations lie beneath those of sidecars; those of `expected` have them already.
        only: Patterns of ids: only jobs that match one of them; empty for all.
        skip: Patterns of ids: no jobs that match one of them.
        reasons: Why jobs could not be done, by their ids, where the ledger does not say.
        baseline: The baseline that pictures are compared with; None for none.
        write_missing: Whether pictures that it lacks are added to it; otherwise they count as failed.
        store: Where its pictures and sidecars are; None for the folder itself.
        progress: Told how many of how many pairs of pictures have been measured.

    Raises:
        UsageError: A pattern matches no job, or an announced metric or check cannot be used.
        RunFolderError: It is not a run folder, cannot be read, or a sidecar in it makes no sense; or what differs from the baseline
            cannot be written.
    """
    view = FolderView(folder, store)
    known = {job.row.job_id: job for job in status(folder).jobs if not job.row.removed}
    if isinstance(view.store, RemoteStore) and store is None:
        view.store.keep_listing()  # what is judged is the run as it is now
    if expected is None:
        chosen = select(list(known), only=only, skip=skip) if only or skip else known
        expected = {job_id: _by_sidecar(known[job_id], view, config) for job_id in chosen}
    elif only or skip:
        expected = {job_id: expected[job_id] for job_id in select(list(expected), only=only, skip=skip)}
    done = [job for job_id in expected if (job := known.get(job_id)) is not None and job.row.state == "done"]
    limits = [expected[job.row.job_id].expect for job in done]
    checks = installed_checks()
    is_measured = checks or any(limit.metrics or limit.vetoes for limit in limits)
    measured = measure(read_material(folder, view.store), checks, progress=progress) if is_measured else MeasuredRun()
    distinct = [job for job, limit in zip(done, limits, strict=True) if limit.distinct]
    same = same_pixels(distinct, view.store)
    compared = RunComparison()
    if baseline is not None:
        least = {job.row.job_id: _least_similarity(expected[job.row.job_id]) for job in done}
        ids = {*known, *expected}
        compared = compare_run(baseline, done, view, limits=least, known=ids, write_missing=write_missing, progress=progress)
    jobs = []
    for job_id, each in expected.items():
        job = known.get(job_id)
        if job is None or job.row.state != "done":
            jobs.append(_not_done(each, job, view, reasons.get(job_id, "")))
            continue
        facts = JobFacts(
            files=tuple(_file_facts(job, each.expect, view)),
            measured=measured.facts.get(job_id, ()),
            seconds=0.0 if job.row.shares else job.row.seconds,
            same_as=same.get(job_id, ""),
        )
        pictures = compared.jobs.get(job_id, JobComparison())
        jobs.append(_judged(each, job, facts, (*measured.findings.get(job_id, ()), *pictures.findings), pictures.comparisons))
    return CheckedRun(
        folder=folder,
        jobs=tuple(jobs),
        findings=tuple(_pass_findings(expected, done, view)),
        baseline=baseline.folder if baseline else None,
        orphans=compared.orphans,
        notes=(*measured.notes, *compared.notes, *_notes(expected, known, baseline), *_from_cache(done if baseline else (), view)),
        finished=max((job.row.finished or "" for job in known.values()), default=""),
    )


def _by_sidecar(job: JobStatus, view: FolderView, config: Config) -> Expected:
    """Return what a job's sidecar says that is expected of it; of a job without one, nothing but its name is known."""
    key = view.sidecar_key(job.row.job_id)
    problem = f"{key} is gone"
    try:
        if (sidecar := view.sidecar(job.row.job_id)) is not None:
            found = expected_in(sidecar, config, where=str(Artifact(view.store, key)))
            return replace(found, job_id=job.row.job_id, recipe=job.row.recipe)
    except RunFolderError as error:
        problem = f"{key}: {error.problems[0].what}"
    return Expected(job.row.job_id, job.row.recipe, Expect(), lambda name: name, problem=problem)


def _not_done(expected: Expected, job: JobStatus | None, view: FolderView, reason: str) -> CheckedJob:
    """Return a job that could not be done, or was not begun."""
    state = "pending" if job is None else job.row.state
    problem = _NOT_PLANNED if job is None else job.row.error or reason or _PROBLEMS.get(state, state)
    is_skipped = state == "cancelled" or (state == "pending" and (job is None or not job.row.error))
    code = ServerError.exit_code if state in ("pending", "submitted") and not is_skipped else JobFailed.exit_code
    sidecar = sidecar_of(view, expected.job_id) if state in ("partial", "failed") else None
    if sidecar is not None and any(record.problem for records in sidecar.files.values() for record in records):
        code = VerificationError.exit_code
    return CheckedJob(
        job_id=expected.job_id,
        recipe=expected.recipe,
        file=expected.file,
        line=expected.line,
        outcome=Outcome.SKIPPED if is_skipped else Outcome.ERROR,
        # Whoever tells it has named the job.
        problem=problem.removeprefix(f"{expected.job_id}: ").removeprefix(f"{expected.job_id}/"),
        finished="" if job is None else job.row.finished or "",
        exit_code=code,
    )


def _least_similarity(expected: Expected) -> LeastSimilarity:
    limit = expected.expect.similarity
    return LeastSimilarity() if limit is None else LeastSimilarity(limit.min, expected.place("similarity.min"))


def _judged(
    expected: Expected,
    job: JobStatus,
    facts: JobFacts,
    findings: Sequence[Finding],
    comparisons: tuple[Comparison, ...] = (),
) -> CheckedJob:
    found = (*job_findings(expected, facts), *findings)
    is_fine = all(each.passed for each in found)
    several = len({one.role for one in facts.measured}) > 1
    metrics = {
        ".".join([*([one.role] if several else []), *([str(one.number)] if one.number > 1 else []), name]): value
        for one in facts.measured
        for name, value in one.metrics.items()
    }
    if similarities := [each.similarity for each in comparisons if each.similarity is not None]:
        metrics["similarity"] = min(similarities)
    return CheckedJob(
        job_id=expected.job_id,
        recipe=expected.recipe,
        file=expected.file,
        line=expected.line,
        outcome=Outcome.PASSED if is_fine else Outcome.FAILED,
        findings=found,
        comparisons=comparisons,
        metrics=metrics if facts.seconds is None else {**metrics, "seconds": facts.seconds},
        seconds=job.row.seconds,
        finished=job.row.finished or "",
        exit_code=0 if is_fine else VerificationError.exit_code,
    )


def _file_facts(job: JobStatus, expect: Expect, view: FolderView) -> Iterator[FileFacts]:
    records: dict[str, FileRecord] = {}
    if (expect.width or expect.height) and (sidecar := sidecar_of(view, job.row.job_id)) is not None:
        records = {record.path: record for found in sidecar.files.values() for record in found}
    for row in job.files:
        record = records.get(row.path)
        width, height = (None, None) if record is None else (record.width, record.height)
        yield FileFacts(role=row.role, size_bytes=row.size_bytes, width=width, height=height, problem=_damage(row, view))


def _damage(row: FileRow, view: FolderView) -> str:
    if view.store.stat(row.path) is None:
        return f"{row.path} is gone"
    return "" if view.is_untouched(row) else f"{row.path} has changed since it was collected"


def _pass_findings(expected: Mapping[str, Expected], done: Sequence[JobStatus], view: FolderView) -> Iterator[Finding]:
    """Yield what is found of the passes of each recipe that limits them, all its jobs together."""
    limited = {each.recipe: each for each in expected.values() if each.expect.passes is not None}
    finished = {job.row.job_id for job in done}
    unfinished = {each.recipe for job_id, each in expected.items() if job_id not in finished}
    for recipe, each in limited.items():
        passes, missing = Counter[str](), ""
        try:
            passes = count_passes(_required(view, job.row.job_id) for job in done if job.row.recipe == recipe)
        except (RunFolderError, WorkflowError) as error:
            missing = str(error.problems[0])
        yield from pass_findings(each, passes, is_whole=recipe not in unfinished, missing=missing)


def _required(view: FolderView, job_id: str) -> Sidecar:
    sidecar = view.sidecar(job_id)
    if sidecar is None:
        raise RunFolderError("has no sidecar", where=job_id)
    return sidecar


def _notes(expected: Mapping[str, Expected], known: Mapping[str, JobStatus], baseline: Baseline | None) -> Iterator[str]:
    if expected and known.keys().isdisjoint(expected):
        yield "none of these jobs is in this run folder: give the --sweep options and recipes with which it was rendered"
    if baseline is None and not any(each.expect.model_fields_set for each in expected.values()):
        yield "nothing is expected of these jobs except that they are done: set limits under expect in a recipe"
    if baseline is None and any(each.expect.similarity is not None for each in expected.values()):
        yield "similarity is expected, but there is no baseline to compare pictures with: name one with --baseline"


def _from_cache(done: Sequence[JobStatus], view: FolderView) -> Iterator[str]:
    """Yield a note where servers ran nothing for jobs that are compared: what has changed beneath them would not show."""
    try:
        sidecars = [_required(view, job.row.job_id) for job in done]
        if any(sidecar.cached_nodes for sidecar in sidecars) and not count_passes(sidecars):
            yield (
                "all of these pictures came from the server's cache, so a model file that was replaced under its name would "
                "go unnoticed: restart the server, or start it with --cache-none, and render them again"
            )
    except (RunFolderError, WorkflowError):
        return  # which is told of the job
