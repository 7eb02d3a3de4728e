"""What is read of picture files of all kinds, and which are refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from comfy_runner.errors import VerificationError
from comfy_runner.report.read_pictures import read_reduced, read_rgb


def _ramp(mode: str = "RGB") -> Image.Image:
    return Image.linear_gradient("L").resize((24, 16)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, mode: str, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    image = _ramp(mode)
    (image if kind == "png" else image.convert("RGB")).save(path)

    found = read_rgb(path)

    assert (found.mode, found.size) == ("RGB", (24, 16))


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path: Path) -> None:
    image = Image.new("I;16", (4, 4), 0x8080)
    image.save(tmp_path / "a.png")

    assert read_rgb(tmp_path / "a.png").getpixel((0, 0)) == (128, 128, 128)


def test_what_is_transparent_lies_over_grey(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")

    assert read_rgb(tmp_path / "a.png").getpixel((0, 0)) == (128, 128, 128)


def test_a_transparent_palette_gives_no_warning(tmp_path: Path) -> None:
    _ramp("P").save(tmp_path / "a.png", transparency=bytes(range(256)))

    assert read_rgb(tmp_path / "a.png").mode == "RGB"


def test_a_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    _ramp("CMYK").save(tmp_path / "a.jpg")

    assert read_rgb(tmp_path / "a.jpg").mode == "RGB"


def test_a_picture_that_ends_early_is_refused(tmp_path: Path) -> None:
    _ramp().resize((200, 200)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()

    for cut in (0, 10, 40, len(data) // 2, len(data) - 30):
        (tmp_path / "b.png").write_bytes(data[:cut])
        with pytest.raises(VerificationError, match="not a whole picture"):
            read_rgb(tmp_path / "b.png")


@pytest.mark.parametrize("data", [b"", b"<html>", b"GIF89a" + bytes(100), b"\x89PNG" + bytes(100), b"\xff\xd8" + bytes(50)])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)

    with pytest.raises(VerificationError, match="not a whole picture"):
        read_rgb(tmp_path / "a.png")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError):
        read_rgb(tmp_path / "a.png")


def _claims(path: Path, width: int, height: int) -> Path:
    """Write a PNG whose header promises more than it has."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))
    return path


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"larger than 8192x8192 pixels, the most that is measured \(got 9000x9000\)"):
        read_rgb(_claims(tmp_path / "a.png", 9000, 9000))
    with pytest.raises(VerificationError, match=r"larger than 16384x16384 pixels, the most that is drawn \(got 70000x70000\)"):
        read_reduced(_claims(tmp_path / "b.png", 70_000, 70_000))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16"])
def test_what_is_too_large_to_measure_is_read_smaller_to_be_drawn(tmp_path: Path, mode: str) -> None:
    image = _ramp(mode).resize((16_000, 4800)) if mode != "I;16" else Image.new(mode, (16_000, 4800), 0x8080)
    image.save(tmp_path / "a.png", compress_level=1)

    found, size = read_reduced(tmp_path / "a.png")

    assert (found.mode, found.size, size) == ("RGB", (8000, 2400), (16_000, 4800))
    same = _ramp().resize((8000, 2400)) if mode != "I;16" else Image.new("RGB", (8000, 2400), (128, 128, 128))
    assert max(ImageStat.Stat(ImageChops.difference(found, same)).mean) < 8


def test_what_is_small_enough_is_read_to_be_drawn_as_it_is(tmp_path: Path) -> None:
    _ramp().save(tmp_path / "a.png")

    found, size = read_reduced(tmp_path / "a.png")

    assert (found.tobytes(), size) == (read_rgb(tmp_path / "a.png").tobytes(), (24, 16))
