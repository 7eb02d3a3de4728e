"""One output of a job brought to this disk: downloaded, or written where it is a text; verified; as its recipe wants it.

It is a spooled file then, which the store can take. What a server calls it is recorded and never used as a path. What is not whole
is no result: it is asked for again, and where it stays so it is kept in ``superseded``, as ``original.broken``. Does not decide
what becomes of a job's outputs together, and does not put them to their keys (`collector`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from comfy_runner.collect.metadata import PictureMetadata
from comfy_runner.collect.ownership import refuse_anothers
from comfy_runner.collect.picture_texts import NO_CHANGES, TextChanges, with_texts
from comfy_runner.collect.reencode import Encoding, convert
from comfy_runner.collect.verify import NotWhole, comes_from_a_model, is_page, is_picture, verify_file, verify_picture
from comfy_runner.engine.interface import FileSource
from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.engine.verdict import ServerFile
from comfy_runner.errors import BrokenDownload, ComfyRunnerError, Unreachable, VerificationError
from comfy_runner.graph.sizes import Size
from comfy_runner.store.interface import Artifact, ArtifactStore, Spooled
from comfy_runner.store.job_files import SUPERSEDED, JobFiles
from comfy_runner.store.local import write_spool
from comfy_runner.store.media_types import PICTURES, is_binary, is_reencoded, suffix_of
from comfy_runner.store.run_folder import REPORT
from comfy_runner.store.run_log import LOG
from comfy_runner.store.sidecar import FileRecord
from comfy_runner.wording import MIB

_BROKEN = ".broken"
_CHUNK = 1024 * 1024
_LONGEST_FILE = 4096 * MIB  # where its size in pixels was not planned; it may be a video
_LONGEST_TEXT = 16 * MIB
_SUFFIX = re.compile(r"\.[a-z0-9]{1,11}")
_SPOILT = "something in between may have damaged it; the file is still there, and the same command asks for it again"
_SAVES_PICTURES = ("SaveImage", "PreviewImage")  # whatever a server calls what they have saved
_OURS = ("job.json", "run.json", LOG, *REPORT)


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """An output on this disk.

    Attributes:
        spooled: Where it lies; a store can take it.
        record: What it is to be.
        notes: What the user should know of it.
        error: What is wrong with it; None where nothing is.
    """

    spooled: Spooled
    record: FileRecord
    notes: tuple[str, ...] = ()
    error: ComfyRunnerError | None = None

    def discard(self) -> None:
        """Remove it, unless a store has taken it, or somebody its folder."""
        with contextlib.suppress(OSError):
            self.spooled.path.unlink()


@dataclass(frozen=True, slots=True)
class Downloader:
    """Brings the outputs of one job here.

    Attributes:
        source: Has them, and waits where the engine does not answer.
        files: Where they go later.
        job: The job, as it was posted.
        is_recovered: Whether the engine has forgotten the job, so that a file may have been cut short where it lies.
        is_alone: Whether no other job was posted with it, so that what the engine has written into its pictures is about it alone.
    """

    source: FileSource
    files: JobFiles
    job: SubmittedJob
    is_recovered: bool = False
    is_alone: bool = True

    def fetch(self, role: str, node_id: str, output: ServerFile | bytes | str, number: int) -> FetchedFile:
        """Return an output, whole and as the recipe wants it; one with something else wrong too, for a GPU has made it.

        Args:
            role: Whose it is.
            node_id: The node that has given it.
            output: What it has given: a file of the server, a PNG that came over the websocket, or a text.
            number: How many the role has before it.

        Raises:
            ServerError: It cannot be had.
            BrokenDownload: What comes is not whole; it may be when it is asked for the next time.
            JobLost: It says of itself that it is another job's.
            VerificationError: It is far too large, or was no whole file the last time either.
            RunFolderError: The disk does not take it.
        """
        planned = self.job.outputs[role]
        if isinstance(output, str):
            # JSON lets a server say half an emoji, which is no text.
            data = output.encode("utf-8", "backslashreplace")
            return write(self.files.store, numbered(planned, number, ".txt"), [data], most=_LONGEST_TEXT)
        suffix = suffix_of(output.filename) if isinstance(output, ServerFile) else ".png"
        path = numbered(planned, number, suffix if _SUFFIX.fullmatch(suffix) else ".png")
        if path.rpartition("/")[2] in _OURS:
            path = numbered(planned, number, ".png")
        aside = f"{SUPERSEDED}/{self.job.job_id}/{numbered(planned, number, _BROKEN)}"
        got = self._whole(path, aside, output, self.job.sizes.get(role), node_id)
        if self.files.store.stat(aside) is not None:
            self.files.store.remove(aside)
        if got.error is not None:
            return got
        metadata = PictureMetadata.of(self.job.recipe, lambda: self.job.about, self.job.workflow.to_api, self.job.parameters)
        changes = metadata.changes(role, is_anothers=not self.is_alone, says_nothing=isinstance(output, bytes))
        return self._as_wanted(got, suffix_of(planned), changes)

    def _whole(self, path: str, aside: str, output: ServerFile | bytes, expected: Size | None, node_id: str) -> FetchedFile:
        """Return an output, asked for again as long as what comes is not whole."""
        broken: FetchedFile | None = None

        def ask() -> FetchedFile:
            nonlocal broken
            got = self._download(path, output, most=_most_bytes(expected))
            with contextlib.ExitStack() as stack:
                stack.callback(got.discard)
                found = self._checked(got, output, expected, node_id)
                stack.pop_all()
            if not isinstance(found.error, NotWhole):
                return found
            # Of what a server has left half written when it was restarted, nothing else will come.
            is_torn = self.is_recovered and broken is not None and broken.record.sha256 == found.record.sha256
            if broken is not None:
                broken.discard()
            broken = found
            raise found.error if is_torn else BrokenDownload(found.error.problems[0].what, where=path, hint=_SPOILT)

        try:
            return ask() if isinstance(output, bytes) else self.source.retrying(ask)
        except BrokenDownload as error:
            problem = self._lasting(aside, broken, error) if broken is not None else error
            raise problem from None
        finally:
            if broken is not None:
                broken.discard()

    def _lasting(self, aside: str, broken: FetchedFile, error: BrokenDownload) -> ComfyRunnerError:
        """Return what is to be said of a file that came broken every time, and keep what came, unless that has happened before.

        The same bytes once more, a run later, are what the server has: to ask for them for ever would keep the job from being done.
        """
        what, record = error.problems[0].what, replace(broken.record, path=aside)
        if self.is_recovered or not broken.record.server_name:
            return VerificationError(what, where=broken.record.path)
        if self.files.has(record):
            hint = f"it seems to be like this on the server, and the next run renders it again; what arrived is kept as {aside}"
            return VerificationError(f"{what}, as last time", where=broken.record.path, hint=hint)
        with broken.spooled.path.open("rb") as file:
            self.files.store.put([write_spool(self.files.store, aside, iter(partial(file.read, _CHUNK), b""))])
        return error

    def _checked(self, got: FetchedFile, output: ServerFile | bytes, expected: Size | None, node_id: str) -> FetchedFile:
        """Return what came with what it is, and what is wrong with it.

        Raises:
            JobLost: It says of itself that it is another job's.
        """
        if isinstance(output, ServerFile) and not self.job.owns(node_id, output):
            refuse_anothers(got.spooled.path, self.job, node_id, name=output.filename)
        # Whatever it is called: the content tells, and the node that has saved it.
        saves_pictures = self.job.workflow.nodes[node_id].class_type in _SAVES_PICTURES
        try:
            if not saves_pictures and suffix_of(got.record.path) not in PICTURES and not is_picture(got.spooled.path):
                verify_file(got.record)
                return got
            may_be_flat = not comes_from_a_model(self.job.workflow, node_id)
            found = verify_picture(got.spooled.path, expected=expected, may_be_flat=may_be_flat)
        except VerificationError as error:
            return replace(got, error=type(error)(error.problems[0].what, where=got.record.path, hint=error.problems[0].hint))
        return replace(got, record=replace(got.record, width=found.size.width, height=found.size.height, frames=found.frames))

    def _download(self, path: str, output: ServerFile | bytes, *, most: int) -> FetchedFile:
        if isinstance(output, bytes):
            return write(self.files.store, path, [output], most=most)
        with self.source.open_file(output) as chunks:
            got = write(self.files.store, path, chunks, most=most)
        if is_page(got.spooled.path, suffix_of(path)):
            got.discard()
            hint = "a login page or a proxy is in between; the file is still there, and the same command asks for it again"
            raise Unreachable(f"returned a page instead of {output.filename}", where=self.source.url, hint=hint)
        return replace(got, record=replace(got.record, server_name=f"{output.subfolder}/{output.filename}".lstrip("/")))

    def _as_wanted(self, got: FetchedFile, wanted: str, changes: TextChanges | None) -> FetchedFile:
        """Return a picture as the recipe wants it; where that cannot be, as the server gave it, for it is good."""
        record = got.record
        if changes is not None and record.width is None:
            if is_binary(suffix_of(record.path)):
                what = f"{record.path} stays as written by the server: output.metadata is for PNG, JPEG and WebP"
                return replace(got, notes=(*got.notes, what))
            return got
        size = {"width": record.width, "height": record.height}
        is_recoded = is_reencoded(suffix_of(record.path), wanted, frames=record.frames, **size)
        if not is_recoded and changes is None:
            return got
        with contextlib.ExitStack() as stack:
            stack.callback(got.discard)
            try:
                source = got.spooled.path
                if is_recoded:
                    return converted(self.files.store, source, record, wanted, Encoding.of(self.job.recipe), changes)
                return retold(self.files.store, source, record, changes or NO_CHANGES)
            except VerificationError as error:
                stack.pop_all()
                return replace(got, error=VerificationError(error.problems[0].what, where=record.path))


def converted(
    store: ArtifactStore,
    source: Path | Artifact,
    record: FileRecord,
    suffix: str,
    encoding: Encoding,
    changes: TextChanges | None = None,
) -> FetchedFile:
    """Return a picture written anew.

    Args:
        store: Where it goes later.
        source: The picture.
        record: What it is.
        suffix: The new format.
        encoding: How it is written.
        changes: What becomes of its texts; None for nothing.

    Raises:
        VerificationError: It cannot be written so.
        RunFolderError: The disk does not take it.
    """
    content, left_out = convert(source, suffix, encoding, changes or NO_CHANGES)
    return _made(store, str(PurePosixPath(record.path).with_suffix(suffix)), [content], record, left_out)


def retold(
    store: ArtifactStore, source: Path | Artifact, record: FileRecord, changes: TextChanges, *, is_verified: bool = False
) -> FetchedFile:
    """Return a picture with other texts beside the very same pixels.

    Args:
        store: Where it goes later.
        source: The picture.
        record: What it is, and where it goes.
        changes: What becomes of its texts.
        is_verified: Whether it need not be decoded once more: its pixels are as they were when it was verified.

    Raises:
        VerificationError: It cannot be taken apart.
        RunFolderError: The disk does not take it.
    """
    chunks, left_out = with_texts(source, changes)
    return _made(store, record.path, chunks, record, left_out, is_verified=is_verified)


def _made(
    store: ArtifactStore,
    key: str,
    content: Iterable[bytes],
    record: FileRecord,
    left_out: tuple[str, ...],
    *,
    is_verified: bool = False,
) -> FetchedFile:
    """Return a file made of one that was verified, after it was verified too."""
    spooled = write_spool(store, key, content)
    new = replace(record, path=key, sha256=spooled.sha256, size_bytes=spooled.size_bytes)
    notes = (f"{key} has no room for {', '.join(left_out)}, which this file contains",) if left_out else ()
    made = FetchedFile(spooled, new, notes)
    if is_verified:
        return made
    try:
        expected = Size(record.width, record.height) if record.width and record.height else None
        verify_picture(spooled.path, expected=expected, may_be_flat=True)
    except BaseException:
        made.discard()
        raise
    return made


def write(store: ArtifactStore, key: str, chunks: Iterable[bytes], *, most: int) -> FetchedFile:
    """Write an output to this disk.

    Args:
        store: Where it goes later.
        key: Its key there.
        chunks: What is written.
        most: How many bytes that may be.

    Raises:
        VerificationError: It is more.
        RunFolderError: The disk does not take it.
        ServerError: What gives it failed.
    """

    def limited() -> Iterator[bytes]:
        left = most
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise VerificationError(f"is larger than the planned picture can be, {most // MIB} MiB", where=key)
            yield chunk

    spooled = write_spool(store, key, limited())
    return FetchedFile(spooled, FileRecord(key, spooled.sha256, spooled.size_bytes, None, None, ""))


def numbered(planned: str, number: int, suffix: str) -> str:
    """Return where a file goes: as planned, with its own kind of file, numbered where a role has several."""
    path = PurePosixPath(planned)
    return str(path.with_name((path.stem if number == 0 else f"{path.stem}-{number + 1}") + suffix))


def _most_bytes(expected: Size | None) -> int:
    """Return how long a file may be: its bare pixels, four channels of 16 bits each, and what is written beside them."""
    return _LONGEST_FILE if expected is None else expected.pixels * 8 + 16 * MIB
