"""The drawing of a sheet's pages: pictures, labels, and what is written below pictures or in the place of missing ones.

Not here: where all of it stands (`sheet_layout`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageDraw

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.report.measures import Measured
from comfy_runner.report.run_data import UPSCALED, Material
from comfy_runner.report.sheet.grid import Grid, Slot
from comfy_runner.report.sheet.layout import Box, Page, Place, Scale, leading, places
from comfy_runner.report.sheet.lettering import Lettering

Reader = Callable[[Path], Image.Image]
"""Reads a picture as RGB; raises a `ComfyRunnerError` where it is broken."""

_BACKGROUND = (250, 250, 248)
_INK = (32, 33, 36)
_SOFT = (110, 112, 118)
_LINE = (218, 218, 214)
_EMPTY = (236, 236, 232)
_ALARM = (170, 54, 40)

_THREADS = 2  # decoding holds Python's lock, so more would only hold more pictures in memory


class Words:
    """What is written below the cells."""

    def __init__(self, grid: Grid, measured: Mapping[str, Measured]) -> None:
        self._measured = measured
        self._slots = [slot for band in grid.bands for row in band.rows for slot in row.cells if slot]

    def longest(self) -> str:
        """Return the longest line of numbers; empty where nothing was measured."""
        return max((self.numbers(slot) for slot in self._slots), key=len, default="")

    def has_remarks(self) -> bool:
        """Return whether any picture has a remark."""
        return any(map(self.remark, self._slots))

    def numbers(self, slot: Slot) -> str:
        """Return what was measured of a picture."""
        found = self._measured.get(slot.entry.name) if slot.role == UPSCALED and slot.number == 0 and slot.file else None
        return f"detail {found.measures.detail:.2f} · drift {found.measures.drift:.2f}" if found and found.measures else ""

    def remark(self, slot: Slot) -> str:
        """Return what is wrong with a picture that is there."""
        if slot.role != UPSCALED or not slot.file:
            return ""
        found = self._measured.get(slot.entry.name) if slot.number == 0 else None
        state = [slot.entry.state] if slot.entry.state != "done" else []
        vetoes = found.measures.vetoes if found and found.measures else ()
        problem = [found.problem] if found and found.problem else []
        return ", ".join([*state, *vetoes, *problem])


class Pen:
    """Draws pages of one sheet."""

    def __init__(self, material: Material, scale: Scale, lettering: Lettering, words: Words, reader: Reader) -> None:
        self._folder = material.folder
        self._scale = scale
        self._lettering = lettering
        self._words = words
        self._reader = reader
        self.seen: set[tuple[str, int]] = set()
        """Entry and number of every upscaled picture that was drawn."""

    def draw(self, grid: Grid, page: Page, title: str) -> Image.Image:
        """Return a page."""
        scale = self._scale
        canvas = Image.new("RGB", (page.width, page.height), _BACKGROUND)
        draw = ImageDraw.Draw(canvas)
        inner = page.width - 2 * scale.margin
        self._write(draw, title, scale.small, Box(scale.margin, scale.margin, inner, leading(scale.small)), _SOFT)
        pictures = []
        for place in places(grid, scale, page):
            if place.kind == "cell":
                pictures.append(place)
            else:
                self._label(draw, place)
        for place, picture in self._fitted(pictures):
            self._cell(canvas, draw, place, picture)
        return canvas

    def _label(self, draw: ImageDraw.ImageDraw, place: Place) -> None:
        scale, box = self._scale, place.box
        if place.kind == "line":
            draw.line((box.left, box.top, box.left + box.width - 1, box.top), fill=_LINE)
        elif place.kind == "band":
            top = box.top + scale.gap
            draw.line((box.left, box.top, box.left + box.width - 1, box.top), fill=_SOFT)
            self._write(draw, place.texts[0], scale.text, Box(box.left, top, box.width, leading(scale.text)), _INK)
        elif place.kind == "heading":
            self._heading(draw, place)
        else:
            self._row_label(draw, place)

    def _heading(self, draw: ImageDraw.ImageDraw, place: Place) -> None:
        """Write a column's field and, below it, its value, standing on the pictures."""
        scale, box = self._scale, place.box
        field, value = place.texts
        above = leading(scale.small) if field else 0
        most = (box.height - scale.gap - above) // leading(scale.text)
        lines = self._lettering.lines(value, scale.text, width=box.width, most=most)
        top = box.top + box.height - scale.gap // 2 - len(lines) * leading(scale.text)
        if field:
            self._write(draw, field, scale.small, Box(box.left, top - above, box.width, above), _SOFT)
        self._lines(draw, lines, scale.text, box.left, top, _INK)

    def _row_label(self, draw: ImageDraw.ImageDraw, place: Place) -> None:
        """Write a row's values, each on lines of its own or, where there is no room for that, all in one text."""
        scale, box = self._scale, place.box
        height = leading(scale.text)
        most = max(1, box.height // height)
        each = [self._lettering.lines(text, scale.text, width=box.width, most=most) for text in place.texts]
        lines = tuple(line for group in each for line in group)
        if len(lines) > most:
            lines = self._lettering.lines(" · ".join(place.texts), scale.text, width=box.width, most=most)
        self._lines(draw, lines, scale.text, box.left, box.top + max(0, box.height - len(lines) * height) // 2, _INK)

    def _cell(self, canvas: Image.Image, draw: ImageDraw.ImageDraw, place: Place, picture: Image.Image | str) -> None:
        scale, box, slot = self._scale, place.box, place.slot
        if slot is None:
            draw.rectangle((box.left, box.top, box.left + box.width - 1, box.top + box.height - 1), outline=_LINE)
            return
        if isinstance(picture, str):
            self._missing(draw, box, slot, picture)
            return
        # Headings and words start at the left, so do pictures; labels stand in the middle of a row, so do pictures.
        top = box.top + (box.height - picture.height) // 2
        canvas.paste(picture, (box.left, top))
        if slot.role != UPSCALED:
            return
        self.seen.add((slot.entry.name, slot.number))
        under = top + picture.height + scale.gap // 3
        numbers = self._numbers(slot)
        self._lines(draw, numbers, scale.small, box.left, under, _SOFT)
        remark = self._words.remark(slot)
        if remark:
            under += len(numbers) * scale.line
            self._write(draw, remark, scale.small, Box(box.left, under, box.width, scale.line), _ALARM)

    def _numbers(self, slot: Slot) -> list[str]:
        """Return what was measured of a picture, on one line where the cell is wide enough, else each number on its own."""
        scale, text = self._scale, self._words.numbers(slot)
        parts = [text] if self._lettering.length(text, scale.small) <= scale.width else text.split(" · ")
        return [line for part in parts for line in self._lettering.lines(part, scale.small, width=scale.width, most=1)]

    def _missing(self, draw: ImageDraw.ImageDraw, box: Box, slot: Slot, problem: str) -> None:
        """Draw an empty cell with what became of the job."""
        scale = self._scale
        draw.rectangle((box.left, box.top, box.left + box.width - 1, box.top + box.height - 1), fill=_EMPTY)
        edge = scale.gap // 2
        width = box.width - 2 * edge
        state, _, why = problem.partition(": ")
        first = self._lettering.lines(state, scale.text, width=width, most=1)
        room = (box.height - 2 * edge - leading(scale.text)) // scale.line
        more = self._lettering.lines(why, scale.small, width=width, most=min(room, 6))
        top = box.top + (box.height - leading(scale.text) - len(more) * scale.line) // 2
        colour = _SOFT if slot.entry.state in ("pending", "submitted") else _ALARM
        self._lines(draw, first, scale.text, box.left + edge, top, colour, centred=width)
        self._lines(draw, more, scale.small, box.left + edge, top + leading(scale.text), _SOFT, centred=width)

    def _write(self, draw: ImageDraw.ImageDraw, text: str, size: int, box: Box, colour: tuple[int, int, int]) -> None:
        self._lines(draw, self._lettering.lines(text, size, width=box.width, most=1), size, box.left, box.top, colour)

    def _lines(
        self,
        draw: ImageDraw.ImageDraw,
        lines: Sequence[str],
        size: int,
        left: int,
        top: int,
        colour: tuple[int, int, int],
        *,
        centred: int = 0,
    ) -> None:
        font = self._lettering.font(size)
        for number, line in enumerate(lines):
            space = max(0, centred - self._lettering.length(line, size)) / 2 if centred else 0
            draw.text((left + space, top + number * leading(size)), line, font=font, fill=colour)

    def _fitted(self, wanted: Iterable[Place]) -> Iterator[tuple[Place, Image.Image | str]]:
        """Yield each cell with its picture as large as it is drawn, or with why there is none."""
        with ThreadPoolExecutor(_THREADS) as pool:
            waiting: deque[tuple[Place, Future[Image.Image | str]]] = deque()
            try:
                for place in wanted:
                    waiting.append((place, pool.submit(self._fit, place)))
                    # Only small pictures wait here, but there can be many of them.
                    if len(waiting) > 4 * _THREADS:
                        ready, future = waiting.popleft()
                        yield ready, future.result()
                while waiting:
                    ready, future = waiting.popleft()
                    yield ready, future.result()
            finally:
                for _, future in waiting:
                    future.cancel()

    def _fit(self, place: Place) -> Image.Image | str:
        slot = place.slot
        if slot is None:
            return ""
        if slot.file is None:
            return _why_missing(slot)
        try:
            picture = self._reader(self._folder / slot.file.path)
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
