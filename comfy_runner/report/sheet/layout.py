"""How large a sheet and all its parts are, and what goes on which page: arithmetic only. All lengths are pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from comfy_runner.report.sheet.grid import Band, Grid, Row, Slot
from comfy_runner.report.sheet.lettering import legible, length, lines

MOST_SIDE = 16_384
"""Longest side of a page: what viewers, browsers and graphics cards take."""

MOST_PIXELS = 100_000_000
"""Largest page."""

LEAST_CELL = 96
"""Smallest longer side of a cell: below, nothing can be seen in it."""

_LEAST_SHORT = 48  # a panorama's cell is not so low that its words do not fit
_SHRINK = 0.95
_HEADING_LINES = 3


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, by its left upper corner."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The lengths of a sheet, all from the size of its cells.

    Attributes:
        cell: The longer side of the largest picture.
        width: Of a cell.
        height: Of a cell, without what is written below it.
        text: Size of labels and headings.
        small: Size of what is less important.
        gap: Between cells.
        margin: Around everything.
        gutter: Width of the rows' labels; 0 where there are none.
        caption: How many lines are written below each cell.
        heading: Height of the columns' headings.
    """

    cell: int
    width: int
    height: int
    text: int
    small: int
    gap: int
    margin: int
    gutter: int
    caption: int
    heading: int

    @property
    def line(self) -> int:
        """Height of one line of a caption."""
        return leading(self.small)

    @property
    def title(self) -> int:
        """Height of a page's first line."""
        return leading(self.text) + self.gap

    @property
    def step(self) -> int:
        """From one column to the next."""
        return self.width + self.gap

    @property
    def heading_of_band(self) -> int:
        """Height of a band's heading."""
        return leading(self.text) + 2 * self.gap

    @property
    def originals(self) -> int:
        """Height of a band's originals with the space below them."""
        return self.height + 2 * self.gap

    def band(self, band: Band) -> int:
        """Return the height of what stands above a band's rows."""
        return (self.heading_of_band if band.heading else 0) + (self.originals if band.originals else 0)

    def row(self, row: Row) -> int:
        """Return the height of a row with the space below it."""
        lines = 2 if row.originals else 1
        return lines * (self.height + self.gap) + self.caption * self.line + self.gap


@dataclass(frozen=True, slots=True)
class Page:
    """What one file shows.

    Attributes:
        columns: Which of the grid's columns.
        bands: The rows.
        width: Of the picture.
        height: Of the picture.
    """

    columns: slice
    bands: tuple[Band, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Place:
    """Something that is drawn.

    Attributes:
        kind: What it is.
        box: Where. A cell's is that of its picture.
        texts: What is written there.
        slot: The picture of a cell; None where no job belongs.
    """

    kind: str
    box: Box
    texts: tuple[str, ...] = ()
    slot: Slot | None = None


def leading(size: int) -> int:
    """Return the height of a line of text of this size."""
    return math.ceil(size * 1.35)


def shape(sizes: list[tuple[int, int]]) -> tuple[float, float]:
    """Return width and height of the box around pictures of these sizes, each made so large that its longer side is 1."""
    longer = [(width / max(width, height), height / max(width, height)) for width, height in sizes if width > 0 and height > 0]
    if not longer:
        return 1.0, 0.75
    return max(width for width, _ in longer), max(height for _, height in longer)


def scaled(grid: Grid, cell: int, box: tuple[float, float], *, numbers: str, remarks: bool) -> Scale:
    """Return the lengths of a sheet.

    Args:
        grid: The sheet.
        cell: The longer side of the largest picture.
        box: Of `shape`.
        numbers: The longest line of numbers below a cell; empty where there is none.
        remarks: Whether there is a line of words below some cell.
    """
    text, small, gap = max(12, round(cell * 0.05)), max(10, round(cell * 0.043)), max(5, round(cell * 0.03))
    width, height = (max(_LEAST_SHORT, round(cell * side)) for side in box)
    labels = {label for band in grid.bands for row in band.rows for label in row.labels}
    if any(band.originals or row.originals for band in grid.bands for row in band.rows):
        labels |= {"original", "upscaled"}
    room = max(3 * leading(small), round(cell * 0.9))
    # Measuring is slow, and the longest text is about the widest.
    widest = max((length(legible(label), text) for label in sorted(labels, key=len)[-50:]), default=0)
    values = max([1, *(len(lines(value, text, width=width, most=_HEADING_LINES)) for _, value in grid.headings)])
    fields = leading(small) if any(field for field, _ in grid.headings) else 0
    return Scale(
        cell=cell,
        width=width,
        height=height,
        text=text,
        small=small,
        gap=gap,
        margin=2 * gap,
        gutter=min(room, math.ceil(widest)) + 2 * gap if labels else 0,
        caption=(0 if not numbers else 1 if length(numbers, small) <= width else 2) + remarks,
        heading=fields + values * leading(text) + gap,
    )


def paged(grid: Grid, scale: Scale) -> list[Page]:
    """Return the pages that a sheet takes at this scale: one, unless that would be too large.

    Every page has the headings, and the originals where they have a column; a row is never cut.
    """
    before = 2 * scale.margin + scale.gutter + (scale.step if grid.has_original else 0)
    most = max(1, (MOST_SIDE - before + scale.gap) // scale.step)
    # As evenly as it goes: a last page with one column would look forgotten.
    parts = math.ceil(len(grid.headings) / most)
    each = math.ceil(len(grid.headings) / parts)
    pages = []
    for start in range(0, len(grid.headings), each):
        columns = slice(start, start + each)
        width = before + len(grid.headings[columns]) * scale.step - scale.gap
        tallest = min(MOST_SIDE, MOST_PIXELS // width)
        pages += [Page(columns, bands, width, height) for bands, height in _stacks(grid, scale, tallest, columns)]
    return pages


def best(grid: Grid, cell: int, box: tuple[float, float], *, numbers: str, remarks: bool) -> tuple[Scale, list[Page]]:
    """Return the largest scale, up to the cell that is wanted, at which one page is enough; else pages of the smallest cells."""
    while True:
        scale = scaled(grid, cell, box, numbers=numbers, remarks=remarks)
        pages = paged(grid, scale)
        width, height = pages[0].width, pages[0].height
        fits = len(pages) == 1 and max(width, height) <= MOST_SIDE and width * height <= MOST_PIXELS
        if cell <= LEAST_CELL or fits:
            return scale, pages
        cell = max(LEAST_CELL, int(cell * _SHRINK))


def places(grid: Grid, scale: Scale, page: Page) -> Iterator[Place]:
    """Yield everything that a page shows but its title, from the top."""
    inner = page.width - 2 * scale.margin
    top = scale.margin + scale.title
    left = scale.margin + scale.gutter
    if grid.has_original:
        yield Place("heading", Box(left, top, scale.width, scale.heading), ("", "original"))
        left += scale.step
    for at, heading in enumerate(grid.headings[page.columns]):
        yield Place("heading", Box(left + at * scale.step, top, scale.width, scale.heading), heading)
    top += scale.heading
    for band in page.bands:
        if band.heading:
            yield Place("band", Box(scale.margin, top, inner, scale.heading_of_band), (band.heading,))
            top += scale.heading_of_band
        if band.originals:
            yield from _line(scale, ("original",), band.originals[page.columns], top)
            top += scale.originals
        for number, row in enumerate(band.rows):
            if scale.gutter and (number or band.originals):
                yield Place("line", Box(scale.margin, top - scale.gap, inner, 1))
            yield from _row(grid, scale, page, row, top)
            top += scale.row(row)


def _row(grid: Grid, scale: Scale, page: Page, row: Row, top: int) -> Iterator[Place]:
    cells, labels = row.cells[page.columns], row.labels
    if row.originals:
        yield from _line(scale, (*labels, "original"), row.originals[page.columns], top)
        top += scale.height + scale.gap
        labels = ("upscaled",)
    yield from _line(scale, labels, (row.original, *cells) if grid.has_original else cells, top)


def _line(scale: Scale, labels: tuple[str, ...], slots: tuple[Slot | None, ...], top: int) -> Iterator[Place]:
    if labels:
        yield Place("label", Box(scale.margin, top, scale.gutter - 2 * scale.gap, scale.height), labels)
    left = scale.margin + scale.gutter
    for at, slot in enumerate(slots):
        yield Place("cell", Box(left + at * scale.step, top, scale.width, scale.height), slot=slot)


def _stacks(grid: Grid, scale: Scale, tallest: int, columns: slice) -> Iterator[tuple[tuple[Band, ...], int]]:
    """Yield the rows of each page with its height; rows that have nothing in these columns are left out of the page."""
    empty = 2 * scale.margin + scale.title + scale.heading - scale.gap
    stack: list[tuple[Band, Row]] = []
    height = empty
    rows = [(band, row) for band in grid.bands for row in band.rows if any(row.cells[columns])]
    for band, row in rows:
        more = scale.row(row) + (scale.band(band) if not stack or stack[-1][0] is not band else 0)
        if stack and height + more > tallest:
            yield _cut(stack), height
            # A band that goes on has its heading and its originals again.
            stack, height, more = [], empty, scale.row(row) + scale.band(band)
        stack.append((band, row))
        height += more
    if stack:
        yield _cut(stack), height


def _cut(stack: list[tuple[Band, Row]]) -> tuple[Band, ...]:
    grouped = (list(pairs) for _, pairs in groupby(stack, key=lambda pair: id(pair[0])))
    return tuple(replace(pairs[0][0], rows=tuple(row for _, row in pairs)) for pairs in grouped)
