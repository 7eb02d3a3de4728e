"""The labelled grid of a run's pictures, as people know it from X/Y plots: one PNG, or several where one would be too large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy_runner._version import __version__
from comfy_runner.errors import Note, RunFolderError, UsageError, VerificationError
from comfy_runner.notebook_html import escaped, figure, small_picture
from comfy_runner.picture_files import BROKEN, opened, without_warnings
from comfy_runner.report.fixed_values import publishable_values
from comfy_runner.report.measure_run import Progress, can_measure, measure_all
from comfy_runner.report.measures import Measured
from comfy_runner.report.near_copies import fingerprint
from comfy_runner.report.read_pictures import read_reduced
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Material, find_axis, label, read_material
from comfy_runner.report.sheet.crops import MOST_CROPS, crop_grid
from comfy_runner.report.sheet.drawing import Reader, draw_page
from comfy_runner.report.sheet.grid import Slot, arrange
from comfy_runner.report.sheet.layout import LEAST_CELL, Scale, best, paged, scaled, shape
from comfy_runner.report.target import check_target, publish, write_target
from comfy_runner.store.interface import Artifact
from comfy_runner.store.registry import local_part
from comfy_runner.text_files import local_path, shown
from comfy_runner.wording import counted

_SHEET = "sheet.png"
_CROPS = "crops.png"
_SAMPLE = 500
_AT_HAND = 4  # whole pictures that several crops are cut out of
_IN_NOTEBOOKS = 1024  # pixels of its longer side: of fewer its labels could not be read
_LONGEST_TEXT = 16_384  # characters: a sweep may have thousands of prompts
_COMPRESS = 4  # of zlib's nine levels; more takes twice as long and saves some percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What was drawn.

    Attributes:
        path: The file; the first where there are several.
        width: Its width in pixels.
        height: Its height in pixels.
        paths: All files.
        shown: How many upscaled pictures can be seen.
        left_out: The jobs without one that can be drawn, in the order of the plan.
        notes: What a user may not expect.
    """

    path: Path
    width: int
    height: int
    paths: tuple[Path, ...]
    shown: int
    left_out: tuple[str, ...]
    notes: tuple[Note, ...]

    def _repr_html_(self) -> str:
        """Return the sheet for notebooks, reduced, with the path of each file."""
        files = "".join(f"<div><code>{escaped(path)}</code></div>" for path in self.paths)
        return f"<div>{figure(self.path, '', long_side=_IN_NOTEBOOKS)}{files}</div>"

    def _repr_png_(self) -> bytes | None:
        """Return the first file as a PNG for notebooks, reduced; None where it is gone."""
        return small_picture(self.path, long_side=_IN_NOTEBOOKS, format="PNG")


def draw_sheet(
    run_folder: Path | str | Material,
    *,
    rows: str | None = None,
    columns: str | None = None,
    crops: int | None = None,
    cell: int = 384,
    target: Path | str | None = None,
    progress: Progress | None = None,
    measured: Mapping[str, Measured] | None = None,
    reader: Reader = read_reduced,
) -> Sheet:
    """Draw the pictures of a run as one labelled grid, a PNG; see `arrange` for what stands where.

    A page is at most 16,384 pixels a side and 100 megapixels in all. To keep that the cells become smaller, down to 96 pixels;
    what is still too much goes on further pages, ``sheet-2.png`` and so on.

    Args:
        run_folder: The folder of a run, which may be in use, or what was read of it.
        rows: The axis of the rows; None for all that are not the columns'.
        columns: The axis of the columns; None for denoise, or else the last.
        crops: None for whole pictures. Else how many places are cut out of each, 1 to 12: those in which the pictures of one
            original differ most, pixel by pixel, a row per job (`crop_grid`); rows and columns cannot be chosen then.
        cell: The longer side of the largest picture in the sheet, in pixels; of crops, of each.
        target: The file, replaced if it is there, whole or not at all; None for ``sheet.png``, or ``crops.png``, in the run folder.
        progress: Called with how many pairs of pictures have been measured, and how many there are; None for nothing.
        measured: What is written below the pictures, by job; None for what is measured now, if that is possible.
        reader: Reads the pictures.

    Raises:
        UsageError: There is no such axis, the cell is too small, there are too many crops, or the target is no place for a sheet.
        RunFolderError: It is no run folder, cannot be read or cannot be written, or the run has no jobs.
    """
    material = run_folder if isinstance(run_folder, Material) else read_material(local_part(run_folder))
    target = material.folder / (_SHEET if crops is None else _CROPS) if target is None else local_path(target)
    if cell < LEAST_CELL:
        raise UsageError(f"must be at least {LEAST_CELL} pixels (got {cell})", where="--cell")
    if crops is not None and not 1 <= crops <= MOST_CROPS:
        raise UsageError(f"must be from 1 to {MOST_CROPS} (got {crops})", where="--crops")
    if crops is not None and (rows is not None or columns is not None):
        raise UsageError(
            "has a row for each job and a column for each place, so it takes neither --rows nor --columns", where="--crops"
        )
    if not material.entries:
        raise RunFolderError("has no jobs, so there is nothing to draw", where=shown(material.folder))
    _check_target(material, target)
    for name, option in ((rows, "--rows"), (columns, "--columns")):
        if name is not None:
            find_axis(material, name, option)  # measuring takes long, and is in vain for one that is not there
    if measured is None and can_measure():
        measured, _ = measure_all(material, progress=progress)
    content = cache(lambda file: _content(material.artifact(file)))
    if crops is None:
        grid = arrange(material, rows=rows, columns=columns, content=content, measured=measured)
        scale, pages = best(grid, cell, shape(_sizes(material)))
    else:
        reader = lru_cache(_AT_HAND)(reader)
        grid, cell = crop_grid(material, crops, cell=cell, content=content, reader=reader, measured=measured or {})
        scale = scaled(grid, cell, (1.0, 1.0))  # crops are never scaled: what is too much goes on further pages
        pages = paged(grid, scale)
    paths = [target, *(target.with_stem(f"{target.stem}-{number}") for number in range(2, len(pages) + 1))]
    for path in paths[1:]:
        _check_target(material, path)
    texts = _texts(material)
    drawn: list[Slot] = []
    for number, (page, path) in enumerate(zip(pages, paths, strict=True), start=1):
        of = f" · page {number} of {len(pages)}" if len(pages) > 1 else ""
        image, slots = draw_page(grid, scale, page, title=_title(material) + of, store=material.store, reader=reader)
        _save(image, path, texts)
        drawn += slots
    publish(material, paths)
    names = {slot.entry.name for slot in drawn}
    return Sheet(
        path=target,
        width=pages[0].width,
        height=pages[0].height,
        paths=tuple(paths),
        shown=len(drawn),
        left_out=tuple(dict.fromkeys(entry.job_id for entry in material.entries if entry.name not in names)),
        notes=(*grid.notes, *_size_notes(cell, scale, paths), *_stale(target, len(paths))),
    )


def _title(material: Material) -> str:
    recipes = list(dict.fromkeys(entry.row.recipe for entry in material.entries))
    return f"{', '.join(recipes[:5])}{', ...' if len(recipes) > 5 else ''} · {counted(len(material.states), 'job')}"


def _sizes(material: Material) -> list[tuple[int, int]]:
    """Return the sizes of the pictures, or of some hundred of them where there are more; others are fitted all the same."""
    files = [file for entry in material.entries for role in (UPSCALED, ORIGINAL) for file in entry.pictures.get(role, ())]
    found = []
    for file in files[:: max(1, len(files) // _SAMPLE)]:
        # What cannot be read here is told of when it is to be drawn.
        try:
            with without_warnings(), material.artifact(file).open() as data, opened(data) as image:
                found.append(image.size)
        except BROKEN:
            continue
    return found


def _content(picture: Artifact) -> str:
    """Return what is equal for files of the same pixels, whatever else they say: ComfyUI writes each one's own workflow into it."""
    try:
        return fingerprint(read_reduced(picture)[0]).pixels
    except VerificationError:
        return ""


def _check_target(material: Material, target: Path) -> None:
    check_target(material, target, suffix=".png", what="a sheet")


def _texts(material: Material) -> PngInfo:
    """Return the texts of the file, by the keywords of the PNG standard: its axes and what was fixed, where that may be told."""
    found = {"Title": _title(material), "Software": f"comfy_runner {__version__}"}
    if (fixed := publishable_values(material)) is not None:
        axes = {axis.field: ", ".join(map(label, axis.values)) for axis in material.axes}
        found["Description"] = "\n".join(f"{name}: {values}" for name, values in {**axes, **fixed}.items())
    texts = PngInfo()
    for name, text in found.items():
        # The standard has neither NUL nor what is no character; a run folder may be anybody's.
        texts.add_text(name, text[:_LONGEST_TEXT].replace("\0", "\ufffd").encode("utf-8", "replace").decode())
    return texts


def _save(image: Image.Image, path: Path, texts: PngInfo) -> None:
    write_target(path, lambda file: image.save(file, format="PNG", compress_level=_COMPRESS, pnginfo=texts), what="the sheet")


def _size_notes(cell: int, scale: Scale, paths: Sequence[Path]) -> Iterator[Note]:
    if scale.cell < cell:
        yield Note(
            f"the cells are {scale.cell} pixels, because the sheet would be too large otherwise (asked for {cell})", level="changed"
        )
    if len(paths) > 1:
        files = f"{counted(len(paths), 'file')}, {paths[0].name} to {paths[-1].name}"
        what = f"the sheet is split into {files}: one would be too large for most viewers"
        yield Note(what, level="changed")


def _stale(target: Path, pages: int) -> Iterator[Note]:
    """Say so where a page of an earlier, longer sheet still lies beside a new one."""
    left = target.with_stem(f"{target.stem}-{pages + 1}")
    if left.exists():
        yield Note("does not belong to this sheet, and may be left from an earlier one", where=shown(left))
