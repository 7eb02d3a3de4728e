"""A job that was rendered once, and the pictures that it gave: what reproducing it is held against.

It is a job's sidecar with the pictures beside it, or a single picture. Both may come from anybody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.importer.read import read_file
from comfy_runner.recipe.names import slug
from comfy_runner.report.pixels import read_pixels
from comfy_runner.store.environment import environment_of, template_of
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.local import LocalStore
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.text_files import is_file, is_folder, shown

_SIDECAR = "job.json"
_GIVE = "give the folder of a finished job, its job.json, or a picture"


@dataclass(frozen=True, slots=True)
class RecordedPicture:
    """A picture that a job has given.

    Attributes:
        path: Its file.
        role: Its output role; empty where that is not known.
        number: Which of the role's files, from 0.
    """

    path: Path
    role: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class RecordedJob:
    """A job, and what it has given.

    Attributes:
        source: What is rendered to make it again: its sidecar, or the picture.
        name: What a folder for it can be called.
        pictures: What it has given, at least one.
        environment: By what it was rendered, as `environment_of` gives it; empty where that is not known.
        content_hash: What it was; empty where that is not known.
        others: How many files it has given that are no pictures.
        was_tiled: Whether it was decoded in tiles because the memory did not suffice, which its graph does not say.
    """

    source: Path
    name: str
    pictures: tuple[RecordedPicture, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    content_hash: str = ""
    others: int = 0
    was_tiled: bool = False


def read_recorded(given: Path) -> RecordedJob:
    """Return the job that a user means, each picture of which has been read to its end.

    Args:
        given: A job's folder in a run folder, its sidecar, or a picture. One that lies in its job's folder is that job's.

    Raises:
        UsageError: It is none of these, or there is no picture to hold anything against.
        RunFolderError: The sidecar is damaged.
        VerificationError: A picture is missing, or not whole.
    """
    path = given / _SIDECAR if is_folder(given) else given
    if not is_file(path):
        inside = next(iter(sorted(given.glob(f"*/{_SIDECAR}"))), None) if is_folder(given) else None
        hint = f"it is a run folder: name one of its jobs, such as {shown(inside.parent)}" if inside is not None else _GIVE
        raise UsageError("no such file", where=shown(path), hint=hint)
    if suffix_of(path.name) not in PICTURES and path.name != _SIDECAR:
        raise UsageError("is neither a finished job nor a picture", where=shown(path), hint=f"{_GIVE}; `run` renders recipes")
    found = _of_sidecar(path) if path.name == _SIDECAR else _of_picture(path)
    if not found.pictures:
        what = "records no good picture"
        raise UsageError(what, where=shown(path), hint="run its recipe again, which renders what is missing")
    for picture in found.pictures:
        read_pixels(picture.path)
    return found


def _of_sidecar(path: Path) -> RecordedJob:
    """Return the job of a sidecar, whose pictures lie in a run folder, or were replaced together with it."""
    folder = path.absolute().parent
    sidecar = JobFiles(LocalStore(folder.parent)).sidecar(folder.name)
    if sidecar is None:
        raise RunFolderError("is gone", where=shown(path))
    good = [
        (role, number, record.path)
        for role, records in sidecar.files.items()
        for number, record in enumerate(records)
        if not record.problem
    ]
    roots = (folder.parent, folder)
    root = next((each for each in roots if any(is_file(each / key) for *_, key in good)), roots[0])
    pictures = tuple(RecordedPicture(root / key, role, number) for role, number, key in good if suffix_of(key) in PICTURES)
    others = len(good) - len(pictures)
    name = slug(folder.name) or "job"
    return RecordedJob(path, name, pictures, environment_of(sidecar), sidecar.content_hash, others, was_tiled(sidecar))


def was_tiled(sidecar: Sidecar) -> bool:
    """Return whether a job was decoded in tiles once its server had run out of memory."""
    return any(isinstance(attempt, Mapping) and attempt.get("vae_decode") == "tiled" for attempt in sidecar.attempts)


def _of_picture(path: Path) -> RecordedJob:
    beside = path.absolute().parent / _SIDECAR
    if is_file(beside):
        with contextlib.suppress(RunFolderError):
            job = _of_sidecar(beside)
            if (mine := next((picture for picture in job.pictures if _is_same(picture.path, path)), None)) is not None:
                return replace(job, pictures=(mine,), others=0)
    about = read_file(path).about or {}
    said = {"comfy_runner": about.get("version"), "template": template_of(about.get("template"))}
    environment = {name: text for name, text in said.items() if isinstance(text, str) and text}
    content_hash = about.get("content_hash")
    known = content_hash if isinstance(content_hash, str) else ""
    return RecordedJob(path, slug(path.stem) or "picture", (RecordedPicture(path),), environment, known)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
