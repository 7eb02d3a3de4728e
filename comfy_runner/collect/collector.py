"""From a server's verdict to verified files in their places and a sidecar beside them.

Outputs are spooled on this disk, verified (`download`), and only then put to their keys, so that a picture is whole or not there.
The sidecar goes last, and makes the job done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from comfy_runner._version import __version__
from comfy_runner.clock import now
from comfy_runner.collect.download import Downloader, SpooledFile
from comfy_runner.engine.interface import FileSource, JobToCollect
from comfy_runner.engine.reports import Collected
from comfy_runner.engine.submission import STREAMED, Submission, SubmittedJob
from comfy_runner.engine.verdict import Outcome, ServerFile, Verdict
from comfy_runner.errors import ComfyRunnerError, JobFailed, JobLost, ServerError
from comfy_runner.graph.sizes import node_work
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.sidecar import FileRecord, Sidecar


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that a server has ended.

    Attributes:
        job: The job, as it was posted.
        prompt_id: Its submission.
        verdict: What the server says of it.
        reusable: Files of earlier runs that are still good, by output role.
        posted_with: The other jobs of the same submission.
        recovered: Whether the server has forgotten the prompt, and its files were found by their names. One that is not whole may
            then have been cut short by what made it forget, and is not kept.
    """

    job: SubmittedJob
    prompt_id: str
    verdict: Verdict
    reusable: Mapping[str, tuple[FileRecord, ...]]
    posted_with: tuple[str, ...] = ()
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class CollectedFiles:
    """What became of a job's files.

    Attributes:
        files: All that are in place now, by output role.
        errors: Why others are not, or are not as planned.
    """

    files: Mapping[str, tuple[FileRecord, ...]]
    errors: tuple[ComfyRunnerError, ...]


def collect_job(
    source: FileSource,
    files: JobFiles,
    submission: Submission,
    verdict: Verdict | None,
    job: JobToCollect,
    *,
    prompt_id: str,
    server: Mapping[str, str],
) -> Collected:
    """Bring the files of one job of an ended submission into the store.

    Args:
        source: Has the files.
        files: Where they go, and what the job has already.
        submission: The submission.
        verdict: What the engine said of it; None where it has forgotten it, and files are looked for by their names.
        job: Which of its jobs.
        prompt_id: What the engine calls the submission.
        server: URL and versions of the engine, for the sidecar.
    """
    number = submission.job_ids.index(job.job_id)
    posted = submission.jobs[number]
    others = tuple(job_id for job_id in submission.job_ids if job_id != job.job_id)
    if verdict is None:
        return _recovered(source, files, submission, posted, job, prompt_id=prompt_id, server=server, others=others)
    verdict = submission.verdict_on(number, verdict)
    ended = EndedJob(posted, prompt_id, verdict, job.reusable, others)
    count = len(submission.jobs)
    done = Collected(
        submission.prompt_id,
        job.job_id,
        verdict,
        job.reusable,
        (),
        job.error,
        seconds=None if verdict.seconds is None else verdict.seconds / count,
        work=sum(work for node, work in node_work(posted.workflow).items() if node not in verdict.cached) / count,
    )
    try:
        found = collect(source, files, ended, server=server, reason=str(job.error or ""))
    except ComfyRunnerError as unwritable:
        return replace(done, error=unwritable)
    return replace(done, files=found.files, errors=found.errors)


def _recovered(
    source: FileSource,
    files: JobFiles,
    submission: Submission,
    posted: SubmittedJob,
    job: JobToCollect,
    *,
    prompt_id: str,
    server: Mapping[str, str],
    others: tuple[str, ...],
) -> Collected:
    """Collect what an engine still has of a job although it has forgotten its submission."""
    done = Collected(submission.prompt_id, job.job_id, None, job.reusable, (), job.error)
    wanted = {node_id for role, node_id in posted.workflow.outputs.items() if role not in job.reusable}
    prefixes = {node_id: prefix for node_id, prefix in posted.prefixes.items() if node_id in wanted}
    try:
        found_files = source.retrying(lambda: source.find_files(prefixes))
    except ServerError as silent:
        # One that answers, and does not tell which files it has, is no help: the job is lost.
        return replace(done, error=silent) if silent.is_transient else done
    error = None if wanted <= found_files.keys() else job.error
    ended = EndedJob(
        posted, prompt_id, Verdict(Outcome.SUCCEEDED, found_files, (), None, None), job.reusable, others, recovered=True
    )
    try:
        found = collect(source, files, ended, server=server, reason=str(error or ""))
    except ComfyRunnerError as unwritable:
        return replace(done, error=unwritable)
    # A file that was cut short is as good as none: the job is lost after all.
    return replace(done, files=found.files, errors=found.errors, error=job.error if found.errors else error)


def collect(source: FileSource, files: JobFiles, ended: EndedJob, *, server: Mapping[str, str], reason: str) -> CollectedFiles:
    """Download, verify and store a job's files, and write its sidecar.

    Args:
        source: Has the files, and waits where the engine does not answer.
        files: Where they go, and what the job has already.
        ended: The job.
        server: URL and versions, for the sidecar.
        reason: Why the server did not ended the job; empty where it did.

    Raises:
        RunFolderError: The store cannot be written. Nothing that was in place is lost.
    """
    downloads: dict[str, list[SpooledFile]] = {}
    wrong: dict[str, list[ComfyRunnerError]] = {}
    workflow = ended.job.workflow
    wanted = {role: node_id for role, node_id in workflow.outputs.items() if role not in ended.reusable}
    downloader = Downloader(source, files.store, ended.job)
    try:
        for role, node_id in wanted.items():
            verdict = ended.verdict
            given = (verdict.files.get(node_id, ()), verdict.pictures.get(node_id, ()), verdict.texts.get(node_id, ()))
            outputs: list[ServerFile | bytes | str] = [output for several in given for output in several]
            for number, output in enumerate(outputs):
                got, error = downloader.fetch(role, node_id, output, number)
                if got is not None and error is not None and ended.recovered:
                    got.spooled.unlink()
                    got = None
                if got is not None:
                    downloads.setdefault(role, []).append(got)
                if error is not None:
                    wrong.setdefault(role, []).append(error)
        if downloads:
            _put(files, ended, downloads)
    finally:
        for download in (download for found in downloads.values() for download in found):
            download.spooled.unlink(missing_ok=True)
    collected = dict(ended.reusable)
    for role, found in downloads.items():
        # One bad picture spoils its role: what a role consists of is made together.
        problem = str(wrong[role][0]) if role in wrong else ""
        collected[role] = tuple(replace(item.record, problem=problem) for item in found)
    errors = [error for problems in wrong.values() for error in problems]
    missing = [role for role in ended.job.outputs if role not in collected and role not in wrong]
    streamed = {role for role, node_id in wanted.items() if workflow.nodes[node_id].class_type == STREAMED}
    if lost := [role for role in missing if role in streamed and not reason]:
        # Nobody has them any more, so that the job is to be done again.
        hint = "the connection broke, or is not wanted (--no-websocket): save with SaveImage where that happens often"
        errors.append(JobLost(f"nothing, or not all, came over the websocket for {', '.join(lost)}", where=source.url, hint=hint))
    missing = [role for role in missing if role not in streamed]
    if missing and not reason:
        hint = "run the same command again; if it stays so, look at the server's log"
        errors.append(JobFailed(f"the server saved nothing for {', '.join(missing)}", where=source.url, hint=hint))
    if collected:
        complete = not reason and not errors
        why = reason or "; ".join(str(error) for error in errors)
        notes = tuple(note for found in downloads.values() for item in found for note in item.notes)
        state = "done" if complete else "partial"
        files.write_sidecar(_sidecar(ended, collected, server=server, state=state, reason=why, notes=notes))
    return CollectedFiles(collected, tuple(errors))


def _put(files: JobFiles, ended: EndedJob, downloads: Mapping[str, list[SpooledFile]]) -> None:
    kept = {record.path for records in ended.reusable.values() for record in records}
    new = [download for found in downloads.values() for download in found]
    # A process that was killed between putting a picture and recording it has left the very same one there.
    kept |= {download.record.path for download in new if files.has(download.record)}
    files.archive(ended.job.job_id, [item.record.path for item in new if item.record.path not in kept], keep=kept)
    for download in new:
        files.store.put(download.spooled, download.record.path, sha256=download.record.sha256)


def _sidecar(
    ended: EndedJob,
    files: Mapping[str, tuple[FileRecord, ...]],
    *,
    server: Mapping[str, str],
    state: str,
    reason: str,
    notes: tuple[str, ...],
) -> Sidecar:
    job = ended.job
    return Sidecar(
        job_id=job.job_id,
        content_hash=job.content_hash,
        state=state,
        reason=reason,
        files=files,
        recipe=job.recipe,
        workflow=job.workflow.to_api(),
        template=job.template,
        server=dict(server),
        prompt_id=ended.prompt_id,
        cached_nodes=ended.verdict.cached,
        seconds=ended.verdict.seconds,
        finished=now(),
        comfy_runner=__version__,
        notes=(*job.notes, *notes),
        recipe_name=job.recipe_name,
        assignments=job.assignments,
        attempts=tuple(attempt.to_json() for attempt in job.attempts),
        posted_with=ended.posted_with,
        recovered=ended.recovered,
        inputs=tuple(file.to_json() for file in job.inputs),
    )
