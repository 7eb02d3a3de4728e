"""Which picture stands where in a labelled grid: bands of rows, rows of cells, each with its labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from comfy_runner.errors import Note, UsageError
from comfy_runner.report.dimensions import GridDimension, dimensions, usual_layout
from comfy_runner.report.measures import Measured
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Entry, Material, find_axis, main_axis
from comfy_runner.store.ledger_rows import FileRow

_ON_A_LINE = 6  # pictures of a single dimension; more are wrapped


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a picture that is shown pixel by pixel.

    Attributes:
        middle: From 0 to 1, from the left and the top.
        size: Of the whole picture, width and height in pixels; one that has another is scaled to it.
        side: How long a side of the part is, in pixels, where the picture is no smaller.
    """

    middle: tuple[float, float]
    size: tuple[int, int]
    side: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Its left, top, right and bottom, in pixels of the whole picture."""
        edges = []
        for middle, length in zip(self.middle, self.size, strict=True):
            side = min(self.side, length)
            start = max(0, min(length - side, round(middle * length - side / 2)))
            edges.append((start, start + side))
        (left, right), (top, bottom) = edges
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Slot:
    """A picture that a cell shows, or would show if it were there.

    Attributes:
        entry: The job.
        role: Which of its outputs.
        number: Which picture of that output, from 0.
        numbers: What was measured of it, to be written below it; empty where nothing was.
        remark: What is wrong with it, likewise; empty where nothing is.
        caption: What tells it from the others, below it; empty where its row and its column do.
        part: What is shown of it; None for the whole picture.
        marks: The parts that are marked in it, with their numbers from 1.
    """

    entry: Entry
    role: str
    number: int = 0
    numbers: str = ""
    remark: str = ""
    caption: str = ""
    part: Crop | None = None
    marks: tuple[Crop, ...] = ()

    @property
    def file(self) -> FileRow | None:
        """The picture; None where there is none."""
        files = self.entry.pictures.get(self.role, ())
        return files[self.number] if self.number < len(files) else None


_Slots = tuple[Slot | None, ...]
"""One per column; None where there is no such job."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells that stand beside each other.

    Attributes:
        labels: What they have in common, one text per axis.
        cells: The upscaled pictures; what they were made from before them, where that has a column.
        originals: What each was made from, above them; empty where that is one and the same.
    """

    labels: tuple[str, ...]
    cells: _Slots
    originals: _Slots = ()


@dataclass(frozen=True, slots=True)
class Band:
    """Rows that belong together.

    Attributes:
        heading: What stands above them; empty where one band is all.
        rows: The rows.
        originals: What all pictures of a column were made from, above the rows; empty where that is not one and the same.
    """

    heading: str
    rows: tuple[Row, ...]
    originals: _Slots = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """A whole sheet.

    Attributes:
        headings: Field and value of each column.
        has_original: Whether the first column is that of the originals.
        bands: The rows.
        notes: What was decided that a user may not expect.
        numbers: The longest line of numbers below a cell; empty where there is none.
        remarks: Whether there is a line of words below some cell.
        captions: The captions of all cells; empty where rows and columns say enough.
    """

    headings: tuple[tuple[str, str], ...]
    has_original: bool
    bands: tuple[Band, ...]
    notes: tuple[Note, ...]
    numbers: str
    remarks: bool
    captions: tuple[str, ...] = ()


def arrange(
    material: Material,
    *,
    rows: str | None,
    columns: str | None,
    content: Callable[[FileRow], str],
    measured: Mapping[str, Measured] | None = None,
) -> Grid:
    """Put every job of a run into a grid.

    Where nothing is named, the columns and rows are those of `usual_layout`, each combination of the rows' dimensions on a row of
    its own, or the pictures are a wrapped gallery; few values of a single dimension stand on one line. With a field of the rows or
    the columns named, every combination of what remains has its own band, so that no job is left out. Fields that move together
    go together. A job that would stand where another does already gets a row of its own below.

    Where the columns are of a field that makes the originals differ, such as the seed, one original before the row would say
    little. Then the originals stand above: once for all rows where the rows leave them as they are, else in each row.

    Args:
        material: The run.
        rows: The field of the rows.
        columns: The field of the columns.
        content: Returns what is equal for files with equal pixels; nothing for a file that cannot be read.
        measured: What is written below the pictures, by job; of several pictures of an output it holds for the first.

    Raises:
        UsageError: A field is no axis, or both are the same or move together.
    """
    known = dimensions(material)
    if rows is None and columns is None and _is_gallery(material, known):
        return _gallery(material, known, content, measured or {})
    across, down, rest = _dimensions(material, known, rows, columns)
    headings = [(across.name, text) for text in across.labels] if across else [("", _output(material))]
    placed = _placed(material, across, down, rest, measured or {})
    slots = [slot for row in placed.values() for slot in row.values()]
    has_originals = any(entry.pictures.get(ORIGINAL) for entry in material.entries)
    differ = has_originals and any(_differ(map(_original, row.values()), content) for row in placed.values())
    # These fields come after the original, so differences are the servers', and too small to be worth a line.
    above = differ and not (across is not None and is_after_original(across))
    notes = []
    if above:
        notes.append(Note("the originals are above the upscaled pictures, because those of a row differ", level="changed"))
    elif differ:
        notes.append(Note("each row shows one original, although those of its jobs differ in a few pixels"))
    if any(slot.number and slot.file for slot in slots) and any(slot.numbers for slot in slots):
        notes.append(Note("if a job has several pictures, only the first is measured"))
    has_column = has_originals and not above
    bands: dict[tuple[int, ...], tuple[str, list[Row]]] = {}
    for (band, _, again), row in sorted(placed.items(), key=lambda item: item[0]):
        cells = [row.get(column) for column in range(len(headings))]
        originals = [slot and _original(slot) for slot in cells]
        entry = next(iter(row.values())).entry
        labels = [*(text_of(each, entry) for each in down), *([f"picture {again + 1}"] if again else [])]
        line = Row(tuple(labels), (*([_first(originals)] if has_column else []), *cells), tuple(originals if above else ()))
        bands.setdefault(band, (" · ".join(text_of(each, entry) for each in rest), []))[1].append(line)
    same = all(map(is_after_original, down))
    return Grid(
        headings=(*([("", ORIGINAL)] if has_column else []), *headings),
        has_original=has_column,
        bands=tuple(_band(heading, lines, None if same else content) for heading, lines in bands.values()),
        notes=tuple(notes),
        numbers=max((slot.numbers for slot in slots), key=len, default=""),
        remarks=any(slot.remark for slot in slots),
    )


def _is_gallery(material: Material, known: Sequence[GridDimension]) -> bool:
    if len(known) != 1:
        return bool(known) and usual_layout(material, known).is_gallery
    # What comes after the original is held against it on one line.
    return len(known[0].labels) > _ON_A_LINE and not is_after_original(known[0])


def _gallery(
    material: Material, known: Sequence[GridDimension], content: Callable[[FileRow], str], measured: Mapping[str, Measured]
) -> Grid:
    """Return pictures one after the other, about as many beside as below each other, each with its values below it."""
    slots = [
        replace(measured_slot(entry, number, measured.get(entry.name)), caption=" · ".join(text_of(each, entry) for each in known))
        for entry in material.entries
        for number in range(max(1, len(entry.pictures.get(UPSCALED, ()))))
    ]
    originals = [_original(slot) for slot in slots]
    has_originals = any(slot.file for slot in originals)
    one = has_originals and not _differ(originals, content)
    above = has_originals and not one
    width = math.ceil(math.sqrt(len(slots) * (2 if above else 1)))
    rows = []
    for start in range(0, len(slots), width):
        some, gaps = slots[start : start + width], [None] * (width - len(slots[start : start + width]))
        first = [_first(originals)] if one and start == 0 else [None] if one else []
        rows.append(Row((), (*first, *some, *gaps), (*map(_original, some), *gaps) if above else ()))
    return Grid(
        headings=(*([("", ORIGINAL)] if one else []), *[("", "")] * width),
        has_original=one,
        bands=(Band("", tuple(rows)),),
        notes=(),
        numbers=max((slot.numbers for slot in slots), key=len, default=""),
        remarks=any(slot.remark for slot in slots),
        captions=tuple(slot.caption for slot in slots),
    )


def _placed(
    material: Material,
    across: GridDimension | None,
    down: Sequence[GridDimension],
    rest: Sequence[GridDimension],
    measured: Mapping[str, Measured],
) -> dict[tuple[tuple[int, ...], tuple[int, ...], int], dict[int, Slot]]:
    """Return the pictures of each row by column, by its band, its place there, and how many rows for that place precede it."""
    places = {each.name: each.places(material.entries) for each in (across, *down, *rest) if each}

    def place(number: int, some: Sequence[GridDimension]) -> tuple[int, ...]:
        return tuple(places[each.name][number] for each in some)

    placed: dict[tuple[tuple[int, ...], tuple[int, ...], int], dict[int, Slot]] = {}
    for at, entry in enumerate(material.entries):
        column = place(at, [across])[0] if across else 0
        where = place(at, rest), place(at, down)
        for number in range(max(1, len(entry.pictures.get(UPSCALED, ())))):
            again = 0
            while column in placed.setdefault((*where, again), {}):
                again += 1
            placed[(*where, again)][column] = measured_slot(entry, number, measured.get(entry.name))
    return placed


def measured_slot(entry: Entry, number: int, found: Measured | None) -> Slot:
    """Return a cell's upscaled picture with what is written below it, if it is there.

    Args:
        entry: The job.
        number: Which picture of that output, from 0.
        found: What was measured of it; of several pictures it holds for the first.
    """
    slot = Slot(entry, UPSCALED, number)
    if slot.file is None:
        return slot
    measures, problem = (found.measures, found.problem) if found and number == 0 else (None, "")
    remarks = [entry.row.state if entry.row.state != "done" else "", *(measures.vetoes if measures else ()), problem]
    numbers = f"detail {measures.detail:.2f} · drift {measures.drift:.2f}" if measures else ""
    return replace(slot, numbers=numbers, remark=", ".join(filter(None, remarks)))


def is_after_original(dimension: GridDimension) -> bool:
    """Return whether a dimension can change upscaled pictures only."""
    return all(axis.field.startswith("upscale.") for axis in dimension.axes)


def _dimensions(
    material: Material, known: Sequence[GridDimension], rows: str | None, columns: str | None
) -> tuple[GridDimension | None, list[GridDimension], list[GridDimension]]:
    """Return the dimension of the columns, those of the rows, and those that remain."""

    def named(name: str, option: str) -> GridDimension:
        axis = find_axis(material, name, option)
        return next(each for each in known if axis in each.axes)

    down = named(rows, "--rows") if rows is not None else None
    if columns is not None:
        across: GridDimension | None = named(columns, "--columns")
        if across == down:
            what = (
                "must be another axis than the rows'" if len(known) == len(material.axes) else "moves together with the rows' axis"
            )
            raise UsageError(f"{what} (got {columns})", where="--columns")
    elif down is None:
        across = usual_layout(material, known).columns or next(iter(known), None)
    else:
        free = [each for each in known if each != down]
        usual = main_axis(replace(material, axes=tuple(axis for axis in material.axes if any(axis in each.axes for each in free))))
        across = next((each for each in free if usual in each.axes), None)
    others = [each for each in known if each not in (across, down)]
    return (across, [down], others) if down else (across, others, [])


def text_of(dimension: GridDimension, entry: Entry) -> str:
    """Return what a job has of a dimension, with the dimension's name where it needs one."""
    text = dimension.labels[dimension.place(entry)]
    # What several fields are called together says what it is.
    return text if len(dimension.axes) > 1 else f"{dimension.name} {text}"


def _output(material: Material) -> str:
    """Return what all pictures are called: their output role, if it is one."""
    roles = {entry.output for entry in material.entries}
    return roles.pop() if len(roles) == 1 else UPSCALED


def _original(slot: Slot) -> Slot:
    """Return what an upscaled picture was made from: the original of its number, or the only one."""
    return Slot(slot.entry, ORIGINAL, slot.number if slot.number < len(slot.entry.pictures.get(ORIGINAL, ())) else 0)


def _first(slots: Iterable[Slot | None]) -> Slot | None:
    """Return the first slot with a picture, or else the first."""
    there = [slot for slot in slots if slot]
    return next((slot for slot in there if slot.file), there[0] if there else None)


def _differ(slots: Iterable[Slot | None], content: Callable[[FileRow], str]) -> bool:
    files = [slot.file for slot in slots if slot and slot.file]
    if len({file.sha256 for file in files}) < 2:
        return False
    # A file that cannot be read differs from nothing.
    return len({found for file in files if (found := content(file))}) > 1


def _band(heading: str, rows: list[Row], content: Callable[[FileRow], str] | None) -> Band:
    """Return rows as a band, with the originals above it where all rows share them.

    Args:
        heading: What stands above the band.
        rows: Its rows.
        content: Returns what is equal for files with equal pixels; None where rows cannot differ in their originals.
    """
    columns = list(zip(*(row.originals for row in rows), strict=True))
    if not columns or len(rows) < 2 or (content and any(_differ(column, content) for column in columns)):
        return Band(heading, tuple(rows))
    return Band(heading, tuple(replace(row, originals=()) for row in rows), tuple(map(_first, columns)))
