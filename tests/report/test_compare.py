"""Files of pictures, decoded and compared: formats, sizes, transparency, depth, animations, and what is no picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage import data

from comfy_runner.check.results import Likeness
from comfy_runner.errors import RunFolderError, VerificationError
from comfy_runner.report import pixels
from comfy_runner.report.compare import Compared, compare_pictures, difference
from comfy_runner.report.pixels import DecodedPicture, read_pixels, read_remains
from comfy_runner.report.triples import remove_triples, write_triple


def _photo() -> Image.Image:
    return Image.fromarray(data.astronaut()[:96, 180:308])


def _read(folder: Path, picture: Image.Image, name: str = "x.png", **options: Any) -> DecodedPicture:
    picture.save(folder / name, **options)
    return read_pixels(folder / name)


def _changed() -> Image.Image:
    picture = _photo()
    picture.paste((255, 0, 0), (40, 40, 60, 60))
    return picture


def test_format_compression_and_metadata_do_not_count(tmp_path: Path) -> None:
    texts = PngInfo()
    texts.add_text("prompt", "a fox")
    plain = _read(tmp_path, _photo())

    formats: dict[str, dict[str, Any]] = {"a.png": {"pnginfo": texts, "compress_level": 0}, "b.webp": {"lossless": True}}
    for name, options in formats.items():
        assert compare_pictures(plain, _read(tmp_path, _photo(), name, **options)) == Compared(Likeness.SAME, 1.0)


def test_an_alpha_channel_that_hides_nothing_does_not_count_and_one_that_does_does(tmp_path: Path) -> None:
    plain, full = _read(tmp_path, _photo()), _photo().convert("RGBA")
    hidden = full.copy()
    hidden.paste((0, 0, 0, 0), (0, 0, 50, 50))

    assert compare_pictures(plain, _read(tmp_path, full)).likeness is Likeness.SAME
    assert compare_pictures(plain, _read(tmp_path, hidden)).likeness is Likeness.DIFFERENT


def test_deep_grey_keeps_all_of_its_bits(tmp_path: Path) -> None:
    deep = Image.fromarray((np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64))
    nearly = Image.fromarray((np.arange(64 * 64, dtype=np.uint16) * 16 + 1).reshape(64, 64))

    found = compare_pictures(_read(tmp_path, deep), _read(tmp_path, nearly))

    assert found == Compared(Likeness.SIMILAR, 1.0)


def test_another_picture_says_where_and_by_how_much(tmp_path: Path) -> None:
    found = compare_pictures(_read(tmp_path, _photo()), _read(tmp_path, _changed()))

    assert found.likeness is Likeness.DIFFERENT
    assert found.similarity is not None
    assert found.similarity < 0.6
    assert found.reason.startswith("looks different, most of all around pixel ")
    assert f"similarity {found.similarity:.3f}, at least 0.95 is wanted" in found.reason
    assert compare_pictures(_read(tmp_path, _photo()), _read(tmp_path, _changed()), limit=0.1).likeness is Likeness.SIMILAR


def test_another_size_is_different_whatever_the_limit(tmp_path: Path) -> None:
    found = compare_pictures(_read(tmp_path, _photo()), _read(tmp_path, _photo().resize((64, 48))), limit=0)

    assert found == Compared(Likeness.DIFFERENT, None, "is of another size (got 64x48, expected 128x96)")


def test_of_an_animation_every_frame_counts(tmp_path: Path) -> None:
    first, last = _photo(), _changed()
    same = [_read(tmp_path, first, f"{n}.webp", save_all=True, append_images=[last], lossless=True) for n in range(2)]
    other = _read(tmp_path, first, "2.webp", save_all=True, append_images=[last, first], lossless=True)

    assert compare_pictures(*same).likeness is Likeness.SAME
    assert "an animation only passes with the same ones (got 3 frames, expected 2)" in compare_pictures(same[0], other).reason


def test_without_numpy_only_the_same_pixels_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = _read(tmp_path, _photo()), _read(tmp_path, _changed())
    monkeypatch.setattr("comfy_runner.report.compare.can_measure", lambda: False)
    monkeypatch.setitem(sys.modules, "comfy_runner.report.metrics.similarity", None)

    assert compare_pictures(pair[0], pair[0]).passed
    assert "pip install 'comfy-runner[report]'" in compare_pictures(*pair).reason


def test_the_difference_is_magenta_where_something_changed_and_grey_elsewhere(tmp_path: Path) -> None:
    found = difference(_read(tmp_path, _photo()), _read(tmp_path, _changed()))

    red, green, _ = np.asarray(found)[50, 50]
    assert red - green > 120
    assert len(set(np.asarray(found)[5, 5])) == 1


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40], ids=["empty", "text", "broken"])
def test_what_is_no_picture_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)

    with pytest.raises(VerificationError, match=r"x\.png: is not a whole picture"):
        read_pixels(tmp_path / "x.png")
    with pytest.raises(VerificationError, match="is gone"):
        read_pixels(tmp_path / "y.png")


def test_a_truncated_picture_is_one_clear_error(tmp_path: Path) -> None:
    _photo().save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(VerificationError, match="is not a whole picture"):
        read_pixels(tmp_path / "x.png")


def test_triples_are_written_and_taken_away_and_nothing_else_is(tmp_path: Path) -> None:
    pair = {"expected": _read(tmp_path, _photo()), "actual": _read(tmp_path, _changed())}
    found = write_triple(tmp_path, "lake/upscaled", **pair)
    mine = tmp_path / "comparison_files" / "lake" / "mine.png"
    mine.write_bytes(b"mine")

    assert (found.actual, found.difference) == (
        "comparison_files/lake/upscaled.actual.png",
        "comparison_files/lake/upscaled.diff.png",
    )
    assert read_pixels(tmp_path / found.expected).sha256 == pair["expected"].sha256
    remove_triples(tmp_path)
    assert [path.name for path in (tmp_path / "comparison_files").rglob("*.png")] == ["mine.png"]


def test_triples_go_past_no_link_and_over_no_picture_of_the_run(tmp_path: Path) -> None:
    picture = _read(tmp_path, _photo())
    (tmp_path / "elsewhere" / "lake").mkdir(parents=True)
    (tmp_path / "elsewhere" / "lake" / "old.diff.png").write_bytes(b"theirs")
    (tmp_path / "comparison_files").symlink_to(tmp_path / "elsewhere")

    for attempt in (lambda: remove_triples(tmp_path), lambda: write_triple(tmp_path, "lake/x", actual=picture, expected=None)):
        with pytest.raises(RunFolderError, match="symbolic link"):
            attempt()
    for name in ("../x", "/x", "a//b"):
        with pytest.raises(RunFolderError, match="must be a relative path"):
            write_triple(tmp_path, name, actual=picture, expected=None)
    with pytest.raises(RunFolderError, match="is a picture of this run"):
        remove_triples(tmp_path, ["comparison_files/lake/upscaled.actual.png"])
    assert [path.name for path in (tmp_path / "elsewhere").rglob("*")] == ["lake", "old.diff.png"]


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_of_a_picture_that_was_cut_short_its_beginning_is_left(tmp_path: Path, name: str) -> None:
    whole = _read(tmp_path, _photo(), name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])

    left = read_remains(tmp_path / name)

    assert left is not None
    rows = (0, 0, whole.image.width, 16)
    assert left.image.crop(rows).tobytes() == whole.image.crop(rows).tobytes()
    assert left.image.tobytes() != whole.image.tobytes()
    with pytest.raises(VerificationError):
        read_pixels(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 "])
def test_where_nothing_can_be_made_out_nothing_is_left(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)

    assert read_remains(tmp_path / "x") is None
    assert read_remains(tmp_path / "gone") is None


def test_nothing_is_left_of_what_has_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _read(tmp_path, _photo())
    monkeypatch.setattr(pixels, "MOST_PIXELS", whole.image.width * whole.image.height - 1)

    assert read_remains(tmp_path / "x.png") is None
