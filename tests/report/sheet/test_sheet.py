"""The labelled grid of a run's pictures, looked at as a person would: which colour is where, and what is written."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngInfo

from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.report.measures import Measured, Measures
from comfy_runner.report.read_pictures import read_reduced
from comfy_runner.report.run_data import Axis, Entry, Material, read_material
from comfy_runner.report.sheet.grid import Grid, arrange
from comfy_runner.report.sheet.layout import MOST_PIXELS, MOST_SIDE, Place, best, paged, places, scaled, shape
from comfy_runner.report.sheet.lettering import font, leading, legible, length, lines
from comfy_runner.report.sheet.sheet import Sheet, draw_sheet
from comfy_runner.store.interface import Artifact
from comfy_runner.store.local import LocalStore
from tests.report.support import make_run
from tests.report.values import entry_of

_DENOISE = "upscale.denoise"
_SWEEP: dict[str, list[Any]] = {"checkpoint": ["a", "b"], "seed": [1, 2], _DENOISE: [0.3, 0.5, 0.7]}
Box = tuple[int, int, int, int]
Size = tuple[int, int]


def _colour(role: str, values: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return a colour that no other picture of the run has; the original's does not depend on the denoise."""
    seed, checkpoint = int(values.get("seed", 0)), "ab".find(str(values.get("checkpoint", "a")))
    denoise = round(values.get(_DENOISE, 0) * 100) if role == "upscaled" else 0
    return (40 + denoise * 2, 60 + seed * 30, (150 if role == "original" else 20) + checkpoint * 40)


def _solid(values: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
    sizes = {"original": (32, 18), "upscaled": (64, 36)}
    return {role: Image.new("RGB", size, _colour(role, values)) for role, size in sizes.items()}


def _run(folder: Path, axes: Mapping[str, list[Any]], **options: Any) -> Material:
    return read_material(make_run(folder / "run", axes, options.pop("paint", _solid), **options))


def _where(image: Image.Image, colour: tuple[int, int, int]) -> Box | None:
    """Return the box around everything in exactly this colour."""
    red, green, blue = ImageChops.difference(image, Image.new("RGB", image.size, colour)).split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue).point(lambda value: 255 * (value == 0)).getbbox()


def _cell(image: Image.Image, role: str, **values: Any) -> Box:
    renamed = {_DENOISE if name == "denoise" else name: value for name, value in values.items()}
    box = _where(image, _colour(role, renamed))
    assert box, f"nothing shows the {role} of {values}"
    return box


def _opened(sheet: Sheet) -> Image.Image:
    with Image.open(sheet.path) as image:
        return image.convert("RGB")


def _draw(material: Material, **options: Any) -> Sheet:
    return draw_sheet(material, **{"measured": {}, **options})


def _grid(material: Material, rows: str | None = None, columns: str | None = None) -> Grid:
    return arrange(material, rows=rows, columns=columns, content=lambda file: file.sha256)


def _entry(**values: Any) -> Entry:
    return entry_of(f"lake-{'-'.join(map(str, values.values()))}", values, state="pending")


def _seeds(folder: Path, count: int) -> Material:
    """Return a run of which nothing is rendered yet, for the sizes of sheets."""
    entries = tuple(_entry(seed=seed) for seed in range(count))
    return Material(folder, entries, (Axis("seed", tuple(range(count))),), LocalStore(folder))


def _measures(detail: float, drift: float, **others: Any) -> Measured:
    zeros: dict[str, Any] = dict.fromkeys(("local_drift", "noise", "blocks", "seams", "halos", "colour_shift", "shift"), 0.0)
    return Measured(measures=Measures(detail=detail, drift=drift, **zeros, **others))


# Which picture is where


@pytest.mark.parametrize("metadata", [["comfyui"], ["none"]])
def test_the_file_says_what_was_swept_and_fixed_unless_pictures_tell_nothing(tmp_path: Path, metadata: list[str]) -> None:
    run = _run(tmp_path, {_DENOISE: [0.3, 0.5]}, recipe={"prompt": "a café", "output": {"metadata": metadata}})

    with Image.open(draw_sheet(run, measured={}).path) as sheet:
        texts = sheet.info

    assert texts["Title"].endswith("2 jobs")
    told = texts.get("Description", "").splitlines()
    assert told[:2] == (["upscale.denoise: 0.3, 0.5", "prompt: a café"] if metadata == ["comfyui"] else [])


def test_every_upscaled_picture_stands_in_its_row_and_column(tmp_path: Path) -> None:
    sheet = _draw(_run(tmp_path, _SWEEP), target=tmp_path / "sheet.png", cell=128)

    image = _opened(sheet)
    rows = [(checkpoint, seed) for checkpoint in "ab" for seed in (1, 2)]
    boxes = [
        [_cell(image, "upscaled", checkpoint=checkpoint, seed=seed, denoise=value) for value in (0.3, 0.5, 0.7)]
        for checkpoint, seed in rows
    ]
    assert [len({box[1] for box in row}) for row in boxes] == [1, 1, 1, 1]
    assert [len({box[0] for box in column}) for column in zip(*boxes, strict=True)] == [1, 1, 1]
    assert [row[0][1] for row in boxes] == sorted({row[0][1] for row in boxes})
    assert [box[0] for box in boxes[0]] == sorted({box[0] for box in boxes[0]})
    assert (sheet.shown, sheet.left_out) == (12, ())


def test_the_original_stands_before_its_row(tmp_path: Path) -> None:
    image = _opened(_draw(_run(tmp_path, _SWEEP), target=tmp_path / "sheet.png", cell=128))

    original, first = (
        _cell(image, "original", checkpoint="b", seed=1),
        _cell(image, "upscaled", checkpoint="b", seed=1, denoise=0.3),
    )
    assert (original[1], original[3]) == (first[1], first[3])
    assert original[2] < first[0]


def test_all_pictures_are_drawn_equally_large(tmp_path: Path) -> None:
    image = _opened(_draw(_run(tmp_path, _SWEEP), target=tmp_path / "sheet.png", cell=128))

    boxes = [_cell(image, role, checkpoint="a", seed=2, denoise=0.5) for role in ("original", "upscaled")]
    assert {(right - left, bottom - top) for left, top, right, bottom in boxes} == {(128, 72)}


def test_a_picture_of_another_shape_keeps_its_shape(tmp_path: Path) -> None:
    def paint(values: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
        size = (60, 60) if values["seed"] == 1 else (90, 30)
        return {"upscaled": Image.new("RGB", size, _colour("upscaled", values))}

    image = _opened(_draw(_run(tmp_path, {"seed": [1, 2]}, paint=paint), target=tmp_path / "sheet.png", cell=120))

    square, wide = (_cell(image, "upscaled", seed=seed) for seed in (1, 2))
    assert (square[2] - square[0], square[3] - square[1]) == (120, 120)
    assert (wide[2] - wide[0], wide[3] - wide[1]) == (120, 40)
    assert wide[1] - square[1] == 40, "it stands in the middle of its row"


def test_a_picture_is_drawn_the_right_way_round(tmp_path: Path) -> None:
    def paint(_: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
        image = Image.new("RGB", (200, 100), (200, 0, 0))
        image.paste((0, 0, 200), (0, 0, 100, 50))
        return {"upscaled": image}

    image = _opened(_draw(_run(tmp_path, {}, paint=paint), target=tmp_path / "sheet.png", cell=200))

    red, blue = _where(image, (200, 0, 0)), _where(image, (0, 0, 200))
    assert red
    assert blue
    assert (red[0], red[1]) == (blue[0], blue[1])
    assert blue[2] < red[2] - 80
    assert blue[3] < red[3] - 40


def test_a_run_without_a_sweep_shows_its_original_beside_its_picture(tmp_path: Path) -> None:
    material = _run(tmp_path, {})

    sheet = _draw(material, target=tmp_path / "sheet.png", cell=128)

    assert sheet.shown == 1
    assert _grid(material).headings == (("", "original"), ("", "upscaled"))
    image = _opened(sheet)
    assert _cell(image, "original")[2] < _cell(image, "upscaled")[0]


def test_what_neither_rows_nor_columns_say_has_a_band_of_its_own(tmp_path: Path) -> None:
    material = _run(tmp_path, _SWEEP)

    grid = _grid(material, rows="seed", columns="denoise")

    assert [(band.heading, [row.labels for row in band.rows]) for band in grid.bands] == [
        ("checkpoint a", [("seed 1",), ("seed 2",)]),
        ("checkpoint b", [("seed 1",), ("seed 2",)]),
    ]
    sheet = _draw(material, rows="seed", columns="denoise", target=tmp_path / "sheet.png", cell=128)
    assert sheet.shown == 12
    image = _opened(sheet)
    above, below = (_cell(image, "upscaled", checkpoint=checkpoint, seed=2, denoise=0.3) for checkpoint in "ab")
    assert (above[0], above[3] < below[1]) == (below[0], True)


def test_every_row_is_labelled_with_all_its_values_and_every_column_with_field_and_value(tmp_path: Path) -> None:
    grid = _grid(_run(tmp_path, _SWEEP))

    assert grid.headings == (("", "original"), ("denoise", "0.3"), ("denoise", "0.5"), ("denoise", "0.7"))
    assert [row.labels for row in grid.bands[0].rows][:3] == [
        ("checkpoint a", "seed 1"),
        ("checkpoint a", "seed 2"),
        ("checkpoint b", "seed 1"),
    ]


def test_without_denoise_the_last_axis_makes_the_columns(tmp_path: Path) -> None:
    grid = _grid(_run(tmp_path, {"seed": [1, 2], "cfg": [4, 7]}))

    assert [value for _, value in grid.headings] == ["original", "4", "7"]


def test_a_table_of_prompts_is_a_wrapped_gallery_with_each_original_above_its_picture(tmp_path: Path) -> None:
    rows = [{"prompt": f"a lake in the light of lamp {number}", "seed": number} for number in range(10)]
    entries = tuple(entry_of(f"lake-{row['seed']}", row) for row in rows)
    axes = (Axis("prompt", tuple(row["prompt"] for row in rows)), Axis("seed", tuple(range(10))))

    grid = _grid(Material(tmp_path, entries, axes, LocalStore(tmp_path)))

    cells = [slot for row in grid.bands[0].rows for slot in row.cells]
    assert [slot.entry.job_id for slot in cells if slot] == [f"lake-{number}" for number in range(10)]
    assert len(cells) == 12, "no more than a line's end is left free"
    assert grid.captions == tuple(row["prompt"] for row in rows)


def test_a_gallery_is_drawn_with_captions_also_where_a_picture_is_missing(tmp_path: Path) -> None:
    material = _run(tmp_path, {"seed": list(range(8))}, failed=["lake-s3"])

    sheet = _draw(material, target=tmp_path / "sheet.png", cell=128)

    image = _opened(sheet)
    assert (sheet.shown, sheet.left_out) == (7, ("lake-s3",))
    original, upscaled = _cell(image, "original", seed=5), _cell(image, "upscaled", seed=5)
    assert (original[0], original[3] < upscaled[1]) == (upscaled[0], True)
    assert _cell(image, "upscaled", seed=1)[3] < original[1]


def test_fields_that_move_together_go_together_wherever_they_are_asked_for(tmp_path: Path) -> None:
    values = [{"checkpoint": name, "clip_skip": skip, "cfg": cfg} for name, skip in (("a", 1), ("b", 2)) for cfg in (4, 7)]
    entries = tuple(entry_of(f"lake-{number}", value) for number, value in enumerate(values))
    axes = (Axis("checkpoint", ("a", "b")), Axis("clip_skip", (1, 2)), Axis("cfg", (4, 7)))
    material = Material(tmp_path, entries, axes, LocalStore(tmp_path))

    assert [value for _, value in _grid(material, columns="clip_skip").headings] == ["a · 1", "b · 2"]
    with pytest.raises(UsageError, match="moves together with the rows' axis"):
        _grid(material, rows="checkpoint", columns="clip_skip")


def test_columns_that_differ_in_their_originals_have_them_above_once_where_rows_share_them(tmp_path: Path) -> None:
    material = _run(tmp_path, {"seed": [1, 2], _DENOISE: [0.3, 0.5]})

    sheet = _draw(material, columns="seed", target=tmp_path / "sheet.png", cell=128)

    image = _opened(sheet)
    for seed in (1, 2):
        column = [
            _cell(image, "original", seed=seed),
            *(_cell(image, "upscaled", seed=seed, denoise=value) for value in (0.3, 0.5)),
        ]
        assert len({box[0] for box in column}) == 1
        assert [box[1] for box in column] == sorted(box[1] for box in column)
        assert column[0][3] - column[0][1] == 72, "there is one of it, not one in each row"
    assert "the originals are above" in str(sheet.notes[0])


def test_originals_that_differ_in_rows_and_columns_stand_above_each_row(tmp_path: Path) -> None:
    image = _opened(
        _draw(_run(tmp_path, {"checkpoint": ["a", "b"], "seed": [1, 2]}), columns="seed", target=tmp_path / "sheet.png", cell=128)
    )

    column = [_cell(image, role, checkpoint=checkpoint, seed=2) for checkpoint in "ab" for role in ("original", "upscaled")]
    assert len({box[0] for box in column}) == 1
    assert [box[1] for box in column] == sorted({box[1] for box in column})


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_originals_of_the_same_pixels_are_the_same_whatever_else_their_files_say(tmp_path: Path, kind: str) -> None:
    material = _run(
        tmp_path, {"seed": [1, 2]}, paint=lambda values: {**_solid(values), "original": Image.new("RGB", (32, 18), "navy")}
    )
    for entry in material.entries:
        words, exif = PngInfo(), Image.Exif()
        words.add_text("prompt", entry.job_id)
        exif[0x0110] = f"prompt:{entry.job_id}"
        path = material.folder / entry.job_id / "original.png"
        Image.new("RGB", (32, 18), "navy").save(path, kind, pnginfo=words, exif=exif, lossless=True)
    entries = [
        replace(entry, pictures={**entry.pictures, "original": (replace(entry.pictures["original"][0], sha256=entry.job_id),)})
        for entry in material.entries
    ]

    sheet = _draw(replace(material, entries=tuple(entries)), target=tmp_path / "sheet.png", cell=128)

    assert sheet.notes == ()
    box = _where(_opened(sheet), (0, 0, 128))
    assert box
    assert box[2] - box[0] == 128


def test_jobs_that_differ_in_nothing_that_is_known_all_have_a_cell(tmp_path: Path) -> None:
    entries = (*(_entry(seed=seed) for seed in (1, 2)), entry_of("twin", {"seed": 1}))
    material = Material(tmp_path, entries, (Axis("seed", (1, 2)),), LocalStore(tmp_path))

    rows = _grid(material).bands[0].rows

    assert [[slot.entry.job_id if slot else None for slot in row.cells] for row in rows] == [["lake-1", "lake-2"], ["twin", None]]
    assert rows[1].labels == ("picture 2",)


def test_a_job_that_shares_its_pictures_is_drawn_as_any_other(tmp_path: Path) -> None:
    material = _run(tmp_path, {"seed": [1, 2]})
    leader, other = material.entries
    sharing = replace(other, row=replace(other.row, shares=leader.job_id), pictures=leader.pictures)

    sheet = _draw(replace(material, entries=(leader, sharing)), target=tmp_path / "sheet.png", cell=128)

    box = _cell(_opened(sheet), "upscaled", seed=1)
    assert sheet.shown == 2
    assert box[2] - box[0] > 2 * 128


# What is wrong, and what is not there


def test_a_failed_job_leaves_an_empty_cell_and_the_others_where_they_are(tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {"seed": [1, 2], _DENOISE: [0.3, 0.5]}
    whole = _opened(_draw(_run(tmp_path / "whole", axes), target=tmp_path / "whole.png", cell=128))

    sheet = _draw(_run(tmp_path / "some", axes, failed=["lake-s1-d03"]), target=tmp_path / "some.png", cell=128)

    image = _opened(sheet)
    assert (sheet.shown, sheet.left_out) == (3, ("lake-s1-d03",))
    assert _cell(image, "upscaled", seed=2, denoise=0.5) == _cell(whole, "upscaled", seed=2, denoise=0.5)
    left, top, right, bottom = _cell(whole, "upscaled", seed=1, denoise=0.3)
    empty = image.crop((left, top, right, bottom))
    assert empty.getpixel((1, 1)) == empty.getpixel((126, 70)) == (236, 236, 232)
    assert len(empty.getcolors(1 << 16) or ()) > 10, "something is written in it"


def test_the_original_of_a_row_is_taken_from_a_job_that_has_it(tmp_path: Path) -> None:
    material = _run(tmp_path, {_DENOISE: [0.3, 0.5]}, failed=["lake-d03"])

    assert _cell(_opened(_draw(material, target=tmp_path / "sheet.png", cell=128)), "original")


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(path.read_bytes()[:60]), lambda path: path.unlink()])
def test_a_broken_or_missing_picture_is_an_empty_cell(tmp_path: Path, harm: Any) -> None:
    material = _run(tmp_path, {_DENOISE: [0.3, 0.5]})
    harm(material.folder / "lake-d03" / "upscaled.png")

    sheet = _draw(material, target=tmp_path / "sheet.png", cell=128)

    assert (sheet.shown, sheet.left_out) == (1, ("lake-d03",))
    assert _where(_opened(sheet), _colour("upscaled", {_DENOISE: 0.3})) is None


@pytest.mark.slow
def test_a_picture_too_large_to_be_measured_is_drawn_all_the_same(tmp_path: Path) -> None:
    def paint(values: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
        return {"upscaled": Image.new("L", (8300, 8200), 90) if values["seed"] == 1 else Image.new("L", (83, 82), 160)}

    sheet = _draw(_run(tmp_path, {"seed": [1, 2]}, paint=paint), target=tmp_path / "sheet.png", cell=128)

    image = _opened(sheet)
    large, small = (_where(image, (value, value, value)) for value in (90, 160))
    assert (sheet.shown, sheet.left_out) == (2, ())
    assert large
    assert small
    assert (large[2] - large[0], large[3] - large[1]) == (small[2] - small[0], small[3] - small[1])


def test_of_several_pictures_of_a_job_it_is_said_that_the_first_is_measured(tmp_path: Path) -> None:
    material = _run(tmp_path, {"seed": [1, 2]})
    rows = [entry.pictures["upscaled"] for entry in material.entries]
    entries = [
        replace(entry, pictures={**entry.pictures, "upscaled": (*entry.pictures["upscaled"], *rows[0])})
        for entry in material.entries
    ]
    material = replace(material, entries=tuple(entries))

    plain = _draw(material, target=tmp_path / "sheet.png", cell=128)
    with_numbers = _draw(material, target=tmp_path / "sheet.png", cell=128, measured={"lake-s1": _measures(0.4, 0.1)})

    assert plain.shown == with_numbers.shown == 4
    told = "if a job has several pictures, only the first is measured"
    assert told not in map(str, plain.notes)
    assert told in map(str, with_numbers.notes)


def test_a_run_of_which_nothing_is_rendered_yet_can_be_drawn(tmp_path: Path) -> None:
    sheet = _draw(_seeds(tmp_path, 3), target=tmp_path / "sheet.png")

    assert (sheet.shown, len(sheet.left_out)) == (0, 3)


def test_a_run_without_jobs_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="has no jobs"):
        _draw(Material(tmp_path, (), (), LocalStore(tmp_path)), target=tmp_path / "sheet.png")


@pytest.mark.parametrize(("rows", "columns", "where"), [("seeed", None, "--rows"), (None, "denoize", "--columns")])
def test_an_unknown_axis_is_told_with_the_nearest(tmp_path: Path, rows: str | None, columns: str | None, where: str) -> None:
    with pytest.raises(UsageError) as caught:
        _draw(_run(tmp_path, {"seed": [1, 2], _DENOISE: [0.3, 0.5]}), rows=rows, columns=columns, target=tmp_path / "sheet.png")

    assert caught.value.problems[0].where == where
    assert caught.value.problems[0].hint.startswith("did you mean")


def test_rows_and_columns_cannot_be_the_same_axis(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be another axis than the rows'"):
        _draw(_run(tmp_path, {_DENOISE: [0.3, 0.5]}), rows="denoise", columns=_DENOISE, target=tmp_path / "sheet.png")


def test_a_cell_too_small_to_see_anything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--cell: must be at least 96 pixels \(got 95\)"):
        _draw(_seeds(tmp_path, 2), target=tmp_path / "sheet.png", cell=95)


# The file


@pytest.mark.parametrize("way", [lambda path: path, lambda path: path.parent / ".." / path.parent.name / path.name])
def test_a_picture_of_the_run_is_never_written_over(tmp_path: Path, way: Any) -> None:
    material = _run(tmp_path, {"seed": [1, 2]})
    path = material.folder / "lake-s1" / "upscaled.png"
    before = path.read_bytes()

    with pytest.raises(UsageError, match="is a picture of the job lake-s1") as caught:
        _draw(material, target=way(path))

    assert path.read_bytes() == before
    assert caught.value.problems[0].hint


def test_a_link_to_a_picture_of_the_run_is_not_written_over_either(tmp_path: Path) -> None:
    material = _run(tmp_path, {"seed": [1, 2]})
    link = tmp_path / "sheet.png"
    os.link(material.folder / "lake-s1" / "upscaled.png", link)

    with pytest.raises(UsageError, match="is a picture of the job"):
        _draw(material, target=link)


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet", "folder.png"])
def test_a_target_that_cannot_be_a_png_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()

    with pytest.raises(UsageError):
        _draw(_seeds(tmp_path, 2), target=tmp_path / name)


def test_a_failure_leaves_the_earlier_sheet_and_no_rubbish(tmp_path: Path) -> None:
    def reader(_: Artifact) -> tuple[Image.Image, Size]:
        raise KeyboardInterrupt

    target = tmp_path / "sheets" / "sheet.png"
    material = _run(tmp_path, {"seed": [1, 2]})
    _draw(material, target=target, cell=128)
    before = target.read_bytes()

    with pytest.raises(KeyboardInterrupt):
        _draw(material, target=target, cell=96, reader=reader)

    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_that_cannot_be_made_is_told_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(RunFolderError, match="cannot be written") as caught:
        _draw(_seeds(tmp_path, 2), target=tmp_path / "file" / "sheet.png")

    assert caught.value.problems[0].hint


def test_a_sheet_says_nothing_of_where_it_was_made(tmp_path: Path) -> None:
    material = _run(tmp_path, {"seed": [1, 2]})
    (material.folder / "lake-s1" / "upscaled.png").write_bytes(b"nothing")

    sheet = _draw(material, target=tmp_path / "sheet.png")

    with Image.open(sheet.path) as image:
        assert set(image.info) == {"Title", "Software", "Description"}
        assert str(tmp_path) not in "".join(image.info.values())


# Sizes


@pytest.mark.parametrize("cell", [384, 20_000])
def test_cells_shrink_so_that_a_sheet_is_not_too_large(tmp_path: Path, cell: int) -> None:
    grid = _grid(_seeds(tmp_path, 100), columns="seed")

    scale, pages = best(grid, cell, (1.0, 1.0))

    assert len(pages) == 1
    assert pages[0].width <= MOST_SIDE
    assert pages[0].width > MOST_SIDE * 0.9, "no smaller than it has to be"
    assert 96 < scale.cell < cell


def test_a_sheet_of_a_single_huge_cell_is_not_too_large(tmp_path: Path) -> None:
    _, pages = best(_grid(_seeds(tmp_path, 1)), 30_000, (1.0, 1.0))

    assert max(pages[0].width, pages[0].height) <= MOST_SIDE
    assert pages[0].width * pages[0].height <= MOST_PIXELS


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns"), [("seed", None), (None, "seed"), ("cfg", "seed")])
def test_what_is_still_too_large_goes_on_pages_that_show_every_job_once(
    tmp_path: Path, rows: str | None, columns: str | None
) -> None:
    axes = (Axis("cfg", tuple(range(40))), Axis("seed", tuple(range(1000))))
    entries = tuple(_entry(cfg=cfg, seed=seed) for cfg in range(40) for seed in range(1000))
    grid = _grid(Material(tmp_path, entries, axes, LocalStore(tmp_path)), rows, columns)

    scale, pages = best(grid, 384, (1.0, 0.5625))

    assert scale.cell == 96
    assert len(pages) > 1
    for page in pages:
        assert max(page.width, page.height) <= MOST_SIDE
        assert page.width * page.height <= MOST_PIXELS
    shown = [place.slot.entry.job_id for page in pages for place in places(grid, scale, page) if place.slot]
    assert sorted(shown) == sorted(entry.job_id for entry in entries)


def test_further_pages_are_files_beside_the_first_and_a_note_says_so(tmp_path: Path) -> None:
    sheet = _draw(_seeds(tmp_path, 200), columns="seed", target=tmp_path / "sheet.png")

    assert sheet.paths == (tmp_path / "sheet.png", tmp_path / "sheet-2.png")
    assert all(path.exists() for path in sheet.paths)
    assert [str(note) for note in sheet.notes] == [
        "the cells are 96 pixels, because the sheet would be too large otherwise (asked for 384)",
        "the sheet is split into 2 files, sheet.png to sheet-2.png: one would be too large for most viewers",
    ]
    with Image.open(sheet.path) as image:
        assert image.size == (sheet.width, sheet.height)


def test_a_page_left_from_an_earlier_sheet_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "sheet-2.png").write_bytes(b"old")

    sheet = _draw(_seeds(tmp_path, 2), target=tmp_path / "sheet.png")

    assert "may be left from an earlier one" in str(sheet.notes[0])
    assert (tmp_path / "sheet-2.png").read_bytes() == b"old"


@pytest.mark.parametrize("sizes", [[(2048, 1152)], [(1152, 2048)], [(512, 512), (2048, 1152)], [(10_000, 10)], [(0, 5)], []])
@pytest.mark.parametrize("cell", [96, 384, 1000])
def test_nothing_on_a_page_lies_over_anything_else(tmp_path: Path, sizes: list[tuple[int, int]], cell: int) -> None:
    axes = (Axis("a", (1, 2)), Axis("b", (1, 2)), Axis("c", (1, 2)))
    entries = tuple(_entry(a=a, b=b, c=c) for a in (1, 2) for b in (1, 2) for c in (1, 2))
    grid = _grid(Material(tmp_path, entries, axes, LocalStore(tmp_path)), "b", "c")
    grid = replace(grid, numbers="detail 0.50 · drift 0.20", remarks=True)
    scale = scaled(grid, cell, shape(sizes))

    page = paged(grid, scale)[0]

    found = [place for place in places(grid, scale, page) if place.kind != "line"]
    assert [(one.kind, other.kind) for at, one in enumerate(found) for other in found[at + 1 :] if _overlap(one, other)] == []
    assert max(place.box.left + place.box.width for place in found) + scale.margin == page.width
    last = max(place.box.top + place.box.height for place in found) + scale.caption
    assert last + scale.margin <= page.height <= last + scale.margin + 2 * scale.gap


def _overlap(one: Place, other: Place) -> bool:
    a, b = one.box, other.box
    return a.left < b.left + b.width and b.left < a.left + a.width and a.top < b.top + b.height and b.top < a.top + a.height


def test_text_grows_with_the_cells(tmp_path: Path) -> None:
    grid = _grid(_seeds(tmp_path, 2))

    sizes = [scaled(grid, cell, (1, 1)).text for cell in (96, 384, 1000)]

    assert sizes == [12, 19, 50]


def test_only_few_whole_pictures_are_in_memory_at_a_time(tmp_path: Path) -> None:
    alive: set[int] = set()
    most, lock = 0, threading.RLock()  # a picture may go while the lock is held

    def gone(number: int) -> None:
        with lock:
            alive.discard(number)

    def reader(path: Artifact) -> tuple[Image.Image, Size]:
        nonlocal most
        image, size = read_reduced(path)
        with lock:
            alive.add(id(image))
            weakref.finalize(image, gone, id(image))
            most = max(most, len(alive))
        return image, size

    sheet = _draw(_run(tmp_path, {"seed": list(range(30))}), target=tmp_path / "sheet.png", cell=96, reader=reader)

    assert sheet.shown == 30
    assert 0 < most <= 3


# Words


def test_measures_and_vetoes_are_written_below_their_picture(tmp_path: Path) -> None:
    material = _run(tmp_path, {_DENOISE: [0.3, 0.5]})
    same = {"lake-d03": _measures(0.4, 0.1), "lake-d05": _measures(0.4, 0.1)}
    vetoed = {**same, "lake-d05": _measures(0.4, 0.1, vetoes=("noise", "halos"))}

    plain, first, second = (
        _opened(_draw(material, target=tmp_path / "sheet.png", cell=256, measured=measured)) for measured in ({}, same, vetoed)
    )

    assert plain.height < first.height < second.height
    assert _red_below(second, _cell(second, "upscaled", denoise=0.5)), "a veto has its own colour"
    assert not _red_below(second, _cell(second, "upscaled", denoise=0.3))


def _red_below(image: Image.Image, box: Box) -> bool:
    red, green, _ = image.crop((box[0], box[3], box[2], image.height)).split()
    return ImageChops.subtract(red, green).getextrema()[1] > 60  # type: ignore[operator] # of one band it is a pair of numbers


def test_labels_are_drawn_beside_the_pictures(tmp_path: Path) -> None:
    one = _opened(_draw(_run(tmp_path / "1", {"seed": [1, 2], "cfg": [3, 4]}), target=tmp_path / "1.png", cell=128))
    other = _opened(_draw(_run(tmp_path / "2", {"seed": [1, 2], "cfg": [3, 9]}), target=tmp_path / "2.png", cell=128))

    box = ImageChops.difference(one, other).getbbox()
    assert box
    assert box[3] < _cell(one, "upscaled", seed=1)[1], "only a column's heading is different"


_HOSTILE = [
    "un été à la mer",
    "日本の湖 🎨 👩‍🎨",
    "שלום עולם مرحبا",
    "safe\u202etxt.exe\u2066\x07\x00\n\r\x1b[31m",
    "x" * 5000,
    "word " * 5000,
    "\ud800",
    "́̂ ",
    "",
    " ",
]


@pytest.mark.parametrize("text", _HOSTILE, ids=range(len(_HOSTILE)))
def test_any_text_is_drawn_within_its_place_with_characters_that_the_font_has(text: str) -> None:
    drawn = legible(text)

    assert all(char.isprintable() and (char == " " or legible(char) == char) for char in drawn)
    for width in (40, 150):
        wrapped = lines(text, 14, width=width, most=3)
        assert len(wrapped) <= 3
        assert all(length(line, 14) <= width for line in wrapped)


@pytest.mark.parametrize("text", _HOSTILE, ids=range(len(_HOSTILE)))
def test_a_sheet_with_any_label_and_error_is_drawn(tmp_path: Path, text: str) -> None:
    entries = tuple(entry_of(f"lake-{prompt}", {"prompt": prompt}, state="failed", error=text) for prompt in (text, "a lake"))
    material = Material(tmp_path, entries, (Axis("prompt", (text, "a lake")), Axis("seed", (1, 2))), LocalStore(tmp_path))

    for columns in ("prompt", "seed"):
        material = replace(material, entries=tuple(replace(one, values={**one.values, "seed": 1}) for one in entries))
        assert _draw(material, columns=columns, target=tmp_path / "sheet.png", cell=96).width < 1000


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("\uff46\uff55\uff4c\uff4c", "full"),
        ("湖", "\\u6e56"),
        ("a\u202eb", "a\\u202eb"),
        ("a\tb\nc", "a b c"),
        ("\x1b[0m", "\\x1b[0m"),
        ("🎨", "\\U0001f3a8"),
    ],
)
def test_what_the_font_lacks_is_still_told(text: str, written: str) -> None:
    assert legible(text) == written


@pytest.mark.parametrize("text", ["un été", "œuvre à 0,5 · drift ≤ 0.3", "0.3 → 0.5", "Ωμέγα", "озеро", "שלום", "größer ± …"])
def test_the_font_has_the_letters_of_many_languages_and_common_signs(text: str) -> None:
    assert legible(text) == text
    assert len({bytes(font(20).getmask(char)) for char in text if char != " "}) == len(set(text) - {" "}), "each looks its own"


def test_the_font_lies_beside_its_licence_in_the_package() -> None:
    folder = resources.files("comfy_runner.report.sheet")

    assert font(20).getname() == ("DejaVu Sans", "Book")
    assert folder.joinpath("DejaVuSans.ttf").is_file()
    assert "Bitstream Vera Fonts Copyright" in folder.joinpath("DejaVuSans.LICENSE.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "width", "most", "wrapped"),
    [
        ("a lake", 60, 1, ("a lake",)),
        ("a lake in the sun", 50, 3, ("a lake", "in the", "sun")),
        ("a lake in the sun", 50, 2, ("a lak…", "sun")),
        ("juggernaut_xl_v9.safetensors", 110, 2, ("juggernaut_xl_", "v9.safetensors")),
        ("abcdefghij", 45, 1, ("ab…ij",)),
        ("abcdefghij", 45, 2, ("abcde", "fghij")),
        ("abc", 1, 1, ("…",)),
        ("abc", 90, 0, ()),
        ("", 90, 3, ()),
    ],
)
def test_text_is_wrapped_and_else_shortened_in_its_middle(text: str, width: int, most: int, wrapped: tuple[str, ...]) -> None:
    assert lines(text, 14, width=width, most=most) == wrapped


def test_numbers_that_do_not_fit_on_one_line_below_a_cell_are_not_torn_apart(tmp_path: Path) -> None:
    grid = replace(_grid(_seeds(tmp_path, 2)), numbers="detail 0.50 · drift 0.20 ....")

    scales = [scaled(grid, cell, (1.0, 1.0)) for cell in (96, 384)]

    assert [scale.caption // leading(scale.small) for scale in scales] == [2, 1]
