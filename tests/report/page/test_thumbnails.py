"""Small pictures: made once, kept, taken away; and what their signatures tell."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comfy_runner.report.page.thumbnails import Thumbnail, make_thumbnails
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.local import LocalStore
from comfy_runner.store.sidecar import sha256_of


def _row(folder: Path, name: str, picture: Image.Image | bytes) -> FileRow:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, bytes):
        path.write_bytes(picture)
    else:
        picture.save(path)
    return FileRow("upscaled", 0, name, path.stat().st_size, path.stat().st_mtime_ns, sha256_of(path))


def _noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def _cells(made: Thumbnail) -> Sequence[Sequence[Sequence[int]]]:
    data = np.frombuffer(base64.b64decode(made.signature), np.uint8).reshape(made.rows, made.columns, 2)
    return [[[int(value) for value in cell] for cell in line] for line in data]


def test_a_thumbnail_is_small_and_knows_its_picture(tmp_path: Path) -> None:
    row = _row(tmp_path, "job/upscaled.png", Image.linear_gradient("L").resize((1024, 576)))

    made = make_thumbnails(tmp_path, [row], LocalStore(tmp_path))["job/upscaled.png"]

    assert made.path == f"report_files/{row.sha256[:32]}.webp"
    assert (made.width, made.height, made.columns, made.rows) == (1024, 576, 16, 9)
    with Image.open(tmp_path / made.path) as small:
        assert small.size == (448, 252)
    assert (tmp_path / made.path).stat().st_size < 20_000


def test_thumbnails_are_made_once_and_remember_what_they_were_made_from(tmp_path: Path) -> None:
    rows = [_row(tmp_path, f"{number}.png", _noise(40 + number, 20)) for number in range(3)]
    first = make_thumbnails(tmp_path, rows, LocalStore(tmp_path))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "report_files").iterdir()}

    again = make_thumbnails(tmp_path, rows, LocalStore(tmp_path))

    assert again == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "report_files").iterdir()} == times


def test_a_thumbnail_that_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    row = _row(tmp_path, "a.png", _noise(64, 36))
    made = make_thumbnails(tmp_path, [row], LocalStore(tmp_path))["a.png"]
    for damage in (b"", b"RIFF", (tmp_path / made.path).read_bytes()[:60], Path(tmp_path / "a.png").read_bytes()):
        (tmp_path / made.path).write_bytes(damage)

        assert make_thumbnails(tmp_path, [row], LocalStore(tmp_path))["a.png"] == made

        with Image.open(tmp_path / made.path) as small:
            small.load()


def test_thumbnails_of_pictures_that_are_gone_are_taken_away_and_nothing_else_is(tmp_path: Path) -> None:
    rows = [_row(tmp_path, f"{number}.png", _noise(40 + number, 20)) for number in range(2)]
    make_thumbnails(tmp_path, rows, LocalStore(tmp_path))
    theirs = tmp_path / "report_files" / "notes.webp"
    theirs.write_bytes(b"mine")
    half = tmp_path / "report_files" / f".{'0' * 32}.{'1' * 16}.part"
    half.write_bytes(b"")

    make_thumbnails(tmp_path, rows[:1], LocalStore(tmp_path))

    assert sorted(path.name for path in theirs.parent.iterdir()) == sorted([f"{rows[0].sha256[:32]}.webp", "notes.webp"])


def test_equal_pictures_share_a_thumbnail(tmp_path: Path) -> None:
    rows = [_row(tmp_path, f"{number}.png", _noise(40, 20)) for number in range(3)]

    made = make_thumbnails(tmp_path, rows, LocalStore(tmp_path))

    assert len(made) == 3
    assert len({each.path for each in made.values()}) == len(list((tmp_path / "report_files").iterdir())) == 1


def test_a_picture_that_cannot_be_read_gives_a_reason_and_no_thumbnail(tmp_path: Path) -> None:
    rows = [
        _row(tmp_path, "text.png", b"no picture"),
        _row(tmp_path, "gone.png", _noise(8, 8)),
        _row(tmp_path, "good.png", _noise(9, 9)),
    ]
    (tmp_path / "gone.png").unlink()

    made = make_thumbnails(tmp_path, rows, LocalStore(tmp_path))

    assert made["text.png"].problem.startswith("is not a whole picture")
    assert made["gone.png"].problem == "the file is gone"
    assert (made["text.png"].path, made["gone.png"].path) == ("", "")
    assert made["good.png"].path


def test_a_hash_that_is_none_names_no_path(tmp_path: Path) -> None:
    row = _row(tmp_path, "a.png", _noise(8, 8))
    strange = FileRow(row.role, row.number, row.path, row.size_bytes, row.mtime_ns, "../../evil")

    made = make_thumbnails(tmp_path, [strange], LocalStore(tmp_path))["a.png"]

    assert Path(made.path).parent == Path("report_files")
    assert (tmp_path / made.path).is_file()


@pytest.mark.slow
def test_a_picture_too_large_to_be_measured_has_a_thumbnail_that_knows_its_size(tmp_path: Path) -> None:
    row = _row(tmp_path, "a.png", Image.new("L", (16_000, 4500), 90))

    made = make_thumbnails(tmp_path, [row], LocalStore(tmp_path))["a.png"]

    assert (made.width, made.height, made.problem) == (16_000, 4500, "")
    assert set(base64.b64decode(made.signature)[::2]) == {90}
    with Image.open(tmp_path / made.path) as small:
        assert small.size == (448, 126)


def test_extreme_shapes_have_a_thumbnail(tmp_path: Path) -> None:
    rows = [
        _row(tmp_path, "dot.png", _noise(1, 1)),
        _row(tmp_path, "line.png", _noise(2000, 1)),
        _row(tmp_path, "tall.png", _noise(3, 900)),
    ]

    made = make_thumbnails(tmp_path, rows, LocalStore(tmp_path))

    assert [(each.columns, each.rows) for each in made.values()] == [(16, 16), (16, 1), (1, 16)]


def test_a_signature_tells_where_a_picture_is_bright_and_where_it_is_busy(tmp_path: Path) -> None:
    picture = Image.new("L", (640, 360), 40)
    picture.paste(200, (320, 0, 640, 360))
    picture.paste(_noise(80, 80).convert("L"), (40, 240))

    cells = _cells(make_thumbnails(tmp_path, [_row(tmp_path, "a.png", picture)], LocalStore(tmp_path))["a.png"])

    assert cells[1][2] == [40, 0]
    assert cells[1][13] == [200, 0]
    assert cells[7][2][1] > 100


def test_the_same_picture_at_twice_the_size_has_nearly_the_same_signature(tmp_path: Path) -> None:
    small = _noise(64, 36).resize((512, 288), Image.Resampling.BICUBIC)
    large = small.resize((1024, 576), Image.Resampling.BICUBIC)

    made = make_thumbnails(tmp_path, [_row(tmp_path, "s.png", small), _row(tmp_path, "l.png", large)], LocalStore(tmp_path))

    one, other = (np.array(_cells(made[name])) for name in ("s.png", "l.png"))
    assert np.abs(one - other).max() < 12
