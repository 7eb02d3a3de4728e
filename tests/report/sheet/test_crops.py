"""Sheets of crops: the same places for all jobs of an original, those that differ most, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfy_runner.errors import UsageError
from comfy_runner.report.sheet.crops import Signature, places
from comfy_runner.report.sheet.sheet import draw_sheet
from tests.report.support import make_run

_WIDTH, _HEIGHT, _SIDE = 360, 240, 120
_PATCH = (200, 160)
_AXES: dict[str, list[Any]] = {"seed": [1, 2], "upscale.denoise": [0.3, 0.5]}


def _blue(values: Mapping[str, Any]) -> int:
    return int(values["seed"]) * 100 + int(values["upscale.denoise"] * 100)


def _pixels(blue: int) -> np.ndarray:
    """Return a picture whose pixels tell where they are."""
    x, y = np.meshgrid(np.arange(_WIDTH), np.arange(_HEIGHT))
    return np.stack([x % 256, y, np.full_like(x, blue)], axis=2).astype(np.uint8)


def _paint(values: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
    """Return pictures of a seed that are alike but for a patch, which is elsewhere for the other seed."""
    upscaled = _pixels(_blue(values))
    left, top = _PATCH if values["seed"] == 1 else (40, 40)
    upscaled[top : top + 40, left : left + 40, 1] = 255 - 200 * (values["upscale.denoise"] == 0.3)
    original = Image.fromarray(_pixels(values["seed"])).resize((_WIDTH // 2, _HEIGHT // 2), Image.Resampling.BOX)
    return {"original": original, "upscaled": Image.fromarray(upscaled)}


def _columns(sheet: np.ndarray, blue: int) -> list[np.ndarray]:
    """Return what of the pictures of a job, which alone has this blue, stands in each column of a sheet."""
    there = sheet[:, :, 2] == blue
    across = np.flatnonzero(there.sum(axis=0) > _SIDE // 2)
    found = []
    for part in np.split(across, np.flatnonzero(np.diff(across) > 1) + 1):
        down = np.flatnonzero(there[:, part].sum(axis=1) > _SIDE // 2)
        found.append(sheet[down[0] : down[-1] + 1, part[0] : part[-1] + 1])
    return found


def test_crops_are_the_pictures_pixel_by_pixel_at_the_same_place_for_all_jobs_of_an_original(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", _AXES, _paint)

    drawn = draw_sheet(run, crops=1, cell=384, measured={})

    assert drawn.path == run / "crops.png"
    with Image.open(drawn.path) as image:
        sheet = np.asarray(image.convert("RGB"))
    corners: dict[int, set[tuple[int, int]]] = {}
    for seed in (1, 2):
        for denoise in (0.3, 0.5):
            values = {"seed": seed, "upscale.denoise": denoise}
            whole, crop = _columns(sheet, _blue(values))
            assert whole.shape == (80, 120, 3)
            assert crop.shape == (_SIDE, _SIDE, 3)
            left, top = int(crop[0, 0, 0]), int(crop[0, 0, 1])
            picture = np.asarray(_paint(values)["upscaled"])
            assert np.array_equal(crop, picture[top : top + _SIDE, left : left + _SIDE])
            corners.setdefault(seed, set()).add((left, top))
    ((left, top),) = corners[1]
    assert left <= _PATCH[0] < left + _SIDE
    assert top <= _PATCH[1] < top + _SIDE
    assert len(corners[2]) == 1
    assert corners[1] != corners[2]


def test_places_are_numbered_in_the_original_and_nothing_is_drawn_over_crops(tmp_path: Path) -> None:
    grey = Image.new("RGB", (_WIDTH, _HEIGHT), (90, 90, 90))
    run = make_run(tmp_path / "run", {"seed": [1]}, lambda _: {"original": grey, "upscaled": grey})

    with Image.open(draw_sheet(run, crops=2, measured={}).path) as image:
        sheet = np.asarray(image.convert("RGB")).astype(int)

    is_grey = (sheet == 90).all(axis=2)
    down, across = (np.flatnonzero(is_grey.sum(axis=axis) > _SIDE // 2) for axis in (1, 0))
    row = slice(down[0], down[0] + _SIDE)
    second = across[-1] + 1 - _SIDE
    assert is_grey[row, second:][:, :_SIDE].all()
    assert is_grey[row, across[across < second][-_SIDE:]].all()
    # Pictures without a difference have their first place in the corner: its number is light on a dark ground.
    ground = sheet[row, across[0] :][23:31, 3:11]
    assert (ground.min(), ground.max() > 200) == (20, True)


def _signature(columns: int, rows: int, **cells: tuple[int, int]) -> Signature:
    values = [(100, 10)] * (columns * rows)
    for at, cell in cells.items():
        values[int(at[1:])] = cell
    return columns, rows, bytes(value for cell in values for value in cell)


def test_the_places_are_those_that_differ_most_and_lie_apart() -> None:
    one = _signature(4, 2)
    other = _signature(4, 2, c0=(180, 10), c1=(170, 10), c7=(100, 60))

    assert places([one, other], 2, (0.3, 0.6)) == [(0.125, 0.25), (0.875, 0.75)]
    assert places([one, other], 2, (0.2, 0.6)) == [(0.125, 0.25), (0.375, 0.25)]
    assert places([one, _signature(2, 1, c1=(180, 10))], 1, (0, 0)) == [(0.625, 0.25)]


def test_where_nothing_differs_the_places_are_those_of_most_detail() -> None:
    alike = _signature(4, 2, c6=(100, 90))

    assert places([alike], 1, (1, 1)) == places([alike, alike], 1, (1, 1)) == [(0.625, 0.75)]


def test_jobs_without_pictures_keep_their_row_and_pictures_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    def paint(values: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
        return {**_paint(values), **({"upscaled": b"no picture"} if values["upscale.denoise"] == 0.5 else {})}

    run = make_run(tmp_path / "run", _AXES, paint, failed=["lake-s1-d03"])

    drawn = draw_sheet(run, crops=3, measured={}, target=tmp_path / "x.png")

    assert drawn.left_out == ("lake-s1-d03", "lake-s1-d05", "lake-s2-d05")
    assert not (run / "crops.png").exists()


@pytest.mark.parametrize("options", [{"crops": 0}, {"crops": 13}, {"crops": 2, "rows": "seed"}, {"crops": 2, "columns": "seed"}])
def test_crops_that_cannot_be_drawn_are_told(tmp_path: Path, options: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run", {"seed": [1]}, lambda _: {"upscaled": Image.new("RGB", (64, 36))})

    with pytest.raises(UsageError, match="--crops: "):
        draw_sheet(run, **options)
