"""The report page of a run as it is at this moment, and the files that it shows: read from the run folder, which may be in use.

What is told of jobs comes from the ledger alone, whoever renders them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from comfy_runner.report.measure_run import is_measured
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.page import packed, rendered
from comfy_runner.report.page.page_content import details, overview
from comfy_runner.report.page.thumbnails import Thumbnail, make_thumbnail
from comfy_runner.report.picks import FORMAT, Picks, read_picks
from comfy_runner.report.run_data import ORIGINAL, Material, read_material
from comfy_runner.report.saved_picks import dumped_picks, save_picks
from comfy_runner.report.suggest import Limits, Suggestion, usual_axis
from comfy_runner.report.writer import judged
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.local import LocalStore, folder_errors, is_plain_inside, refuse_links
from comfy_runner.store.media_types import suffix_of
from comfy_runner.store.run_folder import REPORT_FILES
from comfy_runner.store.status import require_run

_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_NOT_MEASURED = "Nothing is measured during a run: its report is made at the end."
JOB = "job:"
"""How the names of the values begin that tell of an entry."""

_BEING_MADE = Thumbnail(problem="its thumbnail is being made")
_SECONDS = 0.5  # for making thumbnails, before what is there is shown
_NO_REPORT = "Nothing is measured: comfy-runner report makes the report of this run."


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A picture that the page shows.

    Attributes:
        store: Where it is.
        key: Its key there.
        tag: What is another one when its content is another one; empty where nothing tells.
    """

    store: ArtifactStore
    key: str
    tag: str = ""

    @property
    def media_type(self) -> str:
        """Return what it is served as."""
        return _MEDIA_TYPES.get(suffix_of(self.key), "application/octet-stream")


class RunPage:
    """What there is to show of a run; for any number of threads, of which one reads at a time.

    Args:
        folder: The run folder.
        limits: Gives the limits of the suggestion; None for the usual ones.

    Attributes:
        folder: The run folder.
        is_complete: Whether there was time to make all thumbnails when it was last read.

    Raises:
        RunFolderError: Thumbnails would be written past a symbolic link.
    """

    def __init__(self, folder: Path, limits: Callable[[], Limits] | None = None) -> None:
        refuse_links(folder, folder / REPORT_FILES)
        self.folder, self._limits = folder, limits or Limits
        self.is_complete = False
        self._lock = Lock()
        self._thumbnails: dict[tuple[str, str], Thumbnail] = {}
        self._files: Mapping[str, ServedFile] = {}
        self._last: tuple[Material, dict[str, Any], bool] | None = None
        self._packed = ""

    def values(self, *, is_live: bool) -> dict[str, Any]:
        """Read the run folder, and return what browsers are told of it: the facts of each entry, and of the whole page.

        Args:
            is_live: Whether the run goes on, so that nothing is measured.

        Raises:
            RunFolderError: It cannot be read, or thumbnails cannot be written.
            UsageError: A metric of the user's own cannot be used.
        """
        with self._lock:
            _, facts = self._read(is_live)
            jobs: list[dict[str, Any]] = facts["jobs"]
            return {"counts": facts["counts"], "page": facts["live"], **{JOB + job["id"]: job for job in jobs}}

    def html(self, cursor: str, told: Mapping[str, Any], *, is_live: bool) -> str:
        """Return the page of what was read last.

        Args:
            cursor: Up to which change of the feed it tells everything.
            told: The values of the feed at that moment, without those of jobs.
            is_live: As of `values`, as are the errors.
        """
        require_run(self.folder)
        with self._lock:
            material, found, was_live = self._last or (*self._read(is_live), is_live)
            if was_live != is_live:
                material, found = self._read(is_live)
            live = {"cursor": cursor, "page": found["live"], "told": dict(told)}
            facts = {**found, "live": live, "picks": {**found["picks"], "served": True}}
            known = self._packed = self._packed or packed(details(material, self._known(material)))
        return "".join(rendered(material, facts, known, live=True))

    def details(self, name: str) -> dict[str, object] | None:
        """Return what is looked at of an entry only when it is opened; None where there is no such one.

        Args:
            name: The entry's name: the job's id, or ``job/output``.
        """
        with self._lock:
            if self._last is None:
                return None
            material, *_ = self._last
            found = [entry for entry in material.entries if entry.name == name]
            one = replace(material, entries=tuple(found))
            return next(details(one, self._known(one)), None)

    def picks(self) -> bytes:
        """Return what ``picks.json`` of the run says; where there is none, one that says nothing.

        Raises:
            InputError: Something in it is wrong.
            RunFolderError: The run folder cannot be read.
        """
        return dumped_picks(read_picks(read_material(self.folder).store) or Picks(format=FORMAT))

    def save_picks(self, content: bytes) -> bytes:
        """Add to ``picks.json`` what a browser says, and return all that it says then.

        Args:
            content: As of such a file.

        Raises:
            InputError: Something in it, or in what is there, is wrong.
            RunFolderError: The run folder cannot be read or written.
        """
        return dumped_picks(save_picks(read_material(self.folder), content, where="picks").picks)

    def file(self, key: str) -> ServedFile | None:
        """Return a picture by its key in the run folder; None where the page shows none of this name, or it is no plain file."""
        found = self._files.get(key)
        if found is None or (isinstance(found.store, LocalStore) and not is_plain_inside(self.folder, self.folder / key)):
            return None
        return found

    def _read(self, is_live: bool) -> tuple[Material, dict[str, Any]]:
        material = read_material(self.folder)
        is_told = not is_live and is_measured(material)
        thumbnails = self._shown(material)
        self._files = dict(_files(material, thumbnails))
        measured: Mapping[str, Measured] = {}
        suggestion: Suggestion | None = None
        notes: tuple[str, ...] = (_NOT_MEASURED if is_live else _NO_REPORT,)
        if is_told:
            measured, suggestion, notes = judged(material, usual_axis(material), self._limits())
        facts: dict[str, Any] = overview(material, measured, suggestion, thumbnails, notes)
        facts["live"] = {"plan": _plan(facts), "is_measured": is_told}
        self._last, self._packed = (material, facts, is_live), ""
        return material, facts

    def _shown(self, material: Material) -> dict[str, Thumbnail]:
        """Return the thumbnails of all pictures by their paths; of those that lack, as many are made as there is time for."""
        until = time.monotonic() + _SECONDS
        self.is_complete = True
        with folder_errors(self.folder):
            # What is shown first is made first.
            for row in sorted(_pictures(material), key=lambda row: row.role == ORIGINAL):
                place = row.path, row.sha256
                if place not in self._thumbnails and time.monotonic() < until:
                    self._thumbnails[place] = make_thumbnail(self.folder, row, material.store)
                self.is_complete &= place in self._thumbnails
        return self._known(material)

    def _known(self, material: Material) -> dict[str, Thumbnail]:
        """Return what is known of all pictures, by their paths."""
        return {row.path: self._thumbnails.get((row.path, row.sha256), _BEING_MADE) for row in _pictures(material)}


def _pictures(material: Material) -> Iterator[FileRow]:
    for entry in material.entries:
        for rows in entry.pictures.values():
            yield from rows


def _files(material: Material, thumbnails: Mapping[str, Thumbnail]) -> Iterator[tuple[str, ServedFile]]:
    """Yield all files that the page may ask for, by their keys; where thumbnails and copies lie in the folder, they come first."""
    folder = LocalStore(material.folder)
    for row in _pictures(material):
        yield row.path, ServedFile(material.store, row.path, row.sha256)
        if thumbnail := thumbnails[row.path].path:
            yield thumbnail, ServedFile(folder, thumbnail, thumbnail)
    for _, each in material.differences:
        for key in (each.actual, each.expected, each.difference):
            if key:
                yield key, ServedFile(folder, key)


def _plan(facts: Mapping[str, Any]) -> str:
    """Return what is equal for pages that show the same jobs in the same places."""
    jobs = [(job["id"], job["at"]) for job in facts["jobs"]]
    return hashlib.sha256(repr((jobs, facts["axes"])).encode("utf-8", "backslashreplace")).hexdigest()[:16]
