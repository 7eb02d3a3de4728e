"""A picture that a job gave once, beside the one that it gives now: the same, about the same to the eye, or another one."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_runner.check.results import Likeness
from comfy_runner.control.recorded_job import RecordedPicture
from comfy_runner.recipe.names import slug
from comfy_runner.report.compare import Compared, compare_pictures
from comfy_runner.report.pixels import DecodedPicture, read_pixels
from comfy_runner.report.triples import Triple, write_triple
from comfy_runner.store.interface import Artifact
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.text_files import shown


@dataclass(frozen=True, slots=True)
class ReproducedPicture:
    """A picture that a job gave, beside the one that it gives now.

    Attributes:
        role: The output role, such as ``upscaled``.
        number: Which of the pictures of that role, from 1.
        likeness: `Likeness.SAME`: the same pixels; `Likeness.SIMILAR`: perceptually equal; `Likeness.DIFFERENT`;
            `Likeness.MISSING`: it gives no such picture any more.
        similarity: How alike they are, 0 to 1, judged by the region that differs most; None where that was not measured.
        reason: Why they are different, in words that follow the name of the picture; empty where they are not.
        expected: The picture that it gave then, as messages call it.
        actual: The one that it gives now, likewise; empty where there is none.
        difference: A picture of where they differ, likewise; copies of both lie beside it. Empty where there is none.
    """

    role: str
    number: int
    likeness: Likeness
    similarity: float | None
    reason: str
    expected: str
    actual: str = ""
    difference: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    role: str
    number: int
    artifact: Artifact
    pixels: DecodedPicture
    compared: Compared


def hold_picture(view: FolderView, made: Sidecar, picture: RecordedPicture, *, limit: float) -> ReproducedPicture:
    """Hold a picture of then against the one of now; where they are different, both and their difference are written to be seen.

    Args:
        view: The run folder of now.
        made: The sidecar there.
        picture: The picture of then; one whose role is not known, or is no longer made, is held against the one most like it.
        limit: The least similarity, 0 to 1, of pictures that count as perceptually equal.

    Raises:
        VerificationError: One of them is no whole picture, or gone.
        RunFolderError: The folder cannot be written.
    """
    expected, best = read_pixels(picture.path), None
    for role, number, artifact in _candidates(view, made, picture):
        actual = read_pixels(artifact)
        found = _Candidate(role, number, artifact, actual, compare_pictures(expected, actual, limit=limit))
        if best is None or _rank(found.compared) > _rank(best.compared):
            best = found
    if best is None:
        what = "is no longer made"
        return ReproducedPicture(picture.role, picture.number + 1, Likeness.MISSING, None, what, shown(picture.path))
    triple = Triple()
    if not best.compared.passed:
        name = f"{slug(made.job_id) or 'job'}/{slug(best.role) or 'output'}{f'-{best.number + 1}' if best.number else ''}"
        triple = write_triple(view.path, name, actual=best.pixels, expected=expected)
    return ReproducedPicture(
        best.role,
        best.number + 1,
        best.compared.likeness,
        best.compared.similarity,
        best.compared.reason,
        shown(picture.path),
        str(best.artifact),
        shown(view.path / triple.difference) if triple.difference else "",
    )


def _candidates(files: JobFiles, made: Sidecar, picture: RecordedPicture) -> list[tuple[str, int, Artifact]]:
    found = [
        (role, number, files.artifact(record))
        for role, records in made.files.items()
        for number, record in enumerate(records)
        if record.width is not None
    ]
    return [each for each in found if each[:2] == (picture.role, picture.number)] or found


def _rank(compared: Compared) -> tuple[bool, float]:
    return compared.likeness is Likeness.SAME, -1.0 if compared.similarity is None else compared.similarity
