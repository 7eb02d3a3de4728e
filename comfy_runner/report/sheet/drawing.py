"""The drawing of a sheet's pages: pictures, labels, and what is written below pictures or in the place of missing ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageDraw

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.report.measures import Measured
from comfy_runner.report.run_data import UPSCALED
from comfy_runner.report.sheet.grid import Grid, Slot
from comfy_runner.report.sheet.layout import Box, Page, Place, Scale, leading, places
from comfy_runner.report.sheet.lettering import font, length, lines
from comfy_runner.store.interface import Artifact, ArtifactStore

Reader = Callable[[Artifact], Image.Image]
"""Reads a picture as RGB; raises a `ComfyRunnerError` where it is broken."""

_Colour = tuple[int, int, int]
_BACKGROUND = (250, 250, 248)
_INK = (32, 33, 36)
_SOFT = (110, 112, 118)
_LINE = (218, 218, 214)
_EMPTY = (236, 236, 232)
_ALARM = (170, 54, 40)

_THREADS = 2  # decoding holds Python's lock, so more would only hold more pictures in memory
_AT_A_TIME = 8  # pictures of a cell's size that wait to be drawn


@dataclass(frozen=True, slots=True)
class Caption:
    """What is written below an upscaled picture.

    Attributes:
        numbers: What was measured of it; empty where nothing was.
        remark: What is wrong with it; empty where nothing is.
    """

    numbers: str
    remark: str


def captions(grid: Grid, measured: Mapping[str, Measured]) -> dict[tuple[str, int], Caption]:
    """Return what is written below each upscaled picture that is there, by its job's name and its number.

    Args:
        grid: The sheet.
        measured: What was measured, by job; of several pictures of an output it holds for the first.
    """
    slots = [slot for band in grid.bands for row in band.rows for slot in row.cells if slot and slot.file]
    return {
        (slot.entry.name, slot.number): _caption(slot, measured.get(slot.entry.name) if slot.number == 0 else None)
        for slot in slots
    }


def _caption(slot: Slot, found: Measured | None) -> Caption:
    measures = found.measures if found else None
    state = [slot.entry.state] if slot.entry.state != "done" else []
    problem = [found.problem] if found and found.problem else []
    remark = ", ".join([*state, *(measures.vetoes if measures else ()), *problem])
    return Caption(f"detail {measures.detail:.2f} · drift {measures.drift:.2f}" if measures else "", remark)


class Pen:
    """Draws one page of a sheet.

    Args:
        page: The page.
        scale: The lengths of the sheet.
        store: Where the pictures are.
        captions: What is written below pictures.
        reader: Reads the pictures.
    """

    def __init__(
        self, page: Page, scale: Scale, *, store: ArtifactStore, captions: Mapping[tuple[str, int], Caption], reader: Reader
    ) -> None:
        self._page = page
        self._scale = scale
        self._store = store
        self._captions = captions
        self._reader = reader
        self._canvas = Image.new("RGB", (page.width, page.height), _BACKGROUND)
        self._draw = ImageDraw.Draw(self._canvas)
        self.drawn: set[tuple[str, int]] = set()
        """Job's name and number of every upscaled picture that was drawn."""

    def draw(self, grid: Grid, title: str) -> Image.Image:
        """Return the page with a line above everything."""
        scale = self._scale
        self._text(title, scale.small, Box(scale.margin, scale.margin, self._page.width - 2 * scale.margin, 0), _SOFT)
        found = list(places(grid, scale, self._page))
        for place in found:
            if place.kind != "cell":
                self._label(place)
        for place, picture in self._fitted([place for place in found if place.kind == "cell"]):
            self._cell(place, picture)
        return self._canvas

    def _label(self, place: Place) -> None:
        scale, box = self._scale, place.box
        if place.kind in ("line", "band"):
            colour = _LINE if place.kind == "line" else _SOFT
            self._draw.line((box.left, box.top, box.left + box.width - 1, box.top), fill=colour)
        if place.kind == "band":
            self._text(place.texts[0], scale.text, Box(box.left, box.top + scale.gap, box.width, 0), _INK)
        elif place.kind == "heading":
            self._heading(place)
        elif place.kind == "label":
            self._row_label(place)

    def _heading(self, place: Place) -> None:
        """Write a column's field and, below it, its value, standing on the pictures."""
        scale, box = self._scale, place.box
        field, value = place.texts
        above = leading(scale.small) if field else 0
        most = (box.height - scale.gap - above) // leading(scale.text)
        wrapped = lines(value, scale.text, width=box.width, most=most)
        top = box.top + box.height - scale.gap // 2 - len(wrapped) * leading(scale.text)
        self._text(field, scale.small, Box(box.left, top - above, box.width, 0), _SOFT)
        self._lines(wrapped, scale.text, box.left, top, _INK)

    def _row_label(self, place: Place) -> None:
        """Write a row's values, each on lines of its own or, where there is no room for that, all in one text."""
        size, box = self._scale.text, place.box
        height = leading(size)
        most = max(1, box.height // height)
        wrapped = [line for text in place.texts for line in lines(text, size, width=box.width, most=most)]
        if len(wrapped) > most:
            wrapped = list(lines(" · ".join(place.texts), size, width=box.width, most=most))
        self._lines(wrapped, size, box.left, box.top + max(0, box.height - len(wrapped) * height) // 2, _INK)

    def _cell(self, place: Place, picture: Image.Image | str) -> None:
        scale, box, slot = self._scale, place.box, place.slot
        if slot is None or isinstance(picture, str):
            fill, outline = (_EMPTY, _EMPTY) if slot else (_BACKGROUND, _LINE)
            edges = (box.left, box.top, box.left + box.width - 1, box.top + box.height - 1)
            self._draw.rectangle(edges, fill=fill, outline=outline)
            if slot:
                self._missing(box, slot, str(picture))
            return
        # Headings and captions start at the left, so do pictures; labels stand in the middle of a row, so do pictures.
        top = box.top + (box.height - picture.height) // 2
        self._canvas.paste(picture, (box.left, top))
        if slot.role != UPSCALED:
            return
        self.drawn.add((slot.entry.name, slot.number))
        caption = self._captions[slot.entry.name, slot.number]
        # The numbers on one line where the cell is wide enough, else each on its own.
        parts = [caption.numbers] if length(caption.numbers, scale.small) <= scale.width else caption.numbers.split(" · ")
        under = top + picture.height + scale.gap // 3
        for text, colour in [*((part, _SOFT) for part in parts if part), (caption.remark, _ALARM)]:
            self._text(text, scale.small, Box(box.left, under, box.width, 0), colour)
            under += scale.line

    def _missing(self, box: Box, slot: Slot, problem: str) -> None:
        """Write into an empty cell what became of the job."""
        scale = self._scale
        left, width = box.left + scale.gap // 2, box.width - scale.gap // 2 * 2
        state, _, why = problem.partition(": ")
        room = (box.height - scale.gap // 2 * 2 - leading(scale.text)) // scale.line
        more = lines(why, scale.small, width=width, most=min(room, 6))
        top = box.top + (box.height - leading(scale.text) - len(more) * scale.line) // 2
        colour = _SOFT if slot.entry.state in ("pending", "submitted") else _ALARM
        first = lines(state, scale.text, width=width, most=1)
        self._lines(first, scale.text, left, top, colour, centred=width)
        self._lines(more, scale.small, left, top + leading(scale.text), _SOFT, centred=width)

    def _text(self, text: str, size: int, box: Box, colour: _Colour) -> None:
        """Write a text on one line from the left upper corner of a box, as far as its width takes it."""
        self._lines(lines(text, size, width=box.width, most=1), size, box.left, box.top, colour)

    def _lines(self, wrapped: Sequence[str], size: int, left: int, top: int, colour: _Colour, *, centred: int = 0) -> None:
        for number, line in enumerate(wrapped):
            space = max(0, centred - length(line, size)) / 2 if centred else 0
            self._draw.text((left + space, top + number * leading(size)), line, font=font(size), fill=colour)

    def _fitted(self, cells: Sequence[Place]) -> Iterator[tuple[Place, Image.Image | str]]:
        """Yield each cell with its picture as large as it is drawn, or with why there is none."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(cells), _AT_A_TIME):
                some = cells[start : start + _AT_A_TIME]
                yield from zip(some, pool.map(self._fit, some), strict=True)

    def _fit(self, place: Place) -> Image.Image | str:
        slot = place.slot
        if slot is None:
            return ""
        if slot.file is None:
            return _why_missing(slot)
        try:
            picture = self._reader(Artifact(self._store, slot.file.path))
        except ComfyRunnerError as error:
            # Without its place: a sheet is shown to others, and says nothing of the folders here.
            return f"broken picture: {error.problems[0].what}"
        share = min(place.box.width / picture.width, place.box.height / picture.height)
        size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
        return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _why_missing(slot: Slot) -> str:
    entry = slot.entry
    if entry.state == "done":
        return f"no {slot.role} picture"
    return f"{entry.state}: {entry.error}" if entry.error else entry.state
