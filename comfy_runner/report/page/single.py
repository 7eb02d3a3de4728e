"""The page of a run as one file that opens anywhere, alone: its pictures are in it, made as small as a limit in bytes asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from comfy_runner.atomic_files import open_plain
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.embedding import EmbeddedPicture, PictureFile, Step, embed
from comfy_runner.report.page.joined_facts import JoinedRun
from comfy_runner.report.page.page import packed, rendered, thumbnails_of
from comfy_runner.report.page.page_content import details, overview
from comfy_runner.report.page.thumbnails import LONG_SIDE
from comfy_runner.report.run_data import Material
from comfy_runner.report.suggest import Suggestion
from comfy_runner.report.target import write_target
from comfy_runner.store.interface import Artifact
from comfy_runner.store.local import LocalStore, folder_errors

_FOR_NOTE = 1000
"""Bytes of the page kept free for what it says of its pictures."""

_FOR_ID = 8  # bytes by which the id of a thumbnail may be longer than that of its picture


def write_single(
    target: Path,
    material: Material,
    measured: Mapping[str, Measured],
    suggestion: Suggestion | None,
    *,
    notes: Sequence[str] = (),
    most: int,
    quality: int | None = None,
    joined: Sequence[JoinedRun] = (),
) -> str:
    """Write the page of a run as one file; an older one is replaced, and thumbnails that lack are made in the run folder.

    Args:
        target: The file.
        material: The run.
        measured: What became of measuring, by the entries' names; those that are missing were not measured.
        suggestion: Which value is suggested, or why none is; None where that was not asked or there is no axis.
        notes: What the reader has to know besides, a sentence each.
        most: Largest size of the file, in bytes.
        quality: Of its pictures, as WebP, from 1 to 100; None for the very files where they fit, or else 90 and less.
        joined: The runs, where the page is of several.

    Returns:
        What was done to the pictures, a sentence; empty where they are the very files.

    Raises:
        UsageError: The page is larger than the limit, however small its pictures are.
        RunFolderError: A file cannot be written, or the disk is full.
    """
    with folder_errors(material.folder):
        thumbnails = thumbnails_of(material)
    # The same pixels are embedded once.
    places = {path: thumbnail.path for path, thumbnail in thumbnails.items() if thumbnail.path}
    first = {place: path for path, place in reversed(places.items())}
    ids = {place: f"picture-{number}" for number, place in enumerate(first)}
    sources = [PictureFile(Artifact(material.store, path), material.folder / place) for place, path in first.items()]
    held = {path: ids[place] for path, place in places.items()}
    copies = LocalStore(material.folder)
    for key in (key for _, each in material.differences for key in (each.actual, each.expected, each.difference) if key):
        held[key] = f"picture-{len(sources)}"
        sources.append(PictureFile(Artifact(copies, key), material.folder / key))

    facts = overview(material, measured, suggestion, thumbnails, notes, held, joined=joined)
    known = packed(details(material, thumbnails))
    bare = sum(len(piece.encode()) for piece in rendered(material, facts, known, ()))
    room = most - bare - _FOR_NOTE
    pictures, step = embed(sources, room, quality)
    if step is None or step.side > LONG_SIDE:
        # Where they fit as well, the grid shows thumbnails, and large pictures are unpacked when they are looked at.
        large = {place: path for place, path in first.items() if max(thumbnails[path].width, thumbnails[path].height) > LONG_SIDE}
        small = _thumbnails(material.folder, large, room - sum(each.cost for each in pictures) - _FOR_ID * len(places))
        small_ids = {place: f"picture-{len(pictures) + number}" for number, place in enumerate(large if small else ())}
        held_small = {path: small_ids.get(place, ids[place]) for path, place in places.items()}
        facts = overview(material, measured, suggestion, thumbnails, notes, held, small=held_small, joined=joined)
        pictures = [*pictures, *small]
    note = ""
    if step is not None:
        is_full = all(max(each.width, each.height) <= step.side for each in thumbnails.values())
        facts["embedded"] = _how(step, is_full=is_full)
        note = f"the pictures in this page are {facts['embedded']}; fine differences may be caused by this"
        facts["notes"] = [*notes, note]
    write_target(target, lambda file: rendered(material, facts, known, pictures).dump(file, "utf-8"), what="the page")
    return note


def _thumbnails(folder: Path, places: Iterable[str], room: int) -> Sequence[EmbeddedPicture]:
    """Return thumbnails as they stand in a page; none where not all of them fit."""
    found = []
    for place in places:
        with folder_errors(folder / place), open_plain(folder / place) as file:
            found.append(EmbeddedPicture("image/webp", file.read()))
        room -= found[-1].cost
        if room < 0:
            return ()
    return found


def _how(step: Step, *, is_full: bool) -> str:
    side = "as large as they were" if is_full else f"at most {step.side} pixels long"
    return f"{side}, as WebP of quality {step.quality}"
