"""The page of a run with its full-size pictures in one zip: unpacked anywhere, it opens as it does in the run folder."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final, cast

from comfy_runner.recipe.names import slug
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.joined_facts import JoinedRun
from comfy_runner.report.page.page import PAGE, packed, rendered, thumbnails_of
from comfy_runner.report.page.page_content import details, overview
from comfy_runner.report.run_data import Material
from comfy_runner.report.suggest import Suggestion
from comfy_runner.report.target import write_target
from comfy_runner.store.interface import Artifact
from comfy_runner.store.local import LocalStore, folder_errors
from comfy_runner.text_files import url_of
from comfy_runner.wording import counted, named

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say; the same files make the same zip
_PLAIN: Final = (".csv", ".html", ".json")
_READABLE: Final = 0o644 << 16
_CHUNK: Final = 1024 * 1024


def write_zip(
    target: Path,
    material: Material,
    measured: Mapping[str, Measured],
    suggestion: Suggestion | None,
    *,
    notes: Sequence[str] = (),
    beside: Sequence[str] = (),
    joined: Sequence[JoinedRun] = (),
) -> str:
    """Write a zip with the page of a run, its pictures and thumbnails; an older one is replaced.

    All of it lies in one folder that is named by the run, under the paths that it has in the run folder: nothing is unpacked
    outside of that. Pictures are not compressed once more.

    Args:
        target: The file.
        material: The run.
        measured: What became of measuring, by the entries' names; those that are missing were not measured.
        suggestion: Which value is suggested, or why none is; None where that was not asked or there is no axis.
        notes: What the reader has to know besides, a sentence each.
        beside: Further files of the run folder, by their paths in it; those that are not there are left out.
        joined: The runs, where the page is of several.

    Returns:
        Which pictures are gone and therefore not in it, a sentence; empty where all are.

    Raises:
        RunFolderError: A file cannot be read or written, or the disk is full.
    """
    with folder_errors(material.folder):
        thumbnails = thumbnails_of(material)
    here = LocalStore(material.folder)
    facts = overview(
        material, measured, suggestion, thumbnails, notes, url=here.url, joined=[replace(run, url="") for run in joined]
    )
    known = packed(details(material, thumbnails))
    copies = [key for _, each in material.differences for key in (each.actual, each.expected, each.difference) if key]
    files = {row.path: material.artifact(row) for entry in material.entries for rows in entry.pictures.values() for row in rows}
    files |= {key: Artifact(here, key) for key in (*beside, *copies, *(each.path for each in thumbnails.values() if each.path))}
    gone = [key for key, file in files.items() if file.store.stat(key) is None]
    lost = [key for key in gone if key not in beside]
    folder = slug(url_of(material.folder).rpartition("/")[2] or material.folder.absolute().name) or "run"

    def write(to: BinaryIO) -> None:
        with zipfile.ZipFile(to, "w") as zipped:
            for key, file in sorted(files.items()):
                if key not in gone:
                    _add(zipped, f"{folder}/{key}", file)
            with zipped.open(_entry(f"{folder}/{PAGE}"), "w") as page:
                rendered(material, facts, known).dump(cast(BinaryIO, page), "utf-8")

    write_target(target, write, what="the zip")
    return f"{counted(len(lost), 'picture is', 'pictures are')} gone and not in the zip: {named(lost)}" if lost else ""


def _add(zipped: zipfile.ZipFile, name: str, file: Artifact) -> None:
    with folder_errors(file), file.open() as source, zipped.open(_entry(name), "w", force_zip64=True) as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(_PLAIN) else zipfile.ZIP_STORED
    entry.external_attr = _READABLE
    return entry
