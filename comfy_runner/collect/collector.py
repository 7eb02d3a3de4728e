"""From a server's verdict to verified files in their places and a sidecar beside them.

Outputs are spooled on this disk, verified (`download`), and only then put to their keys, so that a picture is whole or not there.
The sidecar goes last, and makes the job done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from comfy_runner._version import __version__
from comfy_runner.collect.download import Downloader, FetchedFile
from comfy_runner.engine.interface import FileSource, JobToCollect
from comfy_runner.engine.reports import Collected
from comfy_runner.engine.submission import STREAMED, Submission, SubmittedJob
from comfy_runner.engine.verdict import Conclusion, ServerFile, Verdict
from comfy_runner.errors import ComfyRunnerError, JobFailed, JobLost, RunFolderError, ServerError, ServerRefused, Unreachable
from comfy_runner.graph.sizes import node_work, output_counts
from comfy_runner.store.interface import Artifact
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.local import folder_errors
from comfy_runner.store.sidecar import FileRecord, Sidecar
from comfy_runner.wording import counted, now

_AGAIN = "run the same command again; if this persists, check the server's log"
_BROKEN_STREAM = "the connection broke, or is switched off (--no-websocket): save with SaveImage if this happens often"


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
    """Bring the files of one job of an ended submission into the store: download and verify them, and write its sidecar.

    Nothing that was in place is lost where the store cannot be written.

    Args:
        source: Has the files, and waits where the engine does not answer.
        files: Where they go, and what the job has already.
        submission: The submission.
        verdict: What the engine said of it; None where it has forgotten it, and files are looked for by their names. One that is
            not whole may then have been cut short by what made it forget, and is not kept.
        job: Which of its jobs.
        prompt_id: What the engine calls the submission.
        server: URL and versions of the engine, for the sidecar.
    """
    number, is_recovered = submission.job_ids.index(job.job_id), verdict is None
    posted, error = submission.jobs[number], job.error
    wanted = {role: node_id for role, node_id in posted.workflow.collected.items() if role not in job.reusable}
    done = Collected(submission.prompt_id, job.job_id, None, job.reusable, (), error)
    if verdict is None and not wanted and _is_done(files, posted):
        return replace(done, error=None)
    if verdict is None:
        prefixes = {node_id: prefix for node_id, prefix in posted.prefixes.items() if node_id in wanted.values()}
        try:
            found = source.retrying(lambda: source.find_files(prefixes))
        except ServerError as silent:
            # One that answers, and does not tell which files it has, is no help: the job is lost.
            return replace(done, error=silent) if silent.leaves_open else done
        verdict = Verdict(Conclusion.SUCCEEDED, found, (), None, None)
        # Of one that reports no file nobody knows whether it has run.
        counts = output_counts(posted.workflow)
        is_whole = all(
            role in job.reusable or len(found.get(node_id, ())) >= counts.get(role, 1)
            for role, node_id in posted.workflow.outputs.items()
        )
        error = None if is_whole else error
    else:
        verdict, count = submission.verdict_on(number, verdict), len(submission.jobs)
        seconds = None if verdict.seconds is None else verdict.seconds / count
        work = sum(work for node, work in node_work(posted.workflow).items() if node not in verdict.cached) / count
        done = replace(done, verdict=verdict, seconds=seconds, work=work)
    is_alone = len(submission.jobs) == 1
    fetched, wrong = _fetched(Downloader(source, files, posted, is_recovered=is_recovered, is_alone=is_alone), wanted, verdict)
    wrong |= {role: [error] for role, error in _too_few(posted, fetched, source.url).items() if role not in wrong}
    try:
        collected = {**job.reusable, **{role: _records(found, wrong.get(role)) for role, found in fetched.items()}}
        errors = [each for several in wrong.values() for each in several]
        lacking = [role for role in posted.outputs if role not in collected and role not in wrong]
        bare = {role: verdict.files[node_id] for role, node_id in wanted.items() if role in lacking and node_id in verdict.files}
        untold = {} if is_recovered or error else _silent(posted, lacking, bare)
        if error is None and not any(isinstance(each, Unreachable) for each in errors):
            errors += _missing(posted, [role for role in lacking if role not in untold], bare, source.url)
        if collected or not (error or errors):
            new = [file for found in fetched.values() for file in found]
            sidecar = Sidecar(
                job_id=posted.job_id,
                content_hash=posted.content_hash,
                state="partial" if error or errors else "done",
                reason=str(error or "; ".join(map(str, errors))),
                files=collected,
                recipe=posted.recipe,
                workflow=posted.workflow.to_api(),
                template=posted.template,
                server=dict(server),
                prompt_id=prompt_id,
                cached_nodes=verdict.cached,
                seconds=verdict.seconds,
                finished=now(),
                comfy_runner=__version__,
                notes=(*posted.notes, *(note for file in new for note in file.notes), *untold.values()),
                recipe_name=posted.recipe_name,
                assignments=posted.assignments,
                attempts=tuple(attempt.to_json() for attempt in posted.attempts),
                posted_with=tuple(job_id for job_id in submission.job_ids if job_id != posted.job_id),
                recovered=is_recovered,
                inputs=tuple(file.to_json() for file in posted.inputs),
                filled_from=posted.filled_from,
            )
            _put(files, sidecar, new, reusable=job.reusable)
    except ComfyRunnerError as unwritable:
        return replace(done, error=unwritable)
    finally:
        for file in (file for found in fetched.values() for file in found):
            file.discard()
    # A file that was cut short is as good as none: the job is lost after all.
    return replace(done, files=collected, errors=tuple(errors), error=job.error if is_recovered and errors else error)


def _is_done(files: JobFiles, posted: SubmittedJob) -> bool:
    """Return whether a job's sidecar says already that it is done; its writer came to no more than that."""
    sidecar = None
    with contextlib.suppress(RunFolderError):  # which is told by whoever writes there
        sidecar = files.sidecar(posted.job_id)
    return sidecar is not None and sidecar.state == "done" and sidecar.content_hash == posted.content_hash


def _fetched(
    downloader: Downloader, wanted: Mapping[str, str], verdict: Verdict
) -> tuple[dict[str, list[FetchedFile]], dict[str, list[ComfyRunnerError]]]:
    """Return by role what could be had of the outputs of these nodes, and what is wrong with it or could not be had."""
    found: dict[str, list[FetchedFile]] = {}
    wrong: dict[str, list[ComfyRunnerError]] = {}
    for role, node_id in wanted.items():
        given = (verdict.files.get(node_id, ()), verdict.pictures.get(node_id, ()), verdict.texts.get(node_id, ()))
        outputs: list[ServerFile | bytes | str] = [output for several in given for output in several]
        number = 0
        for output in outputs:
            try:
                # Somebody may take a spooled file away before it is verified.
                with folder_errors(Artifact(downloader.files.store, downloader.job.outputs[role])):
                    file = downloader.fetch(role, node_id, output, number)
            except ComfyRunnerError as error:
                is_bare = isinstance(output, ServerFile) and not output.kind
                if is_bare and isinstance(error, ServerRefused) and error.is_missing:
                    continue  # a bare name alone promises no file
                number += 1
                wrong.setdefault(role, []).append(_naming_file(error, downloader.job.outputs[role]))
                if isinstance(error, Unreachable):
                    return found, wrong  # it was waited for, and the others would be in vain
                continue
            number += 1
            if file.error is not None:
                wrong.setdefault(role, []).append(file.error)
            if file.error is None or not downloader.is_recovered:
                found.setdefault(role, []).append(file)
            else:
                file.discard()
    return found, wrong


def _too_few(posted: SubmittedJob, fetched: Mapping[str, Sequence[FetchedFile]], url: str) -> dict[str, ComfyRunnerError]:
    """Return what is to be said of roles that have fewer pictures than their batch; those without any are told of by `_missing`."""
    found: dict[str, ComfyRunnerError] = {}
    for role, count in output_counts(posted.workflow).items():
        if 0 < (number := len(fetched.get(role, ()))) < count:
            what = f"gave {number} of {counted(count, 'picture')} for {role}"
            is_streamed = posted.workflow.nodes[posted.workflow.outputs[role]].class_type == STREAMED
            found[role] = JobLost(what, where=url, hint=_BROKEN_STREAM) if is_streamed else JobFailed(what, where=url, hint=_AGAIN)
    return found


def _naming_file(error: ComfyRunnerError, path: str) -> ComfyRunnerError:
    """Return an error that says which of our files could not be had: the address of a server tells nobody."""
    if not isinstance(error, ServerError) or path in str(error):
        return error
    return error.at(lambda where: f"{where} for {path}")


def _records(files: Iterable[FetchedFile], wrong: Sequence[ComfyRunnerError] | None) -> tuple[FileRecord, ...]:
    """Return the records of a role's files. One bad picture spoils its role: what a role consists of is made together."""
    problem = str(wrong[0]) if wrong else ""
    return tuple(replace(file.record, problem=problem) for file in files)


def _silent(posted: SubmittedJob, roles: Iterable[str], bare: Mapping[str, Iterable[ServerFile]]) -> dict[str, str]:
    """Return a note for each of these roles whose node may tell of no file: what it has saved is not known, and stays there.

    Args:
        posted: The job.
        roles: The roles.
        bare: By role the files that its node tells of by bare names, and that the server does not give.
    """
    nodes = {role: posted.workflow.nodes[posted.workflow.outputs[role]] for role in roles if role in posted.workflow.outputs}
    told = {
        role: f"reports {_names(bare[role])}, which the server does not have" if role in bare else "reports no file"
        for role in nodes
    }
    what = "its files stay on the server"
    return {role: f'node "{role}" ({node.class_type}) {told[role]}: {what}' for role, node in nodes.items() if node.may_be_silent}


def _names(files: Iterable[ServerFile]) -> str:
    return ", ".join(f"{file.subfolder}/{file.filename}".lstrip("/") for file in files)


def _missing(
    posted: SubmittedJob, roles: Sequence[str], bare: Mapping[str, Iterable[ServerFile]], url: str
) -> list[ComfyRunnerError]:
    """Return what is to be said of roles for which the server gave nothing although it finished the job; see `_silent`."""
    nodes, outputs = posted.workflow.nodes, posted.workflow.outputs
    streamed = [role for role in roles if role in outputs and nodes[outputs[role]].class_type == STREAMED]
    unsaved = [role for role in roles if role not in streamed]
    errors: list[ComfyRunnerError] = []
    if streamed:
        # Nobody has them any more, so that the job is to be done again.
        what = f"the websocket delivered nothing, or not everything, for {', '.join(streamed)}"
        errors.append(JobLost(what, where=url, hint=_BROKEN_STREAM))
    if unsaved:
        hint = _AGAIN
        named = [role for role in unsaved if role in outputs and nodes[outputs[role]].role]
        if named:
            hint += f'; for a node that reports no file, its template says "role": {{"name": "{named[0]}", "reports": "nothing"}}'
        told = "".join(
            f" (its node reports {_names(bare[role])}, which the server does not have)" for role in unsaved if role in bare
        )
        errors.append(JobFailed(f"the server saved nothing for {', '.join(unsaved)}{told}", where=url, hint=hint))
    return errors


def _put(files: JobFiles, sidecar: Sidecar, new: Sequence[FetchedFile], *, reusable: Mapping[str, Iterable[FileRecord]]) -> None:
    kept = {record.path for records in reusable.values() for record in records}
    # A process that was killed between putting a picture and recording it has left the very same one there.
    kept |= {file.record.path for file in new if files.has(file.record)}
    if new or not sidecar.files:
        files.archive(sidecar.job_id, [file.record.path for file in new if file.record.path not in kept], keep=kept)
    files.put(sidecar, [file.spooled for file in new])
