"""From a server's verdict to verified files in their places and a sidecar beside them.

Downloads go to temporary files beside their targets, are verified, and only then renamed, so that a picture is whole or not there.
What the server calls a file is recorded and never used as a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from comfy_runner import __version__
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.comfyui.outage import Outage
from comfy_runner.comfyui.verdict import ServerFile, Verdict
from comfy_runner.errors import ComfyRunnerError, RunFolderError, ServerError, Unreachable, VerificationError
from comfy_runner.files import open_beside
from comfy_runner.folder.folder import RunFolder, folder_errors
from comfy_runner.folder.sidecar import FileRecord, Sidecar
from comfy_runner.folder.stamp import now
from comfy_runner.folder.view import REPORT
from comfy_runner.runs.parcel import Piece
from comfy_runner.runs.pictures import PICTURE_SUFFIXES, comes_from_a_model, verify_picture
from comfy_runner.workflow.pixels import Size

_ATTEMPTS = 3
_MIB = 1024 * 1024
_LONGEST_FILE = 4096 * _MIB  # where its size in pixels was not planned; it may be a video
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
_OURS = ("job.json", "run.json", *REPORT)


@dataclass(frozen=True, slots=True)
class Finish:
    """A job that a server has ended.

    Attributes:
        piece: The job, as it was posted.
        prompt_id: Its submission.
        verdict: What the server says of it.
        standing: Files of earlier runs that are still good, by output role.
        posted_with: The other jobs of the same submission.
        recovered: Whether the server has forgotten the prompt, and its files were found by their names. One that is not whole may
            then have been cut short by what made it forget, and is not kept.
    """

    piece: Piece
    prompt_id: str
    verdict: Verdict
    standing: Mapping[str, tuple[FileRecord, ...]]
    posted_with: tuple[str, ...] = ()
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of a job's files.

    Attributes:
        files: All that are in place now, by output role.
        errors: Why others are not, or are not as planned.
    """

    files: Mapping[str, tuple[FileRecord, ...]]
    errors: tuple[ComfyRunnerError, ...]


@dataclass(frozen=True, slots=True)
class _Download:
    temporary: Path
    record: FileRecord


def collect(
    http: ComfyHttp, folder: RunFolder, finish: Finish, *, server: Mapping[str, str], reason: str, outage: Outage
) -> Collected:
    """Download, verify and place a job's files, and write its sidecar.

    Args:
        http: The server that has them.
        folder: Where they go.
        finish: The job.
        server: URL and versions, for the sidecar.
        reason: Why the server did not finish the job; empty where it did.
        outage: Waits where the server does not answer.

    Raises:
        RunFolderError: The folder cannot be written. Nothing that was in place is lost.
    """
    downloads: dict[str, list[_Download]] = {}
    wrong: dict[str, list[ComfyRunnerError]] = {}
    try:
        wanted = {role: node_id for role, node_id in finish.piece.workflow.outputs.items() if role not in finish.standing}
        for role, node_id in wanted.items():
            for number, file in enumerate(finish.verdict.files.get(node_id, ())):
                got, error = _fetch(http, folder, finish, outage, role=role, node_id=node_id, file=file, number=number)
                if got is not None and error is not None and finish.recovered:
                    got.temporary.unlink()
                    got = None
                if got is not None:
                    downloads.setdefault(role, []).append(got)
                if error is not None:
                    wrong.setdefault(role, []).append(error)
        if downloads:
            _place(folder, finish, downloads)
    finally:
        for download in (download for found in downloads.values() for download in found):
            download.temporary.unlink(missing_ok=True)
    files = dict(finish.standing)
    for role, found in downloads.items():
        # One bad picture spoils its role: what a role consists of is made together.
        problem = str(wrong[role][0]) if role in wrong else ""
        files[role] = tuple(replace(item.record, problem=problem) for item in found)
    errors = [error for problems in wrong.values() for error in problems]
    missing = [role for role in finish.piece.outputs if role not in files and role not in wrong]
    if missing and not reason:
        hint = "run the same command again; if it stays so, look at the server's log"
        errors.append(VerificationError(f"the server saved nothing for {', '.join(missing)}", where=http.address.url, hint=hint))
    if files:
        complete = not reason and not errors
        why = reason or "; ".join(str(error) for error in errors)
        folder.write_sidecar(_sidecar(finish, files, server=server, state="done" if complete else "partial", reason=why))
    return Collected(files, tuple(errors))


def _fetch(
    http: ComfyHttp,
    folder: RunFolder,
    finish: Finish,
    outage: Outage,
    *,
    role: str,
    node_id: str,
    file: ServerFile,
    number: int,
) -> tuple[_Download | None, ComfyRunnerError | None]:
    """Return the verified file; or the file and what is wrong with it, for a picture that a GPU has made is kept; or the error."""
    path = _path(finish.piece.outputs[role], file, number)
    expected = finish.piece.sizes.get(role)
    may_be_flat = not comes_from_a_model(finish.piece.workflow, node_id)
    got: _Download | None = None
    problem: ComfyRunnerError | None = None
    for _attempt in range(_ATTEMPTS):
        if got is not None:
            got.temporary.unlink()
        got, problem = None, None
        try:
            got = _download(http, folder, path, file, most=_most_bytes(expected))
            if PurePosixPath(path).suffix in PICTURE_SUFFIXES:
                size = verify_picture(got.temporary, expected=expected, may_be_flat=may_be_flat)
                got = replace(got, record=replace(got.record, width=size.width, height=size.height))
            break
        except VerificationError as error:
            problem = type(error)(error.problems[0].what, where=path, hint=error.problems[0].hint)
        except (ServerError, RunFolderError) as error:
            problem = error
            # Otherwise nothing is gained by asking again; what else was collected is kept.
            if not isinstance(error, Unreachable) or not outage.is_over():
                break
    return got, problem


def _download(http: ComfyHttp, folder: RunFolder, path: str, file: ServerFile, *, most: int) -> _Download:
    target = folder.path / path
    digest, length = hashlib.sha256(), 0
    with folder_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        out, temporary = open_beside(target)
    try:
        # The server's errors are not `OSError`s. What the disk does not take may show as late as when the file is closed.
        with folder_errors(target), out, http.view(file.filename, subfolder=file.subfolder, kind=file.kind) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                length += len(chunk)
                if length > most:
                    what = f"is larger than what was planned can be, {most // _MIB} MiB"
                    raise VerificationError(what, where=path)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    record = FileRecord(path, digest.hexdigest(), length, None, None, f"{file.subfolder}/{file.filename}".lstrip("/"))
    return _Download(temporary, record)


def _most_bytes(expected: Size | None) -> int:
    """Return how long a file may be: its bare pixels, four channels of 16 bits each, and what is written beside them."""
    return _LONGEST_FILE if expected is None else expected.pixels * 8 + 16 * _MIB


def _path(planned: str, file: ServerFile, number: int) -> str:
    """Return where a file goes: as planned, with the server's kind of file, numbered where a role has several."""
    path = PurePosixPath(planned)
    suffix = PurePosixPath(file.filename).suffix.lower()
    name = path.stem if number == 0 else f"{path.stem}-{number + 1}"
    fits = _SUFFIX.fullmatch(suffix) and name + suffix not in _OURS
    return str(path.with_name(name + (suffix if fits else path.suffix)))


def _place(folder: RunFolder, finish: Finish, downloads: Mapping[str, list[_Download]]) -> None:
    kept = {record.path for records in finish.standing.values() for record in records}
    new = [download for found in downloads.values() for download in found]
    # A process that was killed between placing a picture and recording it has left the very same one there.
    kept |= {download.record.path for download in new if folder.has(download.record)}
    folder.put_away(finish.piece.job_id, [item.record.path for item in new if item.record.path not in kept], keep=kept)
    for download in new:
        folder.place(download.temporary, download.record.path)


def _sidecar(
    finish: Finish, files: Mapping[str, tuple[FileRecord, ...]], *, server: Mapping[str, str], state: str, reason: str
) -> Sidecar:
    piece = finish.piece
    return Sidecar(
        job_id=piece.job_id,
        content_hash=piece.content_hash,
        state=state,
        reason=reason,
        files=files,
        recipe=piece.recipe,
        workflow=piece.workflow.to_api(),
        template=piece.template,
        server=dict(server),
        prompt_id=finish.prompt_id,
        cached_nodes=finish.verdict.cached,
        seconds=finish.verdict.seconds,
        finished=now(),
        comfy_runner=__version__,
        notes=piece.notes,
        recipe_name=piece.recipe_name,
        assignments=piece.assignments,
        attempts=tuple(attempt.to_json() for attempt in piece.attempts),
        posted_with=finish.posted_with,
        recovered=finish.recovered,
    )
