"""The folder of a baseline: ``baseline.json``, and the pictures as lossless WebP without metadata, below ``pictures``.

The same pictures give the same bytes: there is no time in it, no address of a server and no path of a machine. It can come from
anybody's repository, so what it says is checked, and nothing is read or written past a link. It may lie at a URL as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from comfy_runner.errors import InputError, RunFolderError, VerificationError
from comfy_runner.recipe.names import role_fault, slug
from comfy_runner.report.pixels import DecodedPicture, read_pixels
from comfy_runner.store.interface import Artifact, ArtifactStore, is_key
from comfy_runner.store.job_files import SIDECAR, JobFiles
from comfy_runner.store.ledger import FILE as LEDGER
from comfy_runner.store.local import folder_errors, is_plain_inside, write_spool
from comfy_runner.store.media_types import LONGEST_EDGE
from comfy_runner.store.plan_record import recorded
from comfy_runner.store.registry import open_store
from comfy_runner.store.sidecar import HASH
from comfy_runner.text_files import reason_of, shown, url_of
from comfy_runner.wording import MIB

FILE: Final = "baseline.json"
"""What a baseline says of its jobs; the folder that has it is a baseline."""

PICTURES: Final = "pictures"
"""The folder, in that of a baseline, of its pictures."""

FORMAT: Final = 1

_MOST_BYTES = 256 * MIB
_RESTORE = "restore it from version control, or make it again: comfy-runner baseline update"
_REPLACE = "restore it from version control, or move the folder away and make it again: comfy-runner baseline update"
_CONFLICT = "resolve it with git checkout --ours (or --theirs) with this file's name, then renew it: comfy-runner baseline update"
_LFS = b"version https://git-lfs"
_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class BaselinePicture(BaseModel):
    """A picture that is expected.

    Attributes:
        role: Its output role, such as ``upscaled``.
        number: Which of the pictures of that role, from 1.
        path: Where it lies, relative to the folder of the baseline, with ``/``.
        pixels: The hash of its pixels, as `DecodedPicture.sha256`.
        width: In pixels.
        height: Likewise.
        frames: How many pictures it has; of an animation only the first lies in the folder.
    """

    model_config = _STRICT

    role: str = Field(min_length=1, max_length=200)
    number: int = Field(ge=1)
    path: str
    pixels: str = Field(pattern=f"^{HASH.pattern}$")
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    frames: int = Field(default=1, ge=1)

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        if not is_key(value) or not value.startswith(f"{PICTURES}/") or PurePosixPath(value).suffix not in (".webp", ".png"):
            raise ValueError(f"must be a path of a picture below {PICTURES}")
        return value


class BaselineJob(BaseModel):
    """A job that is expected, without the paths of the machine that it was made on.

    Attributes:
        content_hash: What the job was, as sidecars have it.
        environment: By what it was rendered, as `store.environment.environment_of` tells it.
        recipe: A complete recipe that makes it again.
        template: Name and sha256 of its template.
        inputs: The files that it read, by name and checksum.
        pictures: Its pictures.
    """

    model_config = _STRICT

    content_hash: str
    environment: dict[str, str]
    recipe: dict[str, Any]
    template: dict[str, Any]
    inputs: tuple[dict[str, Any], ...]
    pictures: tuple[BaselinePicture, ...]

    def picture(self, role: str, number: int) -> BaselinePicture | None:
        """Return a picture; None where there is no such one."""
        return next((each for each in self.pictures if (each.role, each.number) == (role, number)), None)


class _File(BaseModel):
    model_config = _STRICT

    format: int
    jobs: dict[str, BaselineJob]

    @field_validator("jobs")
    @classmethod
    def _has_ids(cls, value: dict[str, BaselineJob]) -> dict[str, BaselineJob]:
        for job_id in value:
            if not is_key(job_id) or "/" in job_id:
                raise ValueError(f"{job_id[:40]!r} is not a job id")
        return value


class _Version(BaseModel):
    format: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline, as it was read.

    Attributes:
        folder: Its folder; of one at a URL what stands for that (`comfy_runner.store.registry.local_part`).
        store: Where its files are.
        jobs: What is expected, by job id.
    """

    folder: Path
    store: ArtifactStore = field(compare=False)
    jobs: Mapping[str, BaselineJob] = field(default_factory=dict)

    def read(self, picture: BaselinePicture) -> DecodedPicture:
        """Decode a picture of it.

        Raises:
            VerificationError: It is gone, damaged, or another one than the baseline says.
        """
        artifact, path = Artifact(self.store, picture.path), self.store.local_path(picture.path)
        if path is not None and not is_plain_inside(self.folder, path):
            raise VerificationError("is gone" if not path.exists() else "is not a plain file", where=str(artifact), hint=_RESTORE)
        try:
            found = read_pixels(artifact)
        except VerificationError as error:
            with contextlib.suppress(OSError), artifact.open() as file:
                if file.read(len(_LFS)) == _LFS:
                    what, hint = "is only Git LFS's pointer to it", "fetch the files themselves: git lfs pull"
                    raise VerificationError(what, where=str(artifact), hint=hint) from error
            raise
        if found.sha256 != picture.pixels and picture.frames == 1:
            raise VerificationError(f"is not the picture that {FILE} records", where=str(artifact), hint=_RESTORE)
        return found

    def has(self, path: str) -> bool:
        """Return whether anything is where a picture would lie: a file, or in a local folder whatever has its name."""
        local = self.store.local_path(path)
        return self.store.stat(path) is not None if local is None else os.path.lexists(local)


def read_baseline(folder: Path, store: ArtifactStore | None = None) -> Baseline:
    """Read what a baseline says of its jobs: nothing where it is not there yet. Its pictures are read when they are needed.

    Args:
        folder: Its folder; of one at a URL what stands for that.
        store: Where its files are; None for the store of that folder.

    Raises:
        InputError: It is damaged, or was written by a newer version; or it is a run folder, or that of a job.
        RunFolderError: Its store cannot be read.
    """
    store, path = store or open_store(folder), folder / FILE
    _refuse_folder_of_run(folder)
    try:
        with store.open(FILE) as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        _refuse_run(store, folder)
        return Baseline(folder, store)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({reason_of(error)})", where=shown(path)) from None
    if len(content) > _MOST_BYTES:
        raise InputError(f"is larger than {_MOST_BYTES // MIB} MiB, more than any baseline has", where=shown(path))
    try:
        version = _Version.model_validate_json(content).format
        if version > FORMAT:
            raise InputError(f"was written by a newer comfy_runner (format {version})", where=shown(path), hint="upgrade it")
        return Baseline(folder, store, _File.model_validate_json(content).jobs)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        reason = f"{place}: {said}" if place else said
        if re.search(rb"^(<<<<<<<|=======|>>>>>>>)", content, re.MULTILINE):
            raise InputError("contains the markers of a merge conflict", where=shown(path), hint=_CONFLICT) from None
        raise InputError(f"is damaged ({reason})", where=shown(path), hint=_REPLACE) from None


def write_baseline(baseline: Baseline) -> None:
    """Write what a baseline says of its jobs, unless its file says that already.

    Raises:
        RunFolderError: The folder cannot be written, or the disk is full.
    """
    jobs = {job_id: _told(baseline.jobs[job_id]) for job_id in sorted(baseline.jobs)}
    text = json.dumps({"format": FORMAT, "jobs": jobs}, ensure_ascii=False, indent=2) + "\n"
    content = text.encode("utf-8", "backslashreplace")
    with contextlib.suppress(OSError), baseline.store.open(FILE) as file:
        if file.read(len(content) + 1) == content:
            return
    _put(baseline, FILE, content)


def picture_path(job_id: str, role: str, number: int, picture: DecodedPicture) -> str:
    """Return where a picture lies in the folder of a baseline.

    Args:
        job_id: Its job.
        role: Its output role, which in a foreign workflow can be anything.
        number: Which of that role, from 1.
        picture: The picture, which decides on the format.
    """
    name = role
    if role_fault(role) or role != role.lower():
        # Two of them may look alike on some systems.
        digest = hashlib.sha256(role.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{slug(role)[:40] or 'output'}-{digest}"
    return f"{PICTURES}/{job_id}/{name}{f'.{number}' if number > 1 else ''}{_suffix(picture.image)}"


def write_picture(baseline: Baseline, path: str, picture: DecodedPicture) -> None:
    """Write a picture of a baseline, without loss and without metadata.

    Raises:
        VerificationError: It cannot be written in its format.
        RunFolderError: The folder cannot be written, or the disk is full.
    """
    content = io.BytesIO()
    image = picture.image.convert("I;16") if picture.image.mode == "I" else picture.image
    try:
        if path.endswith(".png"):
            image.save(content, "PNG", optimize=True)
        else:
            image.save(content, "WEBP", lossless=True, exact=True)
    except (OSError, ValueError, MemoryError) as error:
        where = baseline.store.location(path)
        raise VerificationError(f"cannot be written: {str(error) or type(error).__name__}", where=where) from error
    _put(baseline, path, content.getvalue())


def remove_picture(baseline: Baseline, path: str) -> None:
    """Remove a picture of a baseline, and its job's folder where that is empty then.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    with writing_errors(baseline.folder / path):
        baseline.store.remove(path)


def _put(baseline: Baseline, key: str, content: bytes) -> None:
    with writing_errors(baseline.folder / key):
        baseline.store.remove_spooled(key)
        baseline.store.put([write_spool(baseline.store, key, [content])])


def _refuse_folder_of_run(folder: Path) -> None:
    """Refuse a baseline where a run or a job is, whose files could be taken for it."""
    for file, what in ((LEDGER, "a run folder"), (SIDECAR, "the folder of a job")):
        if os.path.exists(folder / file):  # noqa: PTH110 - Path's own raises where a name is too long
            hint = "choose a separate folder"
            raise InputError(f"is {what}, so it cannot be a baseline", where=shown(folder), hint=hint)
    if os.path.exists(folder) and not folder.is_dir():  # noqa: PTH110
        raise InputError("is not a folder", where=shown(folder))


def _refuse_run(store: ArtifactStore, folder: Path) -> None:
    """Refuse a baseline at the URL of a run or of a job, likewise; the ledger of that is elsewhere."""
    if not url_of(folder):
        return
    is_run = recorded(store) or next(JobFiles(store).job_ids(), None) is not None
    if is_run or store.stat(SIDECAR) is not None:
        what = "a run folder" if is_run else "the folder of a job"
        raise InputError(f"is {what}, so it cannot be a baseline", where=shown(folder), hint="choose a separate URL")


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Turn what the system refuses into an error that names the option of this folder."""
    try:
        with folder_errors(path):
            yield
    except RunFolderError as error:
        raise RunFolderError.of(replace(each, hint=each.hint.replace("--out", "--to")) for each in error.problems) from error


def _suffix(image: Image.Image) -> str:
    """Return the format: WebP is smaller by a seventh to a third, but has 8 bits a channel and a longest edge."""
    return ".webp" if image.mode in ("RGB", "RGBA") and max(image.size) <= LONGEST_EDGE[".webp"] else ".png"


def _told(job: BaselineJob) -> dict[str, Any]:
    return job.model_dump(exclude_defaults=True)
