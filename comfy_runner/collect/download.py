"""One output of a job brought to this disk: downloaded, or written where it is a text; verified; in the format of the recipe.

It is a spooled file then, which the store can take. What a server calls it is recorded and never used as a path. Does not decide
what becomes of a job's outputs together, and does not put them to their keys (`collector`).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from comfy_runner.collect.reencode import Encoding, convert
from comfy_runner.collect.verify import comes_from_a_model, verify_file, verify_picture
from comfy_runner.engine.interface import FileSource
from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.engine.verdict import ServerFile
from comfy_runner.errors import ComfyRunnerError, RunFolderError, ServerError, VerificationError
from comfy_runner.graph.sizes import Size
from comfy_runner.store.interface import Artifact, ArtifactStore
from comfy_runner.store.local import folder_errors, write_spool
from comfy_runner.store.media_types import PICTURES, is_reencoded, suffix_of
from comfy_runner.store.run_folder import REPORT
from comfy_runner.store.sidecar import FileRecord, sha256_of
from comfy_runner.wording import MIB

_ATTEMPTS = 3
_LONGEST_FILE = 4096 * MIB  # where its size in pixels was not planned; it may be a video
_LONGEST_TEXT = 16 * MIB
_SUFFIX = re.compile(r"\.[a-z0-9]{1,11}")
_OURS = ("job.json", "run.json", *REPORT)


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A file that a store can take.

    Attributes:
        spooled: Where it lies, on this disk.
        record: What it is to be.
        notes: What the user should know of it.
    """

    spooled: Path
    record: FileRecord
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Downloader:
    """Brings the outputs of one job here.

    Attributes:
        source: Has them, and waits where the engine does not answer.
        store: Where they go later.
        job: The job, as it was posted.
    """

    source: FileSource
    store: ArtifactStore
    job: SubmittedJob

    def fetch(
        self, role: str, node_id: str, output: ServerFile | bytes | str, number: int
    ) -> tuple[SpooledFile | None, ComfyRunnerError | None]:
        """Return the verified file; or the file and what is wrong with it, for a picture that a GPU has made is kept; or the error.

        Args:
            role: Whose it is.
            node_id: The node that has given it.
            output: What it has given: a file of the server, a PNG that came over the websocket, or a text.
            number: How many the role has before it.
        """
        planned = self.job.outputs[role]
        if isinstance(output, str):
            return self._written(numbered(planned, number, ".txt"), output)
        suffix = suffix_of(output.filename) if isinstance(output, ServerFile) else ".png"
        path = numbered(planned, number, suffix if _SUFFIX.fullmatch(suffix) else ".png")
        if path.rpartition("/")[2] in _OURS:
            path = numbered(planned, number, ".png")
        got, problem = self._downloaded(path, output, self.job.sizes.get(role), node_id)
        if got is None or problem is not None:
            return got, problem
        return self._in_its_format(got, suffix_of(planned))

    def _downloaded(
        self, path: str, file: ServerFile | bytes, expected: Size | None, node_id: str
    ) -> tuple[SpooledFile | None, ComfyRunnerError | None]:
        may_be_flat = not comes_from_a_model(self.job.workflow, node_id)
        got: SpooledFile | None = None
        problem: ComfyRunnerError | None = None
        for _attempt in range(_ATTEMPTS):
            if got is not None:
                got.spooled.unlink()
            got, problem = None, None
            try:
                got = self.source.retrying(partial(self._download, path, file, most=_most_bytes(expected)))
                got = replace(got, record=_verified(got, expected=expected, may_be_flat=may_be_flat))
                break
            except VerificationError as error:
                problem = type(error)(error.problems[0].what, where=path, hint=error.problems[0].hint)
            except (ServerError, RunFolderError) as error:
                problem = error
                break
        return got, problem

    def _download(self, path: str, file: ServerFile | bytes, *, most: int) -> SpooledFile:
        if isinstance(file, bytes):
            return write(self.store, path, contextlib.nullcontext([file]), most=most)
        got = write(self.store, path, self.source.open_file(file), most=most)
        return replace(got, record=replace(got.record, server_name=f"{file.subfolder}/{file.filename}".lstrip("/")))

    def _written(self, path: str, text: str) -> tuple[SpooledFile | None, ComfyRunnerError | None]:
        # JSON lets a server say half an emoji, which is no text.
        data = text.encode("utf-8", "backslashreplace")
        try:
            return write(self.store, path, contextlib.nullcontext([data]), most=_LONGEST_TEXT), None
        except (VerificationError, RunFolderError) as error:
            return None, error

    def _in_its_format(self, got: SpooledFile, wanted: str) -> tuple[SpooledFile | None, ComfyRunnerError | None]:
        """Return a picture as the recipe wants it; where that cannot be, as the server gave it, for it is good."""
        record = got.record
        size = {"width": record.width, "height": record.height}
        if not is_reencoded(suffix_of(record.path), wanted, frames=record.frames, **size):
            return got, None
        try:
            made = converted(self.store, got.spooled, record, wanted, Encoding.of(self.job.recipe))
        except VerificationError as error:
            return got, VerificationError(error.problems[0].what, where=record.path)
        except RunFolderError as error:
            got.spooled.unlink()
            return None, error
        got.spooled.unlink()
        return made, None


def converted(store: ArtifactStore, source: Path | Artifact, record: FileRecord, suffix: str, encoding: Encoding) -> SpooledFile:
    """Return a picture written anew, as a spooled file.

    Args:
        store: Where it goes later.
        source: The picture.
        record: What it is.
        suffix: The new format.
        encoding: How it is written.

    Raises:
        VerificationError: It cannot be written so.
        RunFolderError: The disk does not take it.
    """
    key = str(PurePosixPath(record.path).with_suffix(suffix))
    left_out: tuple[str, ...] = ()

    def fill(file: BinaryIO) -> None:
        nonlocal left_out
        left_out = convert(source, file, suffix, encoding)

    spooled = write_spool(store, key, fill)
    try:
        expected = Size(record.width, record.height) if record.width and record.height else None
        verify_picture(spooled, expected=expected, may_be_flat=True)
        with folder_errors(Artifact(store, key)):
            new = replace(record, path=key, sha256=sha256_of(spooled), size_bytes=spooled.stat().st_size)
    except BaseException:
        spooled.unlink(missing_ok=True)
        raise
    notes = (f"{key} has no room for {', '.join(left_out)}, which this file has",) if left_out else ()
    return SpooledFile(spooled, new, notes)


def write(store: ArtifactStore, key: str, source: AbstractContextManager[Iterable[bytes]], *, most: int) -> SpooledFile:
    """Write a spooled file.

    Args:
        store: Where it goes later.
        key: Its key there.
        source: Gives what is written.
        most: How many bytes it may have.

    Raises:
        VerificationError: It has more.
        RunFolderError: The disk does not take it.
        ServerError: What gives it failed.
    """
    digest, length = hashlib.sha256(), 0

    def fill(file: BinaryIO) -> None:
        nonlocal length
        # The server's errors are not `OSError`s.
        with source as chunks:
            for chunk in chunks:
                digest.update(chunk)
                length += len(chunk)
                if length > most:
                    raise VerificationError(f"is larger than what was planned can be, {most // MIB} MiB", where=key)
                file.write(chunk)

    spooled = write_spool(store, key, fill)
    return SpooledFile(spooled, FileRecord(key, digest.hexdigest(), length, None, None, ""))


def numbered(planned: str, number: int, suffix: str) -> str:
    """Return where a file goes: as planned, with its own kind of file, numbered where a role has several."""
    path = PurePosixPath(planned)
    return str(path.with_name((path.stem if number == 0 else f"{path.stem}-{number + 1}") + suffix))


def _verified(got: SpooledFile, *, expected: Size | None, may_be_flat: bool) -> FileRecord:
    if suffix_of(got.record.path) not in PICTURES:
        verify_file(got.record)
        return got.record
    found = verify_picture(got.spooled, expected=expected, may_be_flat=may_be_flat)
    return replace(got.record, width=found.size.width, height=found.size.height, frames=found.frames)


def _most_bytes(expected: Size | None) -> int:
    """Return how long a file may be: its bare pixels, four channels of 16 bits each, and what is written beside them."""
    return _LONGEST_FILE if expected is None else expected.pixels * 8 + 16 * MIB
