"""Which picture stands where in a labelled grid: bands of rows, rows of cells, each with its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from comfy_runner.errors import Note, UsageError
from comfy_runner.report.measures import Measured
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Axis, Entry, Material, find_axis, key, label, main_axis, short_name
from comfy_runner.store.ledger_rows import FileRow


@dataclass(frozen=True, slots=True)
class Slot:
    """A picture that a cell shows, or would show if it were there.

    Attributes:
        entry: The job.
        role: Which of its outputs.
        number: Which picture of that output, from 0.
        numbers: What was measured of it, to be written below it; empty where nothing was.
        remark: What is wrong with it, likewise; empty where nothing is.
    """

    entry: Entry
    role: str
    number: int = 0
    numbers: str = ""
    remark: str = ""

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
    """

    headings: tuple[tuple[str, str], ...]
    has_original: bool
    bands: tuple[Band, ...]
    notes: tuple[Note, ...]
    numbers: str
    remarks: bool


def arrange(
    material: Material,
    *,
    rows: str | None,
    columns: str | None,
    content: Callable[[FileRow], str],
    measured: Mapping[str, Measured] | None = None,
) -> Grid:
    """Put every job of a run into a grid.

    The columns are the denoise where that was swept, else the last axis that is not the rows'. The rows are all other axes
    together, or the one that is named; then every combination of what remains has its own band, so that no job is left out.
    A job that would stand where another does already gets a row of its own below.

    Where the columns are of a field that makes the originals differ, such as the seed, one original before the row would say
    little. Then the originals stand above: once for all rows where the rows leave them as they are, else in each row.

    Args:
        material: The run.
        rows: The field of the rows.
        columns: The field of the columns.
        content: Returns what is equal for files with equal pixels; nothing for a file that cannot be read.
        measured: What is written below the pictures, by job; of several pictures of an output it holds for the first.

    Raises:
        UsageError: A field is no axis, or both are the same.
    """
    across, down, rest = _axes(material, rows, columns)
    headings = [(short_name(material, across), label(value)) for value in across.values] if across else [("", _output(material))]
    placed = _placed(material, across, down, rest, measured or {})
    slots = [slot for row in placed.values() for slot in row.values()]
    has_originals = any(entry.pictures.get(ORIGINAL) for entry in material.entries)
    differ = has_originals and any(_differ(map(_original, row.values()), content) for row in placed.values())
    # These fields come after the original, so differences are the servers', and too small to be worth a line.
    above = differ and not (across is not None and _is_after_original(across))
    notes = []
    if above:
        notes.append(Note("the originals stand above the upscaled pictures, since those of a row differ", level="changed"))
    elif differ:
        notes.append(Note("each row shows one original, although those of its jobs are not the same to the last pixel"))
    if any(slot.number and slot.file for slot in slots) and any(slot.numbers for slot in slots):
        notes.append(Note("of several pictures of a job, the first alone is measured"))
    has_column = has_originals and not above
    bands: dict[tuple[int, ...], tuple[str, list[Row]]] = {}
    for (band, _, again), row in sorted(placed.items(), key=lambda item: item[0]):
        cells = [row.get(column) for column in range(len(headings))]
        originals = [slot and _original(slot) for slot in cells]
        entry = next(iter(row.values())).entry
        labels = [*(_text(material, axis, entry) for axis in down), *([f"picture {again + 1}"] if again else [])]
        line = Row(tuple(labels), (*([_first(originals)] if has_column else []), *cells), tuple(originals if above else ()))
        bands.setdefault(band, (" · ".join(_text(material, axis, entry) for axis in rest), []))[1].append(line)
    same = all(map(_is_after_original, down))
    return Grid(
        headings=(*([("", ORIGINAL)] if has_column else []), *headings),
        has_original=has_column,
        bands=tuple(_band(heading, lines, None if same else content) for heading, lines in bands.values()),
        notes=tuple(notes),
        numbers=max((slot.numbers for slot in slots), key=len, default=""),
        remarks=any(slot.remark for slot in slots),
    )


def _placed(
    material: Material, across: Axis | None, down: list[Axis], rest: list[Axis], measured: Mapping[str, Measured]
) -> dict[tuple[tuple[int, ...], tuple[int, ...], int], dict[int, Slot]]:
    """Return the pictures of each row by column, by its band, its place there, and how many rows for that place precede it."""
    orders = {axis.field: {key(value): at for at, value in enumerate(axis.values)} for axis in material.axes}

    def place(entry: Entry, axes: list[Axis]) -> tuple[int, ...]:
        return tuple(orders[axis.field][key(entry.values.get(axis.field))] for axis in axes)

    placed: dict[tuple[tuple[int, ...], tuple[int, ...], int], dict[int, Slot]] = {}
    for entry in material.entries:
        column = place(entry, [across])[0] if across else 0
        where = place(entry, rest), place(entry, down)
        for number in range(max(1, len(entry.pictures.get(UPSCALED, ())))):
            again = 0
            while column in placed.setdefault((*where, again), {}):
                again += 1
            placed[(*where, again)][column] = _slot(entry, number, measured.get(entry.name))
    return placed


def _slot(entry: Entry, number: int, found: Measured | None) -> Slot:
    """Return a cell's upscaled picture with what is written below it, if it is there."""
    slot = Slot(entry, UPSCALED, number)
    if slot.file is None:
        return slot
    measures, problem = (found.measures, found.problem) if found and number == 0 else (None, "")
    remarks = [entry.row.state if entry.row.state != "done" else "", *(measures.vetoes if measures else ()), problem]
    numbers = f"detail {measures.detail:.2f} · drift {measures.drift:.2f}" if measures else ""
    return replace(slot, numbers=numbers, remark=", ".join(filter(None, remarks)))


def _is_after_original(axis: Axis) -> bool:
    """Return whether an axis can change upscaled pictures only."""
    return axis.field.startswith("upscale.")


def _axes(material: Material, rows: str | None, columns: str | None) -> tuple[Axis | None, list[Axis], list[Axis]]:
    """Return the axis of the columns, those of the rows, and those that remain."""
    down = find_axis(material, rows, "--rows") if rows is not None else None
    if columns is not None:
        across: Axis | None = find_axis(material, columns, "--columns")
        if across == down:
            raise UsageError(f"must be another axis than the rows' (got {columns})", where="--columns")
    else:
        free = tuple(axis for axis in material.axes if axis != down)
        across = main_axis(replace(material, axes=free))
    others = [axis for axis in material.axes if axis not in (across, down)]
    return (across, [down], others) if down else (across, others, [])


def _text(material: Material, axis: Axis, entry: Entry) -> str:
    return f"{short_name(material, axis)} {label(entry.values.get(axis.field))}"


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
