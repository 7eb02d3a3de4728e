"""How large a sheet and all its parts are, and what goes on which page: arithmetic only. All lengths are pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comfy_runner.report.sheet.grid import Band, Grid, Row, Slot
from comfy_runner.report.sheet.lettering import leading, legible, length, lines

MOST_SIDE = 16_384
"""Longest side of a page: what viewers, browsers and graphics cards take."""

MOST_PIXELS = 100_000_000
"""Largest page."""

LEAST_CELL = 96
"""Smallest longer side of a cell: below, nothing can be seen in it."""

_LEAST_SHORT = 48  # a panorama's cell is not so low that its words do not fit
_SHRINK = 0.95
_HEADING_LINES = 3
_CAPTION_LINES = 3


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
        caption: Height of what is written below each cell.
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
    def title(self) -> int:
        """Height of a page's first line."""
        return leading(self.text) + self.gap

    @property
    def band_heading(self) -> int:
        """Height of a band's heading."""
        return leading(self.text) + 2 * self.gap

    def above(self, band: Band) -> int:
        """Return the height of what stands above a band's rows."""
        return (self.band_heading if band.heading else 0) + (self.height + 2 * self.gap if band.originals else 0)

    def row(self, row: Row) -> int:
        """Return the height of a row with the space below it."""
        return (2 if row.originals else 1) * (self.height + self.gap) + self.caption + self.gap


@dataclass(frozen=True, slots=True)
class Page:
    """What one file shows.

    Attributes:
        columns: Which of the grid's columns, by number.
        rows: The rows, each with its band.
        width: Of the picture.
        height: Of the picture.
    """

    columns: tuple[int, ...]
    rows: tuple[tuple[Band, Row], ...]
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


def shape(sizes: list[tuple[int, int]]) -> tuple[float, float]:
    """Return width and height of the box around pictures of these sizes, each made so large that its longer side is 1."""
    longer = [(width / max(width, height), height / max(width, height)) for width, height in sizes if width > 0 and height > 0]
    if not longer:
        return 1.0, 0.75
    return max(width for width, _ in longer), max(height for _, height in longer)


def scaled(grid: Grid, cell: int, box: tuple[float, float]) -> Scale:
    """Return the lengths of a sheet.

    Args:
        grid: The sheet.
        cell: The longer side of the largest picture.
        box: Of `shape`.
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
    has_headings = any(value for _, value in grid.headings)
    captions = [len(lines(text, small, width=width, most=_CAPTION_LINES)) for text in sorted(grid.captions, key=len)[-50:]]
    below = max(captions, default=0)
    below += (0 if not grid.numbers else 1 if length(grid.numbers, small) <= width else 2) + grid.remarks
    return Scale(
        cell=cell,
        width=width,
        height=height,
        text=text,
        small=small,
        gap=gap,
        margin=2 * gap,
        gutter=min(room, math.ceil(widest)) + 2 * gap if labels else 0,
        caption=below * leading(small),
        heading=fields + values * leading(text) + gap if has_headings else 0,
    )


def best(grid: Grid, cell: int, box: tuple[float, float]) -> tuple[Scale, list[Page]]:
    """Return the largest scale, up to the cell that is wanted, at which one page is enough; else pages of the smallest cells."""
    while True:
        scale = scaled(grid, cell, box)
        pages = paged(grid, scale)
        width, height = pages[0].width, pages[0].height
        fits = len(pages) == 1 and max(width, height) <= MOST_SIDE and width * height <= MOST_PIXELS
        if cell <= LEAST_CELL or fits:
            return scale, pages
        cell = max(LEAST_CELL, int(cell * _SHRINK))


def paged(grid: Grid, scale: Scale) -> list[Page]:
    """Return the pages that a sheet takes at this scale: one, unless that would be too large.

    Every page has the headings, and the originals where they have a column; a row is never cut.
    """
    beside, step = 2 * scale.margin + scale.gutter - scale.gap, scale.width + scale.gap
    always, others = range(grid.has_original), range(grid.has_original, len(grid.headings))
    most = max(1, (MOST_SIDE - beside) // step - len(always))
    # As evenly as it goes: a last page with one column would look forgotten.
    parts = math.ceil(len(others) / most)
    each = math.ceil(len(others) / parts)
    pages = []
    for start in range(0, len(others), each):
        some = others[start : start + each]
        width = beside + (len(always) + len(some)) * step
        # Rows that have nothing in these columns are left out.
        rows = [(band, row) for band in grid.bands for row in band.rows if any(row.cells[column] for column in some)]
        pages += [Page((*always, *some), stack, width, height) for stack, height in _stacks(scale, rows, width)]
    return pages


def _stacks(scale: Scale, rows: Sequence[tuple[Band, Row]], width: int) -> Iterator[tuple[tuple[tuple[Band, Row], ...], int]]:
    """Yield the rows of each page with its height."""
    tallest = min(MOST_SIDE, MOST_PIXELS // width)
    height = empty = 2 * scale.margin + scale.title + scale.heading - scale.gap
    stack: list[tuple[Band, Row]] = []
    for band, row in rows:
        more = scale.row(row) + (scale.above(band) if not stack or stack[-1][0] is not band else 0)
        if stack and height + more > tallest:
            yield tuple(stack), height
            # A band that goes on has its heading and its originals again.
            stack, height, more = [], empty, scale.row(row) + scale.above(band)
        stack.append((band, row))
        height += more
    if stack:
        yield tuple(stack), height


def places(grid: Grid, scale: Scale, page: Page) -> Iterator[Place]:
    """Yield everything that a page shows but its title, from the top."""
    inner, left = page.width - 2 * scale.margin, scale.margin + scale.gutter
    lefts = [left + at * (scale.width + scale.gap) for at in range(len(page.columns))]

    def line(labels: tuple[str, ...], slots: Sequence[Slot | None]) -> Iterator[Place]:
        if labels:
            yield Place("label", Box(scale.margin, top, scale.gutter - 2 * scale.gap, scale.height), labels)
        for left, column in zip(lefts, page.columns, strict=True):
            yield Place("cell", Box(left, top, scale.width, scale.height), slot=slots[column])

    top = scale.margin + scale.title
    for left, column in zip(lefts, page.columns, strict=True):
        yield Place("heading", Box(left, top, scale.width, scale.heading), grid.headings[column])
    top += scale.heading
    last = None
    for band, row in page.rows:
        if band is not last:
            if band.heading:
                yield Place("band", Box(scale.margin, top, inner, scale.band_heading), (band.heading,))
                top += scale.band_heading
            if band.originals:
                yield from line(("original",), band.originals)
                top += scale.height + 2 * scale.gap
        if scale.gutter and (band is last or band.originals):
            yield Place("line", Box(scale.margin, top - scale.gap, inner, 1))
        if row.originals:
            yield from line((*row.labels, "original"), row.originals)
            top += scale.height + scale.gap
        yield from line(("upscaled",) if row.originals else row.labels, row.cells)
        top += scale.height + scale.caption + 2 * scale.gap
        last = band
