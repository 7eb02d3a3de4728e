"""A sheet of crops: the places in which the pictures of one original differ most, cut out of each pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.report.dimensions import GridDimension, dimensions
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.thumbnails import signature_cells
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Entry, Material
from comfy_runner.report.sheet.drawing import Reader
from comfy_runner.report.sheet.grid import Band, Crop, Grid, Row, Slot, is_after_original, measured_slot, text_of
from comfy_runner.report.sheet.layout import LEAST_CELL
from comfy_runner.store.interface import Artifact
from comfy_runner.store.ledger_rows import FileRow

MOST_CROPS = 12
"""Places of a sheet of crops."""

_OWN = 0.75
"""By how much of a crop's side the middles of two crops are apart at least, so that each shows something of its own."""

_SHARE = 3  # of a small picture, a crop is a third

Signature = tuple[int, int, bytes]
"""Columns and rows of cells, and of each cell its luma and its fine contrast (`signature_cells`)."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen of the pictures of one original: their signatures, the original's first, and the size that they have."""

    signatures: tuple[Signature, ...]
    size: tuple[int, int]


def crop_grid(
    material: Material,
    count: int,
    *,
    cell: int,
    content: Callable[[FileRow], str],
    reader: Reader,
    measured: Mapping[str, Measured],
) -> tuple[Grid, int]:
    """Return a sheet of crops, and how long a side of a crop is in pixels: `cell`, or a third of pictures that are small.

    Each original is a band. Its first row is the original, scaled, with the places marked; each other row is a job of it. The
    first column shows the pictures whole, the others a place each, the same ones for all jobs of the band.

    Args:
        material: The run.
        count: How many places, from 1 to `MOST_CROPS`; there may be fewer that differ.
        cell: Longest side of a crop in pixels.
        content: Returns what is equal for files with equal pixels; nothing for a file that cannot be read.
        reader: Reads the pictures.
        measured: What is written below the whole pictures, by job.
    """
    known = dimensions(material)
    groups = _groups(material, known, content)
    looks = [_look(material, group, reader) for group in groups]
    long = max((max(look.size) for look in looks), default=0)
    side = max(LEAST_CELL, min(cell, long // _SHARE))
    bands = [_band(group, look, known, len(groups), count, side, measured) for group, look in zip(groups, looks, strict=True)]
    across = max((len(row.cells) for band in bands for row in band.rows), default=1)
    filled = [replace(band, rows=tuple(_filled(row, across) for row in band.rows)) for band in bands]
    slots = [slot for band in bands for row in band.rows for slot in row.cells if slot]
    grid = Grid(
        headings=(("", "whole"), *(("place", str(number)) for number in range(1, across))),
        has_original=True,
        bands=tuple(filled),
        notes=(),
        numbers=max((slot.numbers for slot in slots), key=len, default=""),
        remarks=any(slot.remark for slot in slots),
    )
    return grid, side


def places(signatures: Sequence[Signature], count: int, apart: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the places in which pictures differ most, worst first, from 0 to 1 from the left and the top.

    As in the page, a cell counts by the spread of its luma and of its fine contrast; where nothing differs, or there is one
    picture only, by its fine contrast alone.

    Args:
        signatures: Of the pictures.
        count: How many places at most.
        apart: How far two of them are apart at least, across or down.
    """
    columns, rows, _ = signatures[0]
    spread, busy = [], []
    for at in range(columns * rows):
        x, y = (at % columns + 0.5) / columns, (at // columns + 0.5) / rows
        lumas, contrasts = zip(*(_cell(signature, x, y) for signature in signatures), strict=True)
        spread.append((max(lumas) - min(lumas) + max(contrasts) - min(contrasts), (x, y)))
        busy.append((contrasts[0], (x, y)))
    found: list[tuple[float, float]] = []
    for _, (x, y) in sorted(spread if any(score for score, _ in spread) else busy, key=lambda one: -one[0]):
        if len(found) < count and all(abs(x - left) >= apart[0] or abs(y - top) >= apart[1] for left, top in found):
            found.append((x, y))
    return found


def _cell(signature: Signature, x: float, y: float) -> tuple[int, int]:
    columns, rows, values = signature
    at = 2 * (min(rows - 1, int(y * rows)) * columns + min(columns - 1, int(x * columns)))
    return values[at], values[at + 1]


def _groups(material: Material, known: Sequence[GridDimension], content: Callable[[FileRow], str]) -> list[list[Entry]]:
    """Return the jobs by their originals: those that differ in nothing before it, or whose originals have the same pixels."""
    before = [each.places(material.entries) for each in known if not is_after_original(each)]
    by_values: dict[tuple[int, ...], list[Entry]] = {}
    for number, entry in enumerate(material.entries):
        by_values.setdefault(tuple(each[number] for each in before), []).append(entry)
    groups: dict[object, list[Entry]] = {}
    for key, entries in by_values.items():
        file = next((files[0] for entry in entries if (files := entry.pictures.get(ORIGINAL))), None)
        groups.setdefault((file and content(file)) or key, []).extend(entries)
    return list(groups.values())


def _look(material: Material, entries: Sequence[Entry], reader: Reader) -> _Looked:
    original = next((entry for entry in entries if entry.pictures.get(ORIGINAL)), None)
    files = [*([original.pictures[ORIGINAL][0]] if original else []), *(_first(entry) for entry in entries)]
    signatures, sizes = [], []
    for number, file in enumerate(files):
        if file is None:
            continue
        try:
            picture, size = reader(Artifact(material.store, file.path))
        except ComfyRunnerError:
            continue  # it is told of when it is to be drawn
        signatures.append(signature_cells(picture.convert("L")))
        if number or not original:
            sizes.append(size)
    return _Looked(tuple(signatures), sizes[0] if sizes else (0, 0))


def _first(entry: Entry) -> FileRow | None:
    return next(iter(entry.pictures.get(UPSCALED, ())), None)


def _band(
    entries: Sequence[Entry],
    look: _Looked,
    known: Sequence[GridDimension],
    groups: int,
    count: int,
    side: int,
    measured: Mapping[str, Measured],
) -> Band:
    varying = [each for each in known if len(set(each.places(entries))) > 1]
    common = [each for each in known if each not in varying]
    width, height = look.size
    parts: tuple[Crop, ...] = ()
    if look.signatures and width:
        apart = min(1.0, _OWN * side / width), min(1.0, _OWN * side / height)
        parts = tuple(Crop(place, look.size, side) for place in places(look.signatures, count, apart))
    first = next((entry for entry in entries if entry.pictures.get(ORIGINAL)), None)
    rows = [Row((f"{ORIGINAL}, scaled",), tuple(_cells(Slot(first, ORIGINAL, marks=parts), parts)))] if first else []
    for number, entry in enumerate(entries):
        whole = measured_slot(entry, 0, measured.get(entry.name))
        if not first and not number:
            whole = replace(whole, marks=parts)
        labels = tuple(text_of(each, entry) for each in varying) or (UPSCALED,)
        rows.append(Row(labels, tuple(_cells(whole, parts))))
    return Band(" · ".join(text_of(each, entries[0]) for each in common) if groups > 1 else "", tuple(rows))


def _cells(whole: Slot, parts: Sequence[Crop]) -> Iterator[Slot]:
    """Yield a picture whole, then its parts, which have no words below them; of one that is not there, its place alone."""
    yield whole
    if whole.file is not None:
        yield from (replace(whole, numbers="", remark="", marks=(), part=part) for part in parts)


def _filled(row: Row, across: int) -> Row:
    return replace(row, cells=(*row.cells, *[None] * (across - len(row.cells))))
