"""The drawing of a sheet's pages: pictures, labels, and what is written below pictures or in the place of missing ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, ImageDraw

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.report.run_data import UPSCALED
from comfy_runner.report.sheet.grid import Crop, Grid, Slot
from comfy_runner.report.sheet.layout import Box, Page, Place, Scale, places
from comfy_runner.report.sheet.lettering import font, leading, length, lines
from comfy_runner.store.interface import Artifact, ArtifactStore

Reader = Callable[[Artifact], tuple[Image.Image, tuple[int, int]]]
"""Reads a picture as `read_reduced` does; raises a `ComfyRunnerError` where it cannot be drawn."""

_Colour = tuple[int, int, int]
_BACKGROUND = (250, 250, 248)
_INK = (32, 33, 36)
_SOFT = (110, 112, 118)
_LINE = (218, 218, 214)
_EMPTY = (236, 236, 232)
_ALARM = (170, 54, 40)
_DARK = (20, 20, 22)

_THREADS = 2  # decoding holds Python's lock, so more would only hold more pictures in memory
_AT_A_TIME = 8  # pictures of a cell's size that wait to be drawn

_Written = tuple[str, int, _Colour]
"""A line of text, its size and its colour."""


def draw_page(
    grid: Grid, scale: Scale, page: Page, *, title: str, store: ArtifactStore, reader: Reader
) -> tuple[Image.Image, list[Slot]]:
    """Return the picture of a page, and the upscaled pictures that it shows.

    Args:
        grid: The sheet.
        scale: Its lengths.
        page: The page.
        title: A line above everything.
        store: Where the pictures are.
        reader: Reads the pictures.
    """
    canvas = Image.new("RGB", (page.width, page.height), _BACKGROUND)
    pen = _Pen(ImageDraw.Draw(canvas), scale)
    pen.write(Box(scale.margin, scale.margin, page.width - 2 * scale.margin, 0), [(title, scale.small, _SOFT)])
    found = list(places(grid, scale, page))
    for place in found:
        pen.label(place)
    drawn = []
    for place, picture in _fitted([place for place in found if place.kind == "cell"], store, reader):
        slot, box = place.slot, place.box
        if slot is None or isinstance(picture, str):
            # A gallery's last line has no places that lack a job.
            if slot is not None or not grid.captions:
                pen.empty(box, slot, str(picture))
            if slot is not None and slot.role == UPSCALED:
                pen.caption(Box(box.left, box.top + box.height + scale.gap // 3, box.width, 0), slot)
            continue
        # Headings and captions start at the left, so do pictures; labels stand in the middle of a row, so do pictures.
        top = box.top + (box.height - picture.height) // 2
        canvas.paste(picture, (box.left, top))
        pen.marks(Box(box.left, top, picture.width, picture.height), slot)
        if slot.role == UPSCALED:
            drawn.append(slot)
            pen.caption(Box(box.left, top + picture.height + scale.gap // 3, box.width, 0), slot)
    return canvas, drawn


class _Pen:
    """Writes on a page.

    Args:
        draw: The page.
        scale: The lengths of the sheet.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, scale: Scale) -> None:
        self._draw = draw
        self._scale = scale

    def label(self, place: Place) -> None:
        """Draw what is no cell: lines, and the headings of bands, columns and rows."""
        scale, box = self._scale, place.box
        if place.kind in ("line", "band"):
            colour = _LINE if place.kind == "line" else _SOFT
            self._draw.line((box.left, box.top, box.left + box.width - 1, box.top), fill=colour)
        if place.kind == "band":
            self.write(Box(box.left, box.top + scale.gap, box.width, 0), [(place.texts[0], scale.text, _INK)])
        elif place.kind == "heading":
            # A column's field and, below it, its value stand on the pictures.
            field, value = place.texts
            most = (box.height - scale.gap - (leading(scale.small) if field else 0)) // leading(scale.text)
            wrapped = [(line, scale.text, _INK) for line in lines(value, scale.text, width=box.width, most=most)]
            box = Box(box.left, box.top, box.width, box.height - scale.gap // 2)
            self.write(box, [*([(field, scale.small, _SOFT)] if field else []), *wrapped], down=1)
        elif place.kind == "label":
            # A row's values are each on lines of its own or, where there is no room for that, all in one text.
            most = max(1, box.height // leading(scale.text))
            texts = [line for text in place.texts for line in lines(text, scale.text, width=box.width, most=most)]
            if len(texts) > most:
                texts = list(lines(" · ".join(place.texts), scale.text, width=box.width, most=most))
            self.write(box, [(text, scale.text, _INK) for text in texts], down=0.5)

    def empty(self, box: Box, slot: Slot | None, problem: str) -> None:
        """Draw a cell without a picture, with what became of the job."""
        scale = self._scale
        fill, outline = (_EMPTY, _EMPTY) if slot else (_BACKGROUND, _LINE)
        self._draw.rectangle((box.left, box.top, box.left + box.width - 1, box.top + box.height - 1), fill=fill, outline=outline)
        if slot is None:
            return
        inner = Box(box.left + scale.gap // 2, box.top, box.width - scale.gap // 2 * 2, box.height)
        state, _, why = problem.partition(": ")
        room = (box.height - scale.gap // 2 * 2 - leading(scale.text)) // leading(scale.small)
        more = lines(why, scale.small, width=inner.width, most=min(room, 6))
        colour = _SOFT if slot.entry.row.state in ("pending", "submitted") else _ALARM
        self.write(inner, [(state, scale.text, colour), *((line, scale.small, _SOFT) for line in more)], down=0.5, across=0.5)

    def marks(self, box: Box, slot: Slot) -> None:
        """Draw a frame with a number around each part that is marked in a picture."""
        corners = []
        for part in slot.marks:
            (width, height), (left, top, right, bottom) = part.size, part.box
            across, down = box.width / width, box.height / height
            frame = box.left + left * across, box.top + top * down, box.left + right * across - 1, box.top + bottom * down - 1
            self._draw.rectangle(frame, outline=_DARK, width=3)
            self._draw.rectangle([edge + way for edge, way in zip(frame, (1, 1, -1, -1), strict=True)], outline=_BACKGROUND)
            corners.append(frame[:2])
        # Over all frames, which may lie over each other.
        side = leading(self._scale.small)
        for number, (across, down) in enumerate(corners, start=1):
            self._draw.rectangle((across, down, across + side, down + side), fill=_DARK)
            middle = across + side / 2, down + side / 2
            self._draw.text(middle, str(number), font=font(self._scale.small), fill=_BACKGROUND, anchor="mm")

    def caption(self, box: Box, slot: Slot) -> None:
        """Write what is to be said of an upscaled picture, or of its place.

        Its numbers are on one line, or each on its own in a narrow cell.
        """
        small = self._scale.small
        told = [(line, small, _INK) for line in lines(slot.caption, small, width=box.width, most=3)]
        parts = [slot.numbers] if length(slot.numbers, small) <= box.width else slot.numbers.split(" · ")
        self.write(box, [*told, *((part, small, _SOFT) for part in parts if part), (slot.remark, small, _ALARM)])

    def write(self, box: Box, texts: Sequence[_Written], *, down: float = 0, across: float = 0) -> None:
        """Write lines into a box, each as far as its width takes it.

        Args:
            box: Where.
            texts: The lines.
            down: Which share of the room that is left stands above them: 0 to 1.
            across: Which share of it stands before each line.
        """
        top = box.top + int(max(0, box.height - sum(leading(size) for _, size, _ in texts)) * down)
        for text, size, colour in texts:
            for line in lines(text, size, width=box.width, most=1):
                left = box.left + max(0, box.width - length(line, size)) * across
                self._draw.text((left, top), line, font=font(size), fill=colour)
            top += leading(size)


def _fitted(cells: Sequence[Place], store: ArtifactStore, reader: Reader) -> Iterator[tuple[Place, Image.Image | str]]:
    """Yield each cell with its picture as large as it is drawn, or with why there is none."""

    def fit(place: Place) -> Image.Image | str:
        slot, box = place.slot, place.box
        if slot is None:
            return ""
        if slot.file is None:
            row = slot.entry.row
            return f"no {slot.role} picture" if row.state == "done" else ": ".join(filter(None, (row.state, row.error)))
        try:
            picture, _ = reader(Artifact(store, slot.file.path))
        except ComfyRunnerError as error:
            # Without its place: a sheet is shown to others, and says nothing of the folders here.
            return f"no picture: {error.problems[0].what}"
        if slot.part is not None:
            return _cut(picture, slot.part)
        share = min(box.width / picture.width, box.height / picture.height)
        size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
        return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(cells), _AT_A_TIME):
            some = cells[start : start + _AT_A_TIME]
            yield from zip(some, pool.map(fit, some), strict=True)


def _cut(picture: Image.Image, part: Crop) -> Image.Image:
    """Return a part of a picture, pixel by pixel; one of another size than that of the part is scaled to it, as a browser would."""
    left, top, right, bottom = part.box
    if picture.size == part.size:
        return picture.crop(part.box)
    across, down = (mine / whole for mine, whole in zip(picture.size, part.size, strict=True))
    box = left * across, top * down, min(picture.width, right * across), min(picture.height, bottom * down)
    return picture.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=box)
