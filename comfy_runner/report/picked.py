"""Which pictures of a run a person has picked: what ``picks.json`` says of those that are still the ones that were judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from comfy_runner.errors import UsageError
from comfy_runner.report.page.picks_facts import judged_picture
from comfy_runner.report.picks import FILE, Picks, read_picks
from comfy_runner.report.run_data import Material
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named

DESCRIBED = "pick in report.html, download the picks into the run folder (docs/choosing.md)"
"""How a run comes by picks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedPicture:
    """A picture of which a person has said something.

    Attributes:
        name: What no other picture of the run is called: the job, or ``job/output``.
        job_id: The job.
        output: The role of the picture.
        path: Where it lies in the run folder, with ``/``.
        stars: How good it is, from 1 to 5; None where that is not said.
        rejected: Whether it is not to be used.
        note: What was noted.
        at: When that was said; None where it is not known.
    """

    name: str
    job_id: str
    output: str
    path: str
    stars: int | None
    rejected: bool
    note: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPicks:
    """What a person says of a run.

    Attributes:
        pictures: The pictures of which something is said, in the order of the plan.
        pairs: How many pairs were compared, of pictures that are still the same.
        replaced: Names of pictures that were judged, and rendered again afterwards: they are left out.
        notes: What was left out, a sentence each.
    """

    pictures: tuple[PickedPicture, ...]
    pairs: int
    replaced: tuple[str, ...]
    notes: tuple[str, ...]

    def best(self, least: int = 1) -> tuple[PickedPicture, ...]:
        """Return the pictures that have so many stars or more, and are not rejected.

        Args:
            least: Stars, from 1 to 5.
        """
        return tuple(each for each in self.pictures if not each.rejected and (each.stars or 0) >= max(1, least))

    def job_ids(self, least: int = 1) -> tuple[str, ...]:
        """Return the jobs of these pictures, each once.

        Args:
            least: Stars, from 1 to 5.
        """
        return tuple(dict.fromkeys(each.job_id for each in self.best(least)))


def read_run_picks(material: Material) -> RunPicks:
    """Return what a person says of a run.

    Args:
        material: The run.

    Raises:
        UsageError: There is no ``picks.json``.
        InputError: Something in it is wrong.
    """
    picks, replaced = current_picks(material)
    known = judged_files(material)
    gone = [name for name in picks.picks if name not in known]
    notes = [note for note in (replaced_note(replaced), gone and _gone_note(gone)) if note]
    pictures = tuple(
        PickedPicture(
            name=entry.name,
            job_id=entry.job_id,
            output=entry.output,
            path=known[entry.name].path,
            stars=pick.stars,
            rejected=pick.rejected,
            note=pick.note,
            at=pick.at,
        )
        for entry in material.entries
        if entry.name in known and (pick := picks.picks.get(entry.name)) is not None and (pick.grade is not None or pick.note)
    )
    return RunPicks(pictures=pictures, pairs=len(picks.pairs), replaced=replaced, notes=tuple(notes))


def current_picks(material: Material) -> tuple[Picks, tuple[str, ...]]:
    """Return what is said of pictures that are still those that were judged, and the names of those that are others now.

    Args:
        material: The run.

    Raises:
        UsageError: There is no ``picks.json``.
        InputError: Something in it is wrong.
    """
    said = read_picks(material.store)
    if said is None:
        raise UsageError(f"has no {FILE}, which would say which pictures are better", where=shown(material.folder), hint=DESCRIBED)
    files = judged_files(material)
    replaced = dict.fromkeys(name for name, sha256 in _judged(said) if sha256 and name in files and files[name].sha256 != sha256)
    # What was said of the picture as it is now counts, whatever was said of an earlier one.
    picks = {name: pick for name, pick in said.picks.items() if _is_current(name, pick.sha256, files)}
    pairs = tuple(
        pair
        for pair in said.pairs
        if _is_current(pair.left, pair.left_sha256, files) and _is_current(pair.right, pair.right_sha256, files)
    )
    return said.model_copy(update={"picks": picks, "pairs": pairs}), tuple(replaced)


def judged_files(material: Material) -> dict[str, FileRow]:
    """Return the file of each entry that is judged, by the entry's name; none of those that have no picture."""
    found = {entry.name: judged_picture(entry) for entry in material.entries}
    return {name: row for name, row in found.items() if row is not None}


def replaced_note(names: tuple[str, ...]) -> str:
    """Return what is said of pictures that were rendered again; empty where there are none."""
    return f"left out {counted(len(names), 'picture')} rendered again after being judged: {named(names)}" if names else ""


def _gone_note(names: list[str]) -> str:
    return f"left out {counted(len(names), 'picture')} that this run does not have: {named(names)}"


def _judged(said: Picks) -> Iterator[tuple[str, str | None]]:
    yield from ((name, pick.sha256) for name, pick in said.picks.items())
    for pair in said.pairs:
        yield from ((pair.left, pair.left_sha256), (pair.right, pair.right_sha256))


def _is_current(name: str, sha256: str | None, files: Mapping[str, FileRow]) -> bool:
    return sha256 is None or name not in files or files[name].sha256 == sha256
